"""What the residuals say of each series' elasticity, and how far to trust it.

Least squares on a series' residual rows depends on them only through its slope and the precision of
that slope, so the network learns from one row per series and loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.orthogonal import Residuals

Floats = NDArray[np.float64]

VARIANCE_ROWS = 8.0  # rows' worth of the shop's noise in a series' noise
ROUNDS = 50  # of Paule and Mandel's iteration; it needs about ten
LAGS = 3  # periods over which the noise of a series may be correlated


@dataclass(frozen=True)
class Evidence:
    """Per series, [n]: the slope of log units on log price, and its precision (0: no evidence)."""

    slope: Floats
    precision: Floats

    @property
    def pooled(self) -> tuple[float, float]:
        """The mean slope of the shop's series and its standard error, by random effects.

        Series differ by more than their noise, so the precise ones may not speak for all: the
        variance between them joins that within (Paule & Mandel 1982). NaN and infinity without
        evidence.
        """
        used = self.precision > 0
        if not used.any():
            return float("nan"), float("inf")
        slope, noise, between = self.slope[used], 1 / self.precision[used], 0.0
        for _ in range(ROUNDS):
            weight = 1 / (noise + between)
            mean = float(weight @ slope / weight.sum())
            squares = (slope - mean) ** 2
            excess = float(weight @ squares) - (len(slope) - 1)
            between = max(between + excess / max(float(weight**2 @ squares), 1e-300), 0.0)
        return mean, float(weight.sum() ** -0.5)


def evidence(left: Residuals, size: int, min_rows: int) -> Evidence:
    """The slope of each of `size` series, and its precision.

    A series with fewer than `min_rows` rows, or whose price did not move, gives no evidence. The
    noise of a series is shrunk to the shop's; the precision is deflated by the serial correlation
    of the scores (Newey & West 1987, pooled over the shop).
    """
    count = np.bincount(left.series, minlength=size)
    xx = np.bincount(left.series, left.price**2, size)
    xy = np.bincount(left.series, left.price * left.units, size)
    moved = (count >= min_rows) & (xx > 1e-6 * np.maximum(count, 1))
    slope = np.divide(xy, xx, out=np.zeros(size), where=moved)
    errors = left.units - slope[left.series] * left.price
    squares = np.bincount(left.series, errors**2, size) / left.freedom
    used = moved[left.series]
    shop = float((errors[used] ** 2).mean() / left.freedom) if used.any() else 1.0
    noise = (squares + VARIANCE_ROWS * shop) / (count + VARIANCE_ROWS)
    noise = noise * _design_effect(left, errors, used) + 1e-12
    return Evidence(slope, np.where(moved, xx / noise, 0.0))


def _design_effect(left: Residuals, errors: Floats, used: NDArray[np.bool_]) -> float:
    """How much serial correlation widens the variance of a slope; at least 1."""
    score = np.where(used, left.price * errors, 0.0)
    alone = float(score @ score)
    if alone == 0:
        return 1.0
    together = alone
    for lag in range(1, LAGS + 1):
        same = left.series[lag:] == left.series[:-lag]
        bartlett = 1 - lag / (LAGS + 1)
        together += 2 * bartlett * float((score[lag:] * score[:-lag])[same].sum())
    return max(together / alone, 1.0)
