"""Limits that keep one wrong row or one series from deciding the profit backtest."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.evaluation.holdout import SERIES

log = logging.getLogger("pricebook.profit")

Floats = NDArray[np.float64]

MAX_PRICE_RATIO = 4.0  # a price further than this factor from its series' median is an error
MAX_UNITS_RATIO = 20.0  # so are units above this multiple of the series' median period with sales
RANGE_MARGIN = 0.02  # demand is known down to this share below the prices charged
ELASTICITY_RANGE = (-8.0, -0.05)  # of the judge's own elasticities; estimates outside are noise
MAX_CROSS = 3.0  # of the judge's cross elasticity

# The most by which one series can change the judged gain, as a share of the shop's profit (the sum
# of its series' absolute profits). A contribution lies between minus and plus half of it.
MAX_SHARE = 0.05
MIN_EQUAL_SHARES = 4.0  # the same in a small shop: this many times an equal share, 1 / series


def credible_rows(panel: pd.DataFrame) -> pd.DataFrame:
    """Remove the rows whose price or units are far from their series' medians; the log counts them.

    A median is not moved by a few wrong rows. A series that is wrong in most rows keeps them: its
    weight is limited by `largest_contribution`.
    """
    sold = panel[(panel["units"] > 0) & (panel["price"] > 0)]
    medians = sold.groupby(SERIES)[["price", "units"]].median().add_prefix("median_").reset_index()
    usual = panel[SERIES].merge(medians, on=SERIES, how="left")
    price = (panel["price"] / usual["median_price"].to_numpy()).fillna(1.0)
    units = (panel["units"] / usual["median_units"].to_numpy()).fillna(1.0)
    credible = price.between(1 / MAX_PRICE_RATIO, MAX_PRICE_RATIO) & (units <= MAX_UNITS_RATIO)
    if not credible.all():
        log.info(
            "The profit backtest leaves out %d of %d rows with a price or units far from usual.",
            (~credible).sum(),
            len(panel),
        )
    return panel[credible]


def lowest_charged(panel: pd.DataFrame, series: pd.DataFrame) -> Floats:
    """[series]: the lowest price with sales, lowered by `RANGE_MARGIN`.

    Args:
        series: sku, zone and the latest price, which stands in where nothing was sold.
    """
    sold = panel[(panel["units"] > 0) & (panel["price"] > 0)]
    lowest = sold.groupby(SERIES)["price"].min().rename("lowest").reset_index()
    prices = series[[*SERIES, "price"]].merge(lowest, on=SERIES, how="left")
    price = prices["lowest"].fillna(prices["price"]).to_numpy(float)
    return np.asarray(price * (1 - RANGE_MARGIN))


def limit_sizes(panel: pd.DataFrame) -> pd.DataFrame:
    """Scale the units of a series down where its mean is above `largest_contribution` of the means.

    The judge estimates elasticities with fixed effects of the series, so their scale carries no
    information; it only sets how much a series weighs.
    """
    mean = panel.groupby(SERIES)["units"].mean()
    factor = largest_contribution(mean.to_numpy(float)) / mean
    scale = panel[SERIES].merge(factor.rename("scale").reset_index(), on=SERIES, how="left")
    return panel.assign(units=panel["units"] * scale["scale"].clip(upper=1.0).to_numpy(float))


def largest_contribution(values: Floats) -> float:
    """The limit, either way, of what one series may contribute to a sum, in the unit of `values`.

    With h half of `MAX_SHARE`, it is the largest c with c = h * sum(min(|value|, c)): a share of
    the sum in which large series already count as c. So a series with absurd figures hardly raises
    its own limit. Limiting values to the largest credible one is winsorising (Tukey 1962, "The
    future of data analysis", Annals of Mathematical Statistics 33(1)).

    Args:
        values: (series,), such as the profit at the prices charged.

    >>> round(largest_contribution(np.array([100.0] * 99 + [1e12])), 1)
    253.8
    """
    size = np.sort(np.abs(values[values != 0]))
    if not size.size:
        return 0.0
    share = max(MAX_SHARE, MIN_EQUAL_SHARES / size.size) / 2
    # With the k smallest unchanged and the others limited to c: c = share * (below[k] + (n - k) c)
    below = np.concatenate([[0.0], np.cumsum(size)])
    divisor = 1 - share * (size.size - np.arange(size.size + 1))
    limits = np.divide(share * below, divisor, out=np.full(len(below), np.inf), where=divisor > 0)
    return float(limits[np.argmax(np.append(size, np.inf) >= limits)])
