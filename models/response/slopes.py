"""The least squares slope of each series' residuals, and its precision.

The least squares loss of a series depends on its residual rows only through the slope and the
precision of the slope. So the network trains on one row per series without loss of information.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.response.residuals import Residuals
from models.response.shrinkage import Tree, empirical_bayes

Floats = NDArray[np.float64]

VARIANCE_ROWS = 8.0  # the shop's noise variance counts as this many rows of a series
# Of the variance of a row of weight 1, which is about 1. Without a lower limit, the precisions of
# data without noise (made-up data, or a single price error) would overflow in float32.
MIN_NOISE = 1e-4
FLAT_SD = 10.0  # prior standard deviation of the shop's slope, where only its effects matter
PAULE_MANDEL_STEPS = 50  # about ten are needed
DISPERSION_PRIOR = 8.0  # prior weight, in degrees of freedom, of a dispersion of 1


@dataclass(frozen=True)
class SeriesSlopes:
    """Slopes of residual log units on residual log price: n raw elasticities.

    Attributes:
        slope: [n].
        precision: one over the variance of the slope [n]; 0 where the series has no evidence.
    """

    slope: Floats
    precision: Floats

    def pooled(self, tree: Tree, prior: tuple[float, float]) -> tuple[float, float]:
        """The mean slope of the shop's series and its standard error, by random effects.

        The true slopes differ between series, so a fixed-effect mean would follow the few most
        precise series. Random effects add the variance between series to the variance within them
        (Paule & Mandel 1982, "Consensus values and weighting factors").

        The series of a department or category are alike, so they are not as many independent
        observations. The standard error counts the variance of every level of the hierarchy: the
        fewer departments a shop has, the larger it is.

        Args:
            prior: returned if no series has evidence.
        """
        used = self.precision > 0
        if not used.any():
            return prior
        slope, noise, between = self.slope[used], 1 / self.precision[used], 0.0
        for _ in range(PAULE_MANDEL_STEPS):
            weight = 1 / (noise + between)
            mean = float(weight @ slope / weight.sum())
            squares = (slope - mean) ** 2
            excess = float(weight @ squares) - (len(slope) - 1)
            between = max(between + excess / max(float(weight**2 @ squares), 1e-300), 0.0)
        return mean, self._pooled_error(tree, weight / weight.sum(), mean)

    def _pooled_error(self, tree: Tree, share: Floats, mean: float) -> float:
        """The standard error of a mean of the used series with these shares."""
        used = self.precision > 0
        _, sds = empirical_bayes(tree, self.slope, self.precision, (mean, FLAT_SD))
        variance = float(share**2 @ (1 / self.precision[used]))
        for column, sd in zip(tree.ancestry[used].T, sds, strict=True):
            variance += sd**2 * float((np.bincount(column, share) ** 2).sum())
        return float(np.sqrt(variance))


def series_slopes(residuals: Residuals, size: int, min_rows: int) -> SeriesSlopes:
    """Estimate the slope of each of `size` series.

    A series with fewer than `min_rows` rows, or without price variation, has no evidence. The noise
    variance of a series is shrunk to the shop's, and then multiplied by the dispersion.
    """
    count = np.bincount(residuals.series, minlength=size)
    xx = np.bincount(residuals.series, residuals.weight * residuals.price**2, size)
    xy = np.bincount(residuals.series, residuals.weight * residuals.price * residuals.units, size)
    weight = np.bincount(residuals.series, residuals.weight, size)
    varied = (count >= min_rows) & (xx > 1e-6 * np.maximum(weight, 1e-300))
    slope = np.divide(xy, xx, out=np.zeros(size), where=varied)
    square = residuals.weight * (residuals.units - slope[residuals.series] * residuals.price) ** 2
    used = varied[residuals.series]
    shop = float(square[used].mean()) if used.any() else 1.0
    noise = np.bincount(residuals.series, square, size) + VARIANCE_ROWS * shop
    noise = np.maximum(noise / (count + VARIANCE_ROWS) + 1e-12, MIN_NOISE)
    noise = noise * _dispersion(residuals, slope, np.where(varied, noise, np.inf))
    return SeriesSlopes(slope, np.where(varied, xx / noise, 0.0))


def _dispersion(residuals: Residuals, slope: Floats, noise: Floats) -> float:
    """Variance of the slopes of single blocks of time relative to what their noise implies.

    At least 1. Autocorrelated noise, overfitted controls and an elasticity that changes over time
    all raise it (Cochran's Q over the shop's series, shrunk to 1).

    Args:
        slope: [n].
        noise: variance of a row of weight 1 [n]; infinite for a series without evidence.
    """
    blocks = residuals.block.max() + 1
    cells, size = residuals.series * blocks + residuals.block, len(slope) * blocks
    xx = np.bincount(cells, residuals.weight * residuals.price**2, size)
    xy = np.bincount(cells, residuals.weight * residuals.price * residuals.units, size)
    known = (xx > 0) & np.isfinite(np.repeat(noise, blocks))
    deviation = xy - np.repeat(slope, blocks) * xx
    scatter = deviation[known] ** 2 / (xx[known] * np.repeat(noise, blocks)[known])
    freedom = known.sum() - len(np.unique(np.flatnonzero(known) // blocks))
    return max(float((scatter.sum() + DISPERSION_PRIOR) / (freedom + DISPERSION_PRIOR)), 1.0)
