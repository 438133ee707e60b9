"""Forecasts over HTTP: demand for a sku over the horizon, also at another price."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pricebook.pricing.quote import EVERYONE
from serving.http.errors import RequestError
from serving.http.schemas import ForecastRequest
from serving.quotes.bundle import Bundle
from serving.quotes.lookup import rows_of

Reply = dict[str, Any]


def forecast(bundle: Bundle, asked: ForecastRequest) -> Reply:
    """Demand for a sku over the horizon, at its reference price or the asked one.

    Raises:
        RequestError: the sku is not listed or has no forecast (404), or the horizon is too far (422).
    """
    (row,) = rows_of(bundle, [asked])
    sku, zone = bundle.listings.sku[row], bundle.listings.zone[row]
    steps = bundle.forecasts.rows.get((sku, zone))
    if not steps:
        detail = "This sku sells too little to be forecast."
        raise RequestError(404, "no_forecast", detail, asked.sku)
    horizon = asked.horizon or len(steps)
    if horizon > len(steps):
        detail = f"horizon: the forecast has {len(steps)} steps."
        raise RequestError(422, "invalid_body", detail, horizon)
    return _forecast(bundle, row, steps[:horizon], asked.price)


def _forecast(bundle: Bundle, row: int, steps: Sequence[int], price: int | None) -> Reply:
    columns = bundle.forecasts.columns
    sku, zone = bundle.listings.sku[row], bundle.listings.zone[row]
    reference = float(columns["reference_price"][steps[0]])
    ratio = 1.0
    if price is not None:
        series = [bundle.series(sku, zone, EVERYONE)]
        ratio = float(bundle.runtime.demand_ratio(series, np.array([[price / reference]]))[0, 0])
    list_price = int(bundle.listings.list_price[row])
    return {
        "sku": sku,
        "zone": zone,
        "currency": bundle.about.currency,
        "grain": bundle.about.grain,
        "price": price or round(reference),
        "reference_price": round(reference),
        "list_price": list_price,
        "demand_ratio": ratio,
        "notes": _notes(price, list_price),
        "steps": [_step(columns, step, ratio) for step in steps],
        "model_name": "demand",
        "model_version": bundle.about.models["demand"].version,
    }


def _notes(price: int | None, list_price: int) -> list[str]:
    if price is None:
        return ["at the reference price, with no promotion planned"]
    if price > list_price:
        return ["a what-if above the list price: no shopper is ever quoted it"]
    return ["a what-if: demand at the reference price, times the response to this one"]


def _step(columns: Mapping[str, list[Any]], step: int, ratio: float) -> Reply:
    names = sorted(name for name in columns if name[0] == "q" and name[1:].isdigit())
    return {
        "step": columns["step"][step],
        "period": columns["period"][step],
        "mean": columns["mean"][step] * ratio,
        "quantiles": {name: columns[name][step] * ratio for name in names},
    }
