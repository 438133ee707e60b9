"""What the residuals say of each series' elasticity, and how far to trust it.

Least squares on a series' residual rows depends on them only through its slope and the precision of
that slope, so the network learns from one row per series and loses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.response.residuals import Residuals

Floats = NDArray[np.float64]

VARIANCE_ROWS = 8.0  # rows' worth of the shop's noise in a series' noise
ROUNDS = 50  # of Paule and Mandel's iteration; it needs about ten
GUESS = 8.0  # blocks' worth of the guess that the noise is as wide as it looks


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
    noise of a series is shrunk to the shop's, and widened by how far apart its blocks of time are.
    """
    count = np.bincount(left.series, minlength=size)
    xx = np.bincount(left.series, left.weight * left.price**2, size)
    xy = np.bincount(left.series, left.weight * left.price * left.units, size)
    weight = np.bincount(left.series, left.weight, size)
    moved = (count >= min_rows) & (xx > 1e-6 * np.maximum(weight, 1e-300))
    slope = np.divide(xy, xx, out=np.zeros(size), where=moved)
    square = left.weight * (left.units - slope[left.series] * left.price) ** 2
    used = moved[left.series]
    shop = float(square[used].mean()) if used.any() else 1.0
    noise = np.bincount(left.series, square, size) + VARIANCE_ROWS * shop
    noise = noise / (count + VARIANCE_ROWS) + 1e-12
    noise = noise * _dispersion(left, slope, np.where(moved, noise, np.inf))
    return Evidence(slope, np.where(moved, xx / noise, 0.0))


def _dispersion(left: Residuals, slope: Floats, noise: Floats) -> float:
    """How much wider the slopes of single blocks scatter than the noise has it; at least 1.

    Noise that lasts, controls that fit too well and an elasticity that drifts all show there
    (Cochran's Q over the shop's series, with a guess of 1).
    """
    blocks = left.block.max() + 1
    cells, size = left.series * blocks + left.block, len(slope) * blocks
    xx = np.bincount(cells, left.weight * left.price**2, size)
    xy = np.bincount(cells, left.weight * left.price * left.units, size)
    known = (xx > 0) & np.isfinite(np.repeat(noise, blocks))
    apart = xy - np.repeat(slope, blocks) * xx
    scatter = apart[known] ** 2 / (xx[known] * np.repeat(noise, blocks)[known])
    freedom = known.sum() - len(np.unique(np.flatnonzero(known) // blocks))
    return max(float((scatter.sum() + GUESS) / (freedom + GUESS)), 1.0)
