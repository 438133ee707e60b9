"""Does the demand model tell a stock-out from a lack of demand? `python -m benchmarks.censoring`.

In the simulated market a fifth of the sku-weeks are out of stock for most of the week, and what was
asked for is known. The same model is trained twice, told and not told of the stock, and forecasts
the weeks that follow: the bias is against what was asked for.
"""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.report import Bar, Plot, show, write
from benchmarks.simulated import seeds_asked, simulated
from pricebook.config import Demand
from pricebook.metrics import bias, wape

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SHARE, SEEDS, HORIZON = 0.2, 3, 4
SPEC = Demand(max_series=None, context=26, epochs=20, batch_size=128)
TOLD, NOT_TOLD = "ours, told of the stock", "the same, not told"


def forecasts(seed: int) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """What was asked for and what each reading forecast, over the last weeks of a market."""
    from models.demand.model import fit

    panel = simulated(seed, skus=120, categories=12, shoppers=2000, out_of_stock=SHARE).panel
    cut = np.sort(panel["period"].unique())[-HORIZON]
    found = {}
    for name, columns in {TOLD: [], NOT_TOLD: ["on_hand_share"]}.items():
        seen = panel.drop(columns=columns)
        history = seen[seen["period"] < cut].drop(columns="demand")
        plan = seen[seen["period"] >= cut].drop(columns=["demand", "units"])
        said = fit(history, SPEC, HORIZON, 7, lambda *_: None).forecast(history, plan)
        both = said.merge(panel[["sku", "period", "demand"]], on=["sku", "period"])
        found[name] = both["demand"].to_numpy(float), both["mean"].to_numpy(float)
    return found


def rows(played: list[dict[str, tuple[np.ndarray, np.ndarray]]]) -> list[dict[str, Any]]:
    told = []
    for name in (TOLD, NOT_TOLD):
        asked, said = (np.concatenate([one[name][side] for one in played]) for side in (0, 1))
        told.append({"reading": name, "bias": bias(asked, said), "WAPE": wape(asked, said)})
    return told


def bars(found: pd.DataFrame) -> list[Bar]:
    off = found.set_index("reading")["bias"].abs()
    return [
        Bar("bias, either way, told of the stock", float(off[TOLD]), 0.03),
        Bar("bias, either way, not told", float(off[NOT_TOLD]), 0.10, at_most=False),
    ]


def main() -> None:
    seeds = seeds_asked(__doc__, SEEDS)
    found = rows([forecasts(seed) for seed in seeds])
    title = f"Demand where {SHARE:.0%} of sku-weeks are out of stock"
    show(title, found, bars(pd.DataFrame(found)))
    if seeds == range(SEEDS):
        plot = Plot("reading", "bias")
        write(
            "censoring",
            title,
            "python -m benchmarks.censoring",
            found,
            bars(pd.DataFrame(found)),
            plot,
        )


if __name__ == "__main__":
    main()
