"""Deals: temporary price cuts, inferred from the shape of a series' prices.

A shop without a promotions table still has promotions: with a deal come displays, leaflets and
shelf tags, which sell by themselves. Without a control, the price gets all the credit. A flag for
the deal, beside the log price, leaves two sources for the elasticity: changes of the regular price,
and deals of different depth.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]

WINDOW_DAYS = 56.0  # before and after a period; a lower price that lasts longer is a regular price
MIN_WINDOW = 4  # periods
MIN_PRICES = 3  # that one side of a period needs
UPPER = 0.75  # quantile of the prices of a window that is the regular price; deals may be below it
MIN_DEPTH = 0.04  # of a deal: log of the regular price minus log of the price; less is rounding
NOISE_DEPTH = 2.5  # of a deal, in standard deviations of the price's noise
# The mean square by which normal noise exceeds the higher of two such quantiles, relative to its
# variance.
EXCESS = 0.1
NOISE_ROWS = 8.0  # the shop's noise counts as this many rows of a series


def deals(rows: pd.DataFrame) -> Floats:
    """1 where a price is temporarily below the regular one, else 0 [m].

    The regular price is the lower of an upper quantile of the prices before and of those after the
    period. So a deal ends, with the price back where it was; after a permanent cut the price stays
    low, and before a rise it was low. Near the ends of a series, one side has too few periods to
    tell. Then the median of the other side is the regular price. A deal is deeper than the noise of
    the price, which is how far prices exceed the regular one.

    Args:
        rows: series, period and price, sorted by series and period.
    """
    log = pd.Series(np.log(rows["price"].to_numpy(float)))
    series, window = rows["series"].reset_index(drop=True), _window(rows["period"])
    upper, median = (
        [_quantile(part, series, window, level) for part in (log, log[::-1])]
        for level in (UPPER, 0.5)
    )
    sides = [
        side.where(other.notna(), middle)
        for side, other, middle in zip(upper, upper[::-1], median, strict=True)
    ]
    lower, higher = np.fmin(*sides), np.maximum(*upper)  # the higher is NaN near the ends
    depth = np.maximum(MIN_DEPTH, NOISE_DEPTH * _noise(log - higher, series))
    return np.asarray(log < lower - depth, np.float64)


def _noise(above: pd.Series, series: pd.Series) -> Floats:
    """The standard deviation of the noise of each row's series [m], shrunk to the shop's.

    Args:
        above: log price minus the higher of the two quantiles [m]; NaN where one is unknown.
    """
    square = np.maximum(above.fillna(0.0), 0.0).to_numpy() ** 2 / EXCESS
    codes, shop = series.to_numpy(np.int64), square.mean()
    sums = np.bincount(codes, square) + NOISE_ROWS * shop
    return np.asarray(np.sqrt(sums / (np.bincount(codes) + NOISE_ROWS))[codes], np.float64)


def _window(period: pd.Series) -> int:
    """How many periods a window has."""
    days = np.diff(np.sort(pd.to_datetime(period.drop_duplicates()).to_numpy()))
    step = float(np.median(days / np.timedelta64(1, "D"))) if len(days) else WINDOW_DAYS
    return max(MIN_WINDOW, round(WINDOW_DAYS / step))


def _quantile(log: pd.Series, series: pd.Series, window: int, level: float) -> pd.Series:
    """The quantile of the `window` rows of the series before each row; NaN if too few."""
    groups = series.reindex(log.index)
    previous = log.groupby(groups, sort=False).shift()
    rolling = previous.groupby(groups, sort=False).rolling(window, min_periods=MIN_PRICES)
    quantile = rolling.quantile(level, interpolation="higher").reset_index(level=0, drop=True)
    return quantile.reindex(series.index)
