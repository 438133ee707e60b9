"""Harder views of a simulated shop: what its orders show when less is known.

`few_transactions` observes the prices of a shop through what a few shoppers paid.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.inputs.simulated import SimulatedShop

Floats = NDArray[np.float64]

STORES = 60
STORE_SD = 0.06  # of a store's log price around the chain's, drawn for each sku and week
COUPON_SHARE, COUPON_DEPTH = 0.25, 0.3  # of the units bought


def few_transactions(shop: SimulatedShop, seed: int) -> pd.DataFrame:
    """The panel of a shop whose prices are known only from what its shoppers paid.

    Stores deviate from the chain's price by chance each week, and shoppers respond to the price of
    their store. Some use a coupon. So the price of a week is the mean of what was paid, and is
    carried forward through weeks without a sale. The columns of the two halves are those of
    `half_period`: half the stores are in each.
    """
    rng, panel = np.random.default_rng([seed, 11]), shop.panel
    response = panel["sku"].map(shop.by_sku.set_index("sku")["elasticity"]).to_numpy(float)
    deviation = rng.normal(0, STORE_SD, (len(panel), STORES))
    appeal = np.exp(response[:, None] * deviation)
    total = np.floor(panel["units"] * appeal.mean(axis=1) + rng.random(len(panel)))
    units = rng.multinomial(total.astype(np.int64), appeal / appeal.sum(axis=1, keepdims=True))
    coupons = rng.binomial(units, COUPON_SHARE)
    price = panel["price"].to_numpy(float)[:, None] * np.exp(deviation)
    revenue = price * (units - COUPON_DEPTH * coupons)
    first = np.arange(STORES) < STORES // 2
    paid = _mean_price(revenue.sum(axis=1), units.sum(axis=1))
    halves = {
        f"{name}_{half}": values
        for half, stores in (("a", first), ("b", ~first))
        for name, values in _half(revenue[:, stores], units[:, stores]).items()
    }
    carried = pd.Series(paid, panel.index).groupby(panel["sku"])
    price = carried.ffill().groupby(panel["sku"]).bfill()
    return panel.assign(units=units.sum(axis=1), price=price, **halves)


def _half(revenue: Floats, units: Floats) -> dict[str, Floats]:
    sums = units.sum(axis=1)
    return {"units": sums, "price": _mean_price(revenue.sum(axis=1), sums)}


def _mean_price(revenue: Floats, units: Floats) -> Floats:
    return np.divide(revenue, units, out=np.full(len(units), np.nan), where=units > 0)
