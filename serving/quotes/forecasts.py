"""`POST /forecast`: the demand for a sku over the horizon, also at another price (a what-if)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pricebook.pricing.quote import EVERYONE
from serving.http.errors import RequestError
from serving.http.schemas import ForecastRequest
from serving.quotes.bundle import Bundle
from serving.quotes.lookup import find_rows

Reply = dict[str, Any]
NO_DEMAND_MODEL = (
    "There is no demand model yet: {why}. Run `retrain` in Airflow, or `pricebook train demand`, "
    "`pricebook train response`, `pricebook gate` and `pricebook promote`."
)


def forecast(bundle: Bundle, request: ForecastRequest) -> Reply:
    """The demand for a sku over the horizon, at its reference price or at the requested price.

    Raises:
        RequestError: 404, the sku is not listed or has no forecast; 422, the horizon is longer than
            the forecast; 503, there is no demand model yet.
    """
    if bundle.runtime is None:
        raise RequestError(503, "no_demand_model", NO_DEMAND_MODEL.format(why=bundle.manifest.why))
    (row,) = find_rows(bundle, [request])
    steps = bundle.forecasts.rows.get(bundle.places[row])
    if not steps:
        detail = "This sku has no forecast, because it sells too little."
        raise RequestError(404, "no_forecast", detail, request.sku)
    horizon = request.horizon or len(steps)
    if horizon > len(steps):
        detail = f"horizon: the forecast has {len(steps)} steps."
        raise RequestError(422, "invalid_body", detail, horizon)
    return _reply(bundle, row, steps[:horizon], request.price)


def _reply(bundle: Bundle, row: int, steps: Sequence[int], price: int | None) -> Reply:
    columns = bundle.forecasts.columns
    sku, zone = bundle.places[row]
    reference = float(columns["reference_price"][steps[0]])
    ratio = 1.0
    if price is not None:
        listing, ratios = bundle.listings.take(np.array([row])), np.array([[price / reference]])
        ratio = float(bundle.demand(listing, [EVERYONE], ratios)[0, 0])
    list_price = int(bundle.listings.list_price[row])
    return {
        "sku": sku,
        "zone": zone,
        "currency": bundle.manifest.currency,
        "grain": bundle.manifest.grain,
        "price": price or round(reference),
        "reference_price": round(reference),
        "list_price": list_price,
        "demand_ratio": ratio,
        "notes": _notes(price, list_price),
        "steps": [_step(columns, step, ratio) for step in steps],
        "model_name": "demand",
        "model_version": bundle.manifest.models["demand"].version,
    }


def _notes(price: int | None, list_price: int) -> list[str]:
    if price is None:
        return ["at the reference price, with no promotion planned"]
    if price > list_price:
        return ["a what-if above the list price; no quote is ever above the list price"]
    return ["a what-if: demand at the reference price, times the predicted response to this price"]


def _step(columns: Mapping[str, list[Any]], row: int, ratio: float) -> Reply:
    names = sorted(name for name in columns if name[0] == "q" and name[1:].isdigit())
    return {
        "step": columns["step"][row],
        "period": columns["period"][row],
        "mean": columns["mean"][row] * ratio,
        "quantiles": {name: columns[name][row] * ratio for name in names},
    }
