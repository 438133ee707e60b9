"""The bundle: everything the price service needs to quote with a pair of models, in one folder."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.train import panel
from pricebook.config import Params, Settings
from pricebook.files import write_json

if TYPE_CHECKING:
    import pandas as pd

    from models.registry import Registry


def write_bundle(
    folder: Path,
    verdict: Mapping[str, Any],
    params: Params,
    settings: Settings,
    registry: Registry,
) -> None:
    """Write what the service needs to quote: exported response, price book, forecast, params."""
    pair, as_of = verdict["challenger"], date.fromisoformat(verdict["as_of"])
    saved = {name: registry.download(name, pair[name], folder / ".saved" / name) for name in pair}
    for file in ("response.tflite", "response.json"):
        shutil.copy2(saved["response"] / file, folder / file)
    history = panel(as_of, params, settings)
    _price_book(saved["response"], history, settings).to_parquet(folder / "price_book.parquet")
    _forecast(saved["demand"], history, params).to_parquet(folder / "forecast.parquet")
    shutil.rmtree(folder / ".saved")
    about = {
        "models": {name: {"version": version} for name, version in pair.items()},
        "as_of": verdict["as_of"],
        "currency": params.shop.currency,
        "minor_digits": params.shop.minor_digits,
        "grain": params.shop.grain,
        "horizon": params.train.horizon,
        "quote": params.quote.model_dump(mode="json"),
    }
    about["built_from"] = f"{verdict['id']}_{_digest(folder, about)}"
    write_json(folder / "bundle.json", about)


def _digest(folder: Path, about: Mapping[str, Any]) -> str:
    """Of everything in a bundle: a verdict promoted again under other limits is another bundle."""
    digest = hashlib.sha256(json.dumps(about).encode())
    for path in sorted(folder.iterdir()):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:8]


def _price_book(saved: Path, history: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """The price book, with what a lower price takes from the shop's own substitutes."""
    import pandas as pd

    from models.response.cannibalisation import cannibalised, recent_units
    from models.response.model import ResponseModel

    book = pd.read_parquet(settings.features / "price_book.parquet")
    response = ResponseModel.load(saved)
    units = recent_units(history)
    lost = cannibalised(response.elasticities(), response.cross(), book, units)
    return book.assign(cannibalised=lost)


def _forecast(saved: Path, history: pd.DataFrame, params: Params) -> pd.DataFrame:
    """Every series over the horizon, at its reference price and with no promotion planned."""
    import pandas as pd

    from models.demand.model import DemandModel
    from models.evaluation.holdout import SERIES

    latest = history.groupby(SERIES, as_index=False).tail(1)
    reference = latest["reference_price"].fillna(latest["price"])
    planned = pd.concat(
        [
            latest[SERIES].assign(
                period=period, price=reference, display=0.0, mailer=0.0, promotion=0.0
            )
            for period in _periods_after(history["period"].max(), params)
        ],
        ignore_index=True,
    )
    forecast = DemandModel.load(saved).forecast(history, planned)
    return forecast.merge(latest[SERIES].assign(reference_price=reference), on=SERIES)


def _periods_after(last: object, params: Params) -> list[date]:
    import pandas as pd

    step = {"day": pd.DateOffset(days=1), "week": pd.DateOffset(weeks=1)}
    offset = step.get(params.shop.grain, pd.DateOffset(months=1))
    starts = [pd.Timestamp(str(last)) + offset * k for k in range(1, params.train.horizon + 1)]
    return [start.date() for start in starts]
