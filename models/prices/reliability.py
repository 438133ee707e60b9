"""Errors in variables: how reliable the price of a period is, and slopes corrected for it.

The price of a period is the mean of what a few shoppers paid. It differs from the price that the
shop charged by coupons, stores and chance. Such errors pull a slope towards 0 (attenuation). Two
halves of the sales have independent errors. So the price of one half is an instrument for that of
the other (Angrist & Krueger 1995, "Split-sample instrumental variables estimates of the return to
schooling", Journal of Business & Economic Statistics 13(2)).

With p the residual log price of a row, d the difference of the halves' prices, s and 1 - s their
shares of the units, and errors whose variance is inverse to the units, the variance of the error of
p is s (1 - s) d² in expectation. So the reliability of a series' price is

    ratio = 1 - sum(weight s (1 - s) d²) / sum(weight p²)

and a slope divided by it is consistent (Fuller 1987, "Measurement Error Models", ch. 1.2). For
halves of equal size this is the instrumental-variable estimate with each half's price as instrument
for the other's: p² - d²/4 is the product of their prices.

Part of d may be real: a store may charge less for a week, and sell more. `local` is the slope of
the halves' difference in units on d: the response to what d measures. Only the rest of the response
is attenuated:

    corrected slope = (slope - local (1 - ratio)) / ratio

This is the same as explaining each half's units by its own price, with the other's as instrument.

The ratio of one series is noisy, so ratios are shrunk along the hierarchy.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from models.response.residuals import HalfResiduals, Residuals
from models.response.shrinkage import Tree, empirical_bayes
from models.response.slopes import SeriesSlopes, series_slopes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PRIOR = (0.8, 0.3)  # of the shop's ratio: mean, standard deviation
MIN_RATIO = 0.1  # a series below it has no evidence: nearly all its price variation is error
MIN_ERROR = 1e-9  # share of error in the price variation; below it, prices are exact


@dataclass(frozen=True)
class Reliability:
    """How reliable the residual price of each series is.

    Attributes:
        ratio: of the true variance of the price to the observed one, shrunk [n].
        variance: of `ratio` [n].
        shop: the ratio of all series together, and its standard error, clustered by series.
        local: the response to differences between the halves, and its standard error.
    """

    ratio: Floats
    variance: Floats
    shop: tuple[float, float]
    local: tuple[float, float]

    def correct(self, slopes: SeriesSlopes) -> SeriesSlopes:
        """Slopes without attenuation. Their precisions include the uncertainty of the ratios."""
        ratio, known = np.maximum(self.ratio, MIN_RATIO), self.ratio > MIN_RATIO
        slope = (slopes.slope - self.local[0] * (1 - ratio)) / ratio
        precision = np.where(known, slopes.precision * ratio**2, 0.0)
        # The shop's slope, not the series' own: a precision that depends on a noisy slope would
        # give low weight to steep ones.
        shop = float(precision @ slope / max(float(precision.sum()), 1e-300))
        added = ((shop - self.local[0]) / ratio) ** 2 * self.variance
        used = precision > 0
        return SeriesSlopes(np.where(used, slope, 0.0), precision / (1 + precision * added))

    def shop_error(self, pooled: float) -> float:
        """The standard error that the shop's ratio and local response add to a pooled slope."""
        ratio = max(self.shop[0], MIN_RATIO)
        from_ratio = (pooled - self.local[0]) / ratio * self.shop[1]
        return float(np.hypot(from_ratio, (1 - ratio) / ratio * self.local[1]))


@dataclass(frozen=True)
class Evidence:
    """What the residuals say of each series' elasticity.

    Attributes:
        slopes: corrected for errors in the price.
        uncorrected: the same as least squares gives them.
        reliability: None where the errors are unknown, or there are none.
    """

    slopes: SeriesSlopes
    uncorrected: SeriesSlopes
    reliability: Reliability | None

    @property
    def ratio(self) -> Floats:
        """The reliability of each series' price [n]; 1 where it is unknown."""
        if self.reliability is None:
            return np.ones(len(self.slopes.slope))
        return np.maximum(self.reliability.ratio, MIN_RATIO)

    def expected(self, residuals: Residuals) -> Residuals:
        """Residuals with the expected true price, given the price paid.

        That is the price times its reliability (regression calibration: Carroll et al. 2006,
        "Measurement Error in Nonlinear Models", ch. 4). The response to the rest of the price paid
        is taken off the units. So units are elasticity times price in expectation.
        """
        ratio = self.ratio[residuals.series]
        local = 0.0 if self.reliability is None else self.reliability.local[0]
        units = residuals.units - local * (1 - ratio) * residuals.price
        return replace(residuals, units=units, price=ratio * residuals.price)

    def shop_error(self, pooled: float) -> float:
        """See `Reliability.shop_error`; 0 without a correction."""
        return 0.0 if self.reliability is None else self.reliability.shop_error(pooled)


