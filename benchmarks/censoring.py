"""Test whether the demand model distinguishes a stock-out from low demand.

    python -m benchmarks.censoring

In the simulated market a fifth of the sku-weeks are out of stock for most of the week, and the true
demand is known. The same model is trained twice, with and without the stock record. The bias of its
forecasts is measured against the true demand.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.inputs.simulated import seed_range, simulate_shop
from benchmarks.report import Bar, Plot, print_result, write_result
from pricebook.config import Demand
from pricebook.metrics import bias, wape

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SHARE, SEEDS, HORIZON = 0.2, 3, 4
SPEC = Demand(max_series=None, context=26, epochs=20, batch_size=128)
WITH_STOCK, WITHOUT_STOCK = "ours, with stock record", "the same model, without stock record"


def forecasts(seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """The true demand, and the forecasts with and without the stock record, of the last weeks."""
    from models.demand.model import fit

    panel = simulate_shop(seed, skus=120, categories=12, shoppers=2000, out_of_stock=SHARE).panel
    cut = np.sort(panel["period"].unique())[-HORIZON]
    results = {}
    for name, columns in {WITH_STOCK: [], WITHOUT_STOCK: ["on_hand_share"]}.items():
        visible = panel.drop(columns=columns)
        history = visible[visible["period"] < cut].drop(columns="demand")
        plan = visible[visible["period"] >= cut].drop(columns=["demand", "units"])
        forecast = fit(history, SPEC, HORIZON, 7, lambda *_: None).forecast(history, plan)
        both = forecast.merge(panel[["sku", "period", "demand"]], on=["sku", "period"])
        results[name] = both["demand"].to_numpy(float), both["mean"].to_numpy(float)
    return results


def rows(markets: list[dict[str, tuple[np.ndarray, np.ndarray]]]) -> list[dict[str, Any]]:
    table = []
    for name in (WITH_STOCK, WITHOUT_STOCK):
        demand, forecast = (
            np.concatenate([market[name][side] for market in markets]) for side in (0, 1)
        )
        table.append(
            {"model": name, "bias": bias(demand, forecast), "WAPE": wape(demand, forecast)}
        )
    return table


def bars(table: pd.DataFrame) -> list[Bar]:
    bias = table.set_index("model")["bias"].abs()
    return [
        Bar("absolute bias, with stock record", float(bias[WITH_STOCK]), 0.03),
        Bar("absolute bias, without stock record", float(bias[WITHOUT_STOCK]), 0.10, at_most=False),
    ]


def main() -> None:
    seeds = seed_range(__doc__, SEEDS)
    table = rows([forecasts(seed) for seed in seeds])
    title = f"Demand where {SHARE:.0%} of sku-weeks are out of stock"
    print_result(title, table, bars(pd.DataFrame(table)))
    if seeds == range(SEEDS):
        plot = Plot("model", "bias")
        write_result(
            "censoring",
            title,
            "python -m benchmarks.censoring",
            table,
            bars(pd.DataFrame(table)),
            plot,
        )


if __name__ == "__main__":
    main()
