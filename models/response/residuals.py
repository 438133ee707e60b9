"""Cross-fitted residuals of log units and log price: what the controls do not explain.

The slope of one residual on the other is the price elasticity. A regression of units on price alone
would give price the credit for all that comes with it (`models.response.controls`). This is double
machine learning for the partially linear model (Chernozhukov et al. 2018, "Double/debiased machine
learning for treatment and structural parameters", Econometrics Journal 21(1)) in its panel form
(Clarke & Polselli 2026, "Double machine learning for static panel models with fixed effects",
Econometrics Journal 29(1)). Three things are partialled out of both sides:

1. Series effects, by the within transformation.
2. The controls, by ridge regression. A row's prediction comes from the *other* blocks of time
   (cross-fitting): a fit on the row itself would also explain part of its noise and of its price
   variation, and so bias the slope. The coefficients of a series are shrunk to those of its
   category, these to the department's, and these to the shop's.
3. Shocks that the shop, a department or a category has in common in a period, as random effects
   (Balestra & Nerlove 1966). The variance of the shocks is estimated. Fixed effects would remove
   all that series have in common, including the effect of other skus' prices.

Units are counts. A zero has no logarithm, and the log of a small count is noisier than that of a
large one. So the dependent variable is the working response of a quasi-Poisson regression, with its
weights (Santos Silva & Tenreyro 2006, "The log of gravity"). Each step linearises around the
expected units of the step before it (iteratively reweighted least squares).

Arrays have a row per usable row [m]; n is the number of series.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.prices.halves import Halves, halves_of
from models.response.controls import control_columns, exposure, log_price

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CHUNKS = 4  # stretches of time that make up a block
# Ridge penalties in rows: the shop's to zero, a department's to the shop, and so on to the series.
PENALTY_ROWS = (1.0, 20.0, 20.0, 100.0)
REWEIGHTING_STEPS = 2
MIN_EXPECTED_UNITS = 0.1  # lower ones are raised to it; they would dominate the working log
MAX_RELATIVE_ERROR = 3.0  # (units - expected) / expected; limits the weight of one outlier
MAX_LOG_UNITS = 60.0  # of an expectation; keeps exp() of an extrapolation finite
SLOPE_PRECISION = 4.0  # prior precision of a series' slope around the shop's: a deviation of 0.5


@dataclass(frozen=True)
class HalfResiduals:
    """How the two halves of the sales differ, after the same controls (`models.prices.halves`).

    Attributes:
        units_gap: residual log units of one half minus the other's [m].
        price_gap: the same of the log prices [m].
        weight: of `price_gap`: share x (1 - share) where both halves sold, else 0 [m].
        error: the sampling variance of the row's price is proportional to it [m].
    """

    units_gap: Floats
    price_gap: Floats
    weight: Floats
    error: Floats


@dataclass(frozen=True)
class Residuals:
    """Residual rows, sorted by series and period.

    Attributes:
        series: code of the series [m].
        units: residual log units [m].
        price: residual log price [m].
        weight: one over the variance of `units` [m].
        block: the block of time that the row was held out with [m].
        other_prices: residual logs of k other prices [m, k].
        halves: None where the panel has no halves.
    """

    series: Ints
    units: Floats
    price: Floats
    weight: Floats
    block: Ints
    other_prices: Floats
    halves: HalfResiduals | None = None


@dataclass(frozen=True)
class _Layout:
    """How the rows are grouped.

    Attributes:
        series: code of the series [m].
        block: code of the block of time [m].
        shocks: three codes [m] each: shop and period, department and period, category and period.
        parents: three codes [n] each: the category, department and shop of each series.
    """

    series: Ints
    block: Ints
    shocks: tuple[Ints, ...]
    parents: tuple[Ints, ...]


def residualise(
    rows: pd.DataFrame,
    folds: int,
    *,
    promotions: bool = True,
    rivals: bool = True,
    other_prices: Floats | None = None,
) -> Residuals:
    """Compute residual log units and log price.

    Args:
        rows: from `usable_rows`; `series` is an integer code, 0 ... n-1.
        folds: how many blocks of time to cross-fit over.
        promotions: False does not control for promotions, which shows how much they matter.
        rivals: False does not control for the prices of others.
        other_prices: logs of k other prices [m, k], to be residualised in the same way.
    """
    layout = _layout(rows, folds)
    units, share = rows["units"].clip(lower=0).to_numpy(float), exposure(rows)
    halves = halves_of(rows)
    own = log_price(rows) + (0.0 if halves is None else halves.log_bias)
    prices = np.column_stack([own, *([] if other_prices is None else [other_prices])])
    controls = control_columns(rows, promotions=promotions, rivals=rivals)
    expected = _group_mean(units / share, layout.series) * share
    working, weight = np.log(units / share + 0.5), expected
    for _ in range(REWEIGHTING_STEPS):
        residuals = _partial_out(np.column_stack([working, prices]), controls, weight, layout)
        slopes = _slopes(residuals, weight, layout.series)[layout.series]
        error = residuals[:, 0] - slopes * residuals[:, 1]
        log_expected = np.minimum(working - error, MAX_LOG_UNITS)
        expected = np.maximum(share * np.exp(log_expected), MIN_EXPECTED_UNITS)
        weight = _precision(units, expected)
        relative_error = np.minimum((units - expected) / expected, MAX_RELATIVE_ERROR)
        working = np.log(expected / share) + relative_error
    targets = np.column_stack([working, prices, *_gaps(halves, units / expected)])
    residuals = _partial_out(targets, controls, weight, layout)
    series, others = rows["series"].to_numpy(np.int64), residuals[:, 2 : 1 + prices.shape[1]]
    result = Residuals(series, residuals[:, 0], residuals[:, 1], weight, layout.block, others)
    if halves is None:
        return result
    gaps = HalfResiduals(residuals[:, -2], residuals[:, -1], halves.weight, halves.error)
    return replace(result, halves=gaps)


def _gaps(halves: Halves | None, relative_units: Floats) -> tuple[Floats, ...]:
    """The differences between the halves to residualise: of log units, and of log price [m]."""
    if halves is None:
        return ()
    return halves.units_gap(relative_units, MAX_RELATIVE_ERROR), halves.price_gap


def _layout(rows: pd.DataFrame, folds: int) -> _Layout:
    """Group the rows. A block is CHUNKS separate stretches of time, so it has every season."""
    series, periods = _codes(rows["series"]), _codes(rows["period"])
    shop = np.zeros(len(rows), np.int64)
    paths = shop, _codes(rows["department"]), _codes(rows["department"] + "\0" + rows["category"])
    span = periods.max() + 1
    block = periods * folds * CHUNKS // span % folds
    first = np.unique(series, return_index=True)[1]
    shocks = tuple(path * span + periods for path in paths)
    return _Layout(series, block, shocks, tuple(path[first] for path in reversed(paths)))


def _codes(values: pd.Series) -> Ints:
    return np.asarray(pd.factorize(values, sort=True)[0], np.int64)


def _partial_out(targets: Floats, controls: Floats, weight: Floats, layout: _Layout) -> Floats:
    """Targets [m, t] without series effects, controls and common shocks [m, t]."""
    count = targets.shape[1]
    within = _demean(np.hstack([targets, controls]), weight, layout.series)
    targets, controls = within[:, :count], _standardise(within[:, count:])
    residuals = targets - _cross_fitted(targets, controls, weight, layout)
    for cells in layout.shocks:
        variance = _shock_variance(residuals, weight, layout.series, cells)
        residuals = _demean(residuals, weight, cells, variance)
    return _demean(residuals, weight, layout.series)


def _demean(values: Floats, weight: Floats, groups: Ints, variance: float = np.inf) -> Floats:
    """Subtract group means: all of them for fixed effects, a share of them for random effects.

    The share grows with the precision of the mean (quasi-demeaning of a random-effects model).

    Args:
        variance: of the group effects; infinite for fixed effects.
    """
    total = np.bincount(groups, weight)
    sums = np.column_stack([np.bincount(groups, weight * column) for column in values.T])
    means = np.divide(sums, total[:, None], out=np.zeros_like(sums), where=total[:, None] > 0)
    share = 1 - (1 + variance * total) ** -0.5 if np.isfinite(variance) else np.ones(len(total))
    return np.asarray(values - (means * share[:, None])[groups])


def _shock_variance(residuals: Floats, weight: Floats, series: Ints, cells: Ints) -> float:
    """The variance of the shock that all rows of a cell share, at least 0.

    It is the mean product of the errors of two rows of one cell: their own noise is independent, so
    only the shared shock contributes.
    """
    slopes = _slopes(residuals, weight, series)[series]
    error = weight * (residuals[:, 0] - slopes * residuals[:, 1])
    products = np.bincount(cells, error) ** 2 - np.bincount(cells, error**2)
    pairs = np.bincount(cells, weight) ** 2 - np.bincount(cells, weight**2)
    return max(float(products.sum() / max(pairs.sum(), 1e-9)), 0.0)


def _group_mean(values: Floats, groups: Ints) -> Floats:
    return np.asarray((np.bincount(groups, values) / np.bincount(groups))[groups])


def _slopes(residuals: Floats, weight: Floats, series: Ints) -> Floats:
    """A provisional slope of each series [n], shrunk to the shop's; only to expect units with."""
    xx = np.bincount(series, weight * residuals[:, 1] ** 2)
    xy = np.bincount(series, weight * residuals[:, 1] * residuals[:, 0])
    shop = xy.sum() / max(xx.sum(), 1e-9)
    return np.asarray((xy + SLOPE_PRECISION * shop) / (xx + SLOPE_PRECISION))