def evidence(residuals: Residuals, tree: Tree, min_rows: int) -> Evidence:
    """The slope of each series with at least `min_rows` rows, corrected where halves are known."""
    slopes, errors = series_slopes(residuals, tree.size, min_rows), reliability(residuals, tree)
    return Evidence(slopes if errors is None else errors.correct(slopes), slopes, errors)


@dataclass(frozen=True)
class _Errors:
    """Weighted sums of squares of each series.

    Attributes:
        sums: of the squared errors of the price [n].
        variance: the sampling variance of `sums` [n].
        price: of the squared residual price [n].
        known: whether the series has enough rows with sales in both halves [n].
    """

    sums: Floats
    variance: Floats
    price: Floats
    known: NDArray[np.bool_]


def reliability(residuals: Residuals, tree: Tree) -> Reliability | None:
    """Estimate the reliability of each series' price; None where halves are unknown or agree."""
    if residuals.halves is None:
        return None
    errors = _errors(residuals, residuals.halves, tree.size)
    total, price = float(errors.sums[errors.known].sum()), errors.price[errors.known]
    if not total > MIN_ERROR * float(price.sum()):
        return None
    share = np.divide(errors.sums, errors.price, out=np.zeros(tree.size), where=errors.known)
    precision = np.divide(
        errors.price**2, errors.variance, out=np.zeros(tree.size), where=errors.variance > 0
    )
    shrunk, _ = empirical_bayes(tree, 1 - share, np.where(errors.known, precision, 0.0), PRIOR)
    deviation = (errors.sums - total / price.sum() * errors.price)[errors.known]
    shop = 1 - total / float(price.sum()), float(np.sqrt((deviation**2).sum()) / price.sum())
    ratio = np.minimum(shrunk.mean[-1], 1.0)
    return Reliability(ratio, shrunk.variance[-1], shop, _local(residuals, residuals.halves))


def _errors(residuals: Residuals, halves: HalfResiduals, size: int) -> _Errors:
    """The squared errors of the price.

    A row without sales in one half, or in both, gets the error that its units imply.
    """

    def total(values: Floats) -> Floats:
        return np.bincount(residuals.series, values, size).astype(np.float64)

    both = (halves.weight > 0).astype(float)
    square = residuals.weight * halves.weight * halves.price_gap**2
    price = residuals.weight * residuals.price**2
    noise = residuals.weight * halves.error
    observed, sums, prices = total(noise * both), total(square), total(price)
    scale = np.divide(total(noise), observed, out=np.ones(size), where=observed > 0)
    share = np.divide(sums, total(price * both), out=np.zeros(size), where=observed > 0)
    influence = both * (square - share[residuals.series] * price)
    # The variance of a share is this factor over the effective number of rows. The series' own
    # variance would give most weight to the series whose errors happen to be small.
    factor = float((influence**2).sum() / max(float((both * price**2).sum()), 1e-300))
    known = (total(both) > 1) & (prices > 0)
    return _Errors(scale * sums, factor * scale**2 * total(price**2), prices, known)


def _local(residuals: Residuals, halves: HalfResiduals) -> tuple[float, float]:
    """The slope of the halves' difference in units on that in price; errors clustered by series."""
    weight = residuals.weight * halves.weight
    xx = float((weight * halves.price_gap**2).sum())
    slope = float((weight * halves.price_gap * halves.units_gap).sum()) / xx
    error = weight * halves.price_gap * (halves.units_gap - slope * halves.price_gap)
    return slope, float(np.sqrt((np.bincount(residuals.series, error) ** 2).sum())) / xx
