"""The bundle: everything the price service needs to quote with a pair of models, in one folder."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.evaluation.panel import read_features
from pipelines.reports.public_prices import last_public_prices
from pricebook.config import Params, Settings
from pricebook.files import write_json

if TYPE_CHECKING:
    import pandas as pd

    from models.registry import Registry
    from pipelines.evaluation.predictions import Responses

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
        book = _price_book(saved.responses(pair["response"]), task.panel, params, settings)
        forecast = saved.forecasts(pair["demand"], task).next_horizon
    book.to_parquet(folder / "price_book.parquet")
    forecast.to_parquet(folder / "forecast.parquet")
    _write_description(folder, verdict, params)


def _write_description(folder: Path, verdict: Mapping[str, Any], params: Params) -> None:
    description = {
        "models": {name: {"version": version} for name, version in verdict["challenger"].items()},
        "as_of": verdict["as_of"],
        "currency": params.shop.currency,
        "minor_digits": params.shop.minor_digits,
        "grain": params.shop.grain,
        "horizon": params.train.horizon,
        "quote": params.quote.model_dump(mode="json"),
    }
    description["built_from"] = f"{verdict['id']}_{_digest(folder, description)}"
    write_json(folder / "bundle.json", description)


def _digest(folder: Path, description: Mapping[str, Any]) -> str:
    """Of all files and params: the same verdict promoted under other limits is another bundle."""
    digest = hashlib.sha256(json.dumps(description).encode())
    for path in sorted(folder.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _price_book(
    responses: Responses, history: pd.DataFrame, params: Params, settings: Settings
) -> pd.DataFrame:
    """The price book with what a decision needs besides.

    `cannibalised` is the margin that each unit gained costs the shop's own substitutes, `long_run`
    what the objective adds to the elasticity, and `public_price` the last public price.
    """
    from models.objective import Book
    from models.response.cannibalisation import cannibalised, recent_units

    book = read_features("price_book", settings)
    units = recent_units(history)
    lost = cannibalised(responses.elasticities, responses.cross, book, units)
    priced = Book.from_tables(book, responses.elasticities, lost, units, params.quote)
    long_run, public = priced.long_run(params.objective), last_public_prices(book, settings)
    return book.assign(cannibalised=lost, long_run=long_run, public_price=public)
