"""The price response under harder conditions; `benchmarks.response` prints and records it.

Two simulated shops, whose elasticities are known:

- few transactions: prices are known only from what a few shoppers paid, so they have errors.
- no promotions table: displays and mailers come with price cuts, and nothing records them.

And the Complete Journey, whose prices are known only from what 2,500 households paid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from benchmarks.inputs.observed import few_transactions
from benchmarks.inputs.panel import benchmark_panel
from benchmarks.inputs.simulated import SimulatedShop, simulate_shop
from benchmarks.report import Bar
from models.response.controls import PROMOTION, group_means
from models.response.model import ResponseModel, fit
from pricebook.config import Gate, Response

SHOPPERS = 2000  # of the shop with few transactions
FEW, UNPROMOTED = "few transactions", "no promotions table"
NO_SHOPPERS = pd.DataFrame(columns=["sku", "zone", "segment", "period", "units", "price"])
COVERAGE = "coverage of the 90 % interval"
HALVES = {"a": "hash(t.store_id) % 2 = 0", "b": "hash(t.store_id) % 2 = 1"}


def conditions(seed: int) -> list[dict[str, Any]]:
    """A row for each condition: relative bias before and after, coverage, range, signs."""
    few, usual = simulate_shop(seed, shoppers=SHOPPERS), simulate_shop(seed)
    panels = {
        FEW: (few, few_transactions(few, seed)),
        UNPROMOTED: (usual, usual.panel.drop(columns=list(PROMOTION))),
    }
    rows = []
    for name, (shop, panel) in panels.items():
        model = fit(panel, NO_SHOPPERS, Response(), 7)
        rows.append({"seed": seed, "condition": name, **_row(name, model, shop)})
    return rows


def _row(name: str, model: ResponseModel, shop: SimulatedShop) -> dict[str, Any]:
    truth = shop.by_sku.sort_values("sku")["elasticity"].to_numpy()
    own, total = model.by_sku().sort_values("sku"), model.summary
    before = total.pooled_uncorrected if name == FEW else total.pooled_without_promotion_controls
    inside = (own["low"].to_numpy() <= truth) & (truth <= own["high"].to_numpy())
    pooled = abs(total.pooled - truth.mean()) <= 1.645 * total.pooled_stderr
    return {
        "pooled relative bias": total.pooled / truth.mean() - 1,
        "before": before / truth.mean() - 1,
        "reliability": total.reliability,
        COVERAGE: float(inside.mean()),
        "pooled interval covers": float(pooled),
        "most elastic": float(model.elasticities()["elasticity"].min()),
        "right sign": _right_sign(model, shop),
    }


def _right_sign(model: ResponseModel, shop: SimulatedShop) -> float:
    """Of the category cross elasticities whose interval excludes 0, the share with the true sign.

    NaN if there are none.
    """
    cross = model.cross()
    cross = cross[(cross["kind"] == "category") & ((cross["low"] > 0) | (cross["high"] < 0))]
    truth = shop.cross.rename(columns={"elasticity": "truth"})
    both = cross.merge(truth, on=["sku", "rival", "kind"])
    return float((np.sign(both["elasticity"]) == np.sign(both["truth"])).mean())


def summary(markets: pd.DataFrame) -> tuple[list[dict[str, Any]], list[Bar]]:
    """Means over the seeds, and their targets."""
    table = markets.groupby("condition", sort=False).mean(numeric_only=True).drop(columns="seed")
    few, unpromoted = table.loc[FEW], table.loc[UNPROMOTED]
    most_elastic = float(markets["most elastic"].min())
    limit = float(Gate().most_elastic)
    bars = [
        Bar(f"{FEW}: pooled, absolute relative bias", abs(few["pooled relative bias"]), 0.05),
        Bar(f"{FEW}: the same uncorrected", abs(few["before"]), 0.15, at_most=False),
        Bar(f"{FEW}: {COVERAGE}", few[COVERAGE], 0.85, at_most=False),
        Bar(f"{FEW}: {COVERAGE}", few[COVERAGE], 0.95),
        Bar(f"{UNPROMOTED}: pooled, bias", abs(unpromoted["pooled relative bias"]), 0.10),
        Bar(f"{UNPROMOTED}: the same without deals", unpromoted["before"], 0.40, at_most=False),
        Bar("the most elastic of all", most_elastic, limit, at_most=False),
        Bar(
            f"{UNPROMOTED}: category cross elasticities of the right sign",
            unpromoted["right sign"],
            0.9,
            at_most=False,
        ),
    ]
    records = table.astype(object).where(table.notna(), None).reset_index().to_dict("records")
    return [{str(name): value for name, value in row.items()} for row in records], bars


def journey_panel() -> pd.DataFrame:
    """The panel of the Complete Journey's 500 best sellers, with the halves of its stores."""
    panel = benchmark_panel()
    for half, stores in HALVES.items():
        sold = benchmark_panel(stores=stores, price="paid")[["sku", "week", "units", "price"]]
        names = {"units": f"units_{half}", "price": f"price_{half}"}
        panel = panel.merge(sold.rename(columns=names), on=["sku", "week"], how="left")
    return panel


def split_sample(panel: pd.DataFrame) -> dict[str, float]:
    """Plain figures of the attenuation, with sku and week effects and no other method of ours.

    Returns:
        reliability: the share of the variation of one half's price that the other's explains; the
        slope of log units on log price with display and mailer controls, by least squares and with
        one half's price as instrument for the other's.
    """
    sold = panel[(panel["units_a"] > 0) & (panel["units_b"] > 0)]
    names = ["units", "price", "price_a", "price_b"]
    logs = np.log(sold[names].to_numpy(float))
    plain = _within(logs, sold)
    controls = _within(sold[["display", "mailer"]].to_numpy(float), sold)
    units, price, a, b = (plain - controls @ np.linalg.lstsq(controls, plain, rcond=None)[0]).T
    half_a, half_b = plain[:, 2], plain[:, 3]
    return {
        "reliability of one half": float(
            half_a @ half_b / np.sqrt((half_a @ half_a) * (half_b @ half_b))
        ),
        "least squares": float(price @ units / (price @ price)),
        "split-sample instruments": float((a + b) @ units / (2 * (a @ b))),
    }


def _within(values: Any, sold: pd.DataFrame) -> Any:
    groups = [np.unique(sold[name], return_inverse=True)[1] for name in ("sku", "period")]
    for _ in range(50):
        for group in groups:
            values = values - group_means(values, group)
    return values
