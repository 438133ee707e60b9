"""The bundle: everything the price service needs to quote, in one folder.

With a pair of models it is written when the pair is promoted. Without models it is the price list,
from which the service quotes list prices until there is a champion.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.evaluation.panel import read_features
from pipelines.reports.public_prices import last_public_prices
from pricebook.config import Params, Settings
from pricebook.errors import DamagedFile
from pricebook.files import atomic_dir, read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

    from models.objective import Book
    from models.registry import Registry
    from pipelines.evaluation.predictions import Responses

log = logging.getLogger("pricebook.bundle")

EXPORTED = ("response.tflite", "response.json")


def write_bundle(
    folder: Path,
    verdict: Mapping[str, Any],
    params: Params,
    settings: Settings,
    registry: Registry,
) -> None:
    """Write the exported response model, price book, forecast and params of a verdict's pair.

    Raises:
        RegistryError: a version of the pair does not exist.
        EmptyHistory: the home has no features, or none before the verdict's cut-off.
    """
    from pipelines.evaluation.predictions import ForecastTask, SavedModels

    pair = verdict["challenger"]
    task = ForecastTask.from_home(date.fromisoformat(verdict["as_of"]), params, settings)
    with tempfile.TemporaryDirectory(prefix="pricebook-models-") as scratch:
        saved = SavedModels(registry, Path(scratch))
        for name in EXPORTED:
            shutil.copy2(saved.files("response", pair["response"]) / name, folder / name)
        book, _ = price_book(saved.responses(pair["response"]), task.panel, params, settings)
        forecast = saved.forecasts(pair["demand"], task).next_horizon
    book.to_parquet(folder / "price_book.parquet")
    forecast.to_parquet(folder / "forecast.parquet")
    models = {name: {"version": version} for name, version in verdict["challenger"].items()}
    about = {"models": models, "as_of": verdict["as_of"], "horizon": params.train.horizon}
    _write_description(folder, verdict["id"], about, params)


def write_price_list(as_of: date, params: Params, settings: Settings) -> None:
    """Write the price list: the price book and the limits, without models.

    It also holds why there is no champion: none was promoted, or the gate refused the first pair.

    Raises:
        EmptyHistory: the home has no features.
    """
    book = read_features("price_book", settings)
    about = {"models": {}, "as_of": str(as_of), "horizon": 0, "why": _why_no_champion(settings)}
    with atomic_dir(settings.price_list) as folder:
        book.assign(cannibalised=0.0).to_parquet(folder / "price_book.parquet")
        _write_description(folder, "price_list", about, params)


def _why_no_champion(settings: Settings) -> str:
    """Why a service without a champion has none, from the last verdict."""
    try:
        verdict = read_json(settings.report("gate"))
    except (FileNotFoundError, DamagedFile):
        verdict = {"passed": True}
    if verdict["passed"] or verdict["champion"]:
        return "no champion has been promoted"
    failed = ", ".join(refusal.split(":")[0] for refusal in verdict["refusals"])
    return f"the gate refused the first models ({failed})"


def _write_description(
    folder: Path, built_from: str, about: Mapping[str, Any], params: Params
) -> None:
    description = {
        **about,
        "currency": params.shop.currency,
        "minor_digits": params.shop.minor_digits,
        "grain": params.shop.grain,
        "quote": params.quote.model_dump(mode="json"),
    }
    description["built_from"] = f"{built_from}_{_digest(folder, description)}"
    write_json(folder / "bundle.json", description)


def _digest(folder: Path, description: Mapping[str, Any]) -> str:
    """Of all files and params: the same verdict promoted under other limits is another bundle."""
    digest = hashlib.sha256(json.dumps(description).encode())
    for path in sorted(folder.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def price_book(
    responses: Responses, history: pd.DataFrame, params: Params, settings: Settings
) -> tuple[pd.DataFrame, Book]:
    """The price book with what a decision needs besides, and what the objective reads of it.

    `cannibalised` is the margin that each unit gained costs the shop's own substitutes, `long_run`
    what the objective adds to the elasticity, and `public_price` the last public price.
    """
    from models.objective import Book
    from models.response.cannibalisation import cannibalised, recent_units

    rows = read_features("price_book", settings)
    units = recent_units(history)
    lost = cannibalised(responses.elasticities, responses.cross, rows, units)
    book = Book.from_tables(rows, responses.elasticities, lost, units, params.quote)
    if unknown := book.unknown_departments(params.objective):
        log.warning("objective: no listing is of a department so named. Received: %s", unknown)
    long_run, public = book.long_run(params.objective), last_public_prices(rows, settings)
    return rows.assign(cannibalised=lost, long_run=long_run, public_price=public), book