def _precision(units: Floats, expected: Floats) -> Floats:
    """One over the variance of the working response [m].

    The variance is `scatter / expected + extra`: quasi-Poisson noise, and noise that does not
    shrink with volume. Both are estimated by the method of moments, from squared relative errors.
    """
    square = np.minimum((units - expected) / expected, MAX_RELATIVE_ERROR) ** 2
    terms = np.column_stack([1 / expected, np.ones(len(units))])
    about = np.minimum(expected, 100.0)[:, None]  # roughly one over the variance
    scatter, extra = np.linalg.lstsq(terms * about, square * about[:, 0], rcond=None)[0]
    return np.asarray(1 / (max(scatter, 0.5) / expected + max(extra, 1e-4)))


def _standardise(controls: Floats) -> Floats:
    """Scale to unit variance; leave out the columns that the series effects have absorbed."""
    spread = controls.std(axis=0)
    varies = spread > 1e-6
    scaled: Floats = controls[:, varies] / spread[varies]
    return scaled


def _cross_fitted(targets: Floats, controls: Floats, weight: Floats, layout: _Layout) -> Floats:
    """Predictions of the targets from the controls [m, t], each fitted on the other blocks."""
    predicted = np.zeros_like(targets)
    blocks, size, count = layout.block.max() + 1, len(layout.parents[0]), controls.shape[1]
    if count == 0 or len(np.unique(layout.block)) < 2:
        return predicted
    both = np.hstack([controls, targets])
    cells = layout.block * size + layout.series
    by_block = gram_matrices(cells, size * blocks, weight / weight.mean(), both)
    by_block = by_block.reshape(blocks, size, *by_block.shape[1:])
    for block in range(blocks):
        held_out = layout.block == block
        others = np.tensordot((np.arange(blocks) != block).astype(float), by_block, axes=1)
        coefficients = _ridge(others, count, layout.parents)
        predicted[held_out] = np.einsum(
            "mq,mqt->mt", controls[held_out], coefficients[layout.series[held_out]]
        )
    return predicted


