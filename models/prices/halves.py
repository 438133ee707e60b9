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
SMOOTHING_UNITS = 1.0  # added to a series' units in each half


@dataclass(frozen=True)
class Halves:
    """Prices and units of the two halves of each row.

    Attributes:
        price_gap: log price of one half minus the other's [m]; 0 where a half sold nothing.
        share: of the row's units in the first half [m].
        usual_share: of the series' units in the first half [m].
        weight: share x (1 - share) where both halves sold, else 0 [m].
        error: one over the units of the row, at most 1 [m]. The sampling variance of a mean price
            is proportional to it.
    """

    price_gap: Floats
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
    total = units.sum(axis=1)
    share = np.divide(units[:, 0], total, out=np.full(len(units), 0.5), where=total > 0)
    return Halves(
        price_gap=logs[:, 0] - logs[:, 1],
        share=share,
        usual_share=_usual_share(units, rows["series"].to_numpy(np.int64)),
        weight=np.where(both, share * (1 - share), 0.0),
        error=1 / np.maximum(total, 1.0),
    )


def _usual_share(units: Floats, series: Ints) -> Floats:
    sums = [np.bincount(series, column) + SMOOTHING_UNITS for column in units.T]
    return np.asarray((sums[0] / (sums[0] + sums[1]))[series])
