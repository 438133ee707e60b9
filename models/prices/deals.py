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
REGULAR_QUANTILE = 0.75  # of the prices of a window; deals may fill most of it
MIN_DEPTH = 0.04  # of a deal, relative to the regular price; a smaller difference is noise


def deals(rows: pd.DataFrame) -> Floats:
    """1 where a price is temporarily below the regular one, else 0 [m].

    The regular price is the lower of an upper quantile of the prices before and of those after the
    period. So a deal ends, with the price back where it was; after a permanent cut the price stays
    low, and before a rise it was low. Near the ends of a series, one side has too few periods to
    tell; the other side decides, because deals are more common than changes of the regular price.

    Args:
        rows: series, period and price, sorted by series and period.
    """
    window = _window(rows["period"])
    before = _upper_quantile(rows, window)
    after = _upper_quantile(rows[::-1], window).reindex(rows.index)
    regular = np.fmin(before.to_numpy(float), after.to_numpy(float))
    return np.asarray(rows["price"].to_numpy(float) < (1 - MIN_DEPTH) * regular, np.float64)


def _window(period: pd.Series) -> int:
    """How many periods a window has."""
    days = np.diff(np.sort(pd.to_datetime(period.drop_duplicates()).to_numpy()))
    step = float(np.median(days / np.timedelta64(1, "D"))) if len(days) else WINDOW_DAYS
    return max(MIN_WINDOW, round(WINDOW_DAYS / step))


def _upper_quantile(rows: pd.DataFrame, window: int) -> pd.Series:
    """The quantile of the `window` rows of the series before each row; NaN if too few."""
    previous = rows.groupby("series", sort=False)["price"].shift().astype(float)
    rolling = previous.groupby(rows["series"], sort=False).rolling(window, min_periods=MIN_PRICES)
    quantile = rolling.quantile(REGULAR_QUANTILE, interpolation="higher")
    return quantile.reset_index(level=0, drop=True)
