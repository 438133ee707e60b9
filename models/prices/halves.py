"""The two halves of the sales of a row: how their prices and units differ.

The halves are those of `pricebook.features.halves`. A panel may lack them.

Arrays have a row per usable row [m]; n is the number of series.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

HALVES = ("units_a", "price_a", "units_b", "price_b")
VARIANCE_ROWS = 8.0  # the shop's variance of a unit's price counts as this many rows of a series
SMOOTHING_UNITS = 1.0  # added to a series' units in each half


@dataclass(frozen=True)
class Halves:
    """Prices and units of the two halves of each row.

    Attributes:
        price_gap: log price of one half minus the other's [m]; 0 where a half sold nothing.
        log_bias: the expected log price minus the log of the row's price [m]. The log of a mean of
            few prices is below the log of their expectation, by half its variance, so a row with
            few units would seem cheaper. `price_gap` is without this bias.
        share: of the row's units in the first half [m].
        usual_share: of the series' units in the first half [m].
        weight: share x (1 - share) where both halves sold, else 0 [m].
        error: one over the units of the row, at most 1 [m]. The sampling variance of a mean price
            is proportional to it.
    """

    price_gap: Floats
    log_bias: Floats
    share: Floats
    usual_share: Floats
    weight: Floats
    error: Floats

    def units_gap(self, relative_units: Floats, limit: float) -> Floats:
        """Working log units of one half minus the other's [m].

        Args:
            relative_units: units / expected units of the row [m].
            limit: of the relative error of a half.
        """
        shares = (self.share, self.usual_share), (1 - self.share, 1 - self.usual_share)
        first, second = (
            np.minimum(relative_units * share / usual - 1, limit) for share, usual in shares
        )
        return np.asarray(first - second)


def halves_of(rows: pd.DataFrame) -> Halves | None:
    """The halves of usable rows; None if the panel has none, or no row has sales in both."""
    if not set(HALVES) <= set(rows.columns):
        return None
    units = rows[["units_a", "units_b"]].fillna(0.0).clip(lower=0.0).to_numpy(float)
    prices = rows[["price_a", "price_b"]].to_numpy(float, na_value=np.nan)
    both = (prices > 0).all(axis=1) & (units > 0).all(axis=1)
    if not both.any():
        return None
    logs = np.log(np.where(both[:, None], prices, 1.0))
    total, series = units.sum(axis=1), rows["series"].to_numpy(np.int64)
    share = np.divide(units[:, 0], total, out=np.full(len(units), 0.5), where=total > 0)
    weight = np.where(both, share * (1 - share), 0.0)
    gap, error = logs[:, 0] - logs[:, 1], 1 / np.maximum(total, 1.0)
    bias = _unit_variance(gap, weight / error, series) / 2
    inverse = 1 / np.where(both[:, None], units, 1.0)
    return Halves(
        price_gap=gap + bias * (inverse[:, 0] - inverse[:, 1]),
        log_bias=bias * error,
        share=share,
        usual_share=_usual_share(units, series),
        weight=weight,
        error=error,
    )


def _unit_variance(gap: Floats, weight: Floats, series: Ints) -> Floats:
    """The variance of the log price of a single unit, of each row's series [m].

    Args:
        gap: differences of the halves' log prices [m].
        weight: one over the variance of a gap whose units have variance 1 [m].
    """
    rows, total = np.bincount(series, weight > 0), np.bincount(series, weight)
    mean = np.bincount(series, weight * gap) / np.maximum(total, 1e-300)
    squares = np.bincount(series, weight * (gap - mean[series]) ** 2)
    freedom = np.maximum(rows - 1, 0)
    shop = squares.sum() / max(int(freedom.sum()), 1)
    return np.asarray(((squares + VARIANCE_ROWS * shop) / (freedom + VARIANCE_ROWS))[series])


def _usual_share(units: Floats, series: Ints) -> Floats:
    sums = [np.bincount(series, column) + SMOOTHING_UNITS for column in units.T]
    return np.asarray((sums[0] / (sums[0] + sums[1]))[series])