def _ridge(gram: Floats, count: int, parents: tuple[Ints, ...]) -> Floats:
    """Coefficients of each series [n, q, t], each level shrunk to the one above it.

    Args:
        gram: Gram matrix of each series' controls and targets [n, q + t, q + t].
        count: the number of controls, q.
    """
    coefficients = np.zeros((len(gram), count, gram.shape[1] - count))
    levels = [*reversed(parents), np.arange(len(gram))]
    for groups, rows in zip(levels, PENALTY_ROWS, strict=True):
        first = np.unique(groups, return_index=True)[1]
        sums = _sum_groups(gram[:, :count], groups)
        penalised = sums[:, :, :count] + rows * np.eye(count)
        solved = np.linalg.solve(penalised, sums[:, :, count:] + rows * coefficients[first])
        coefficients = solved[groups]
    return coefficients


def _sum_groups(values: Floats, groups: Ints) -> Floats:
    """The sum over each group [g, ...]; groups are 0 ... g-1, and none is empty."""
    if groups.max() + 1 == len(groups):
        return values[np.argsort(groups)]
    order = np.argsort(groups, kind="stable")
    starts = np.unique(groups[order], return_index=True)[1]
    return np.asarray(np.add.reduceat(values[order], starts, axis=0))


def gram_matrices(groups: Ints, size: int, weight: Floats, values: Floats) -> Floats:
    """The weighted Gram matrix of each group's rows of `values` [m, q]; shape [size, q, q].

    `reduceat` over sorted rows is several times faster than a matrix product for each group.
    """
    order = np.argsort(groups, kind="stable")
    present, starts = np.unique(groups[order], return_index=True)
    columns = np.ascontiguousarray(values[order].T)
    gram = np.zeros((size, len(columns), len(columns)))
    for a, left in enumerate(columns * weight[order]):
        for b, right in enumerate(columns[: a + 1]):
            gram[present, a, b] = gram[present, b, a] = np.add.reduceat(left * right, starts)
    return gram
