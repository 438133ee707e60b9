"""Cross-fitted residuals: what is left of log units and log price once the controls are taken out.

Regressing units on price would give price the credit of all that comes with it (`controls`).
Following double machine learning (Chernozhukov et al. 2018, "Double/debiased machine learning for
treatment and structural parameters", the partially linear model) in its panel form (Clarke &
Polselli 2026, "Double machine learning for static panel models with fixed effects", Econometrics
Journal 29(1)), both sides are freed of

1. series effects, by the within transformation;
2. the controls, by a ridge regression that is fitted on the *other* blocks of time, so that no row
   is residualised by a function that saw it; a series' coefficients are shrunk to its category's,
   those to the department's and those to the shop's; and
3. what the shop, a department or a category has in common in a period, as a random effect as wide
   as it is seen to be (Balestra & Nerlove 1966): a fixed one would take what rivals' prices do.

The slope of one residual on the other is the price elasticity.

Units are counts, and a log has no place for a zero, nor the same noise for few and for many. So the
log is the working response of a quasi-Poisson regression, with its weights (Santos Silva & Tenreyro
2006, "The log of gravity"): each step fits all of the above around the expectation of the last.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.response.controls import controls, exposure, log_price

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CHUNKS = 4  # stretches of time that make up a block
LEVEL_ROWS = (1.0, 20.0, 20.0, 100.0)  # rows' worth of what is above in the shop's ... series' fit
STEPS = 2
FEWEST = 0.1  # expected units below which a row is taken to say no less
FARTHEST = 3.0  # times the expectation that a row may lie above it


@dataclass(frozen=True)
class Residuals:
    """Residual rows, sorted by series and period.

    Shapes: beside is [m, k], the others are [m]. `units`, `price` and `beside` are residual logs,
    the last of other prices; `weight` is one over the variance of `units`; `block` that of time.
    """

    series: Ints
    units: Floats
    price: Floats
    weight: Floats
    block: Ints
    beside: Floats


@dataclass(frozen=True)
class _Layout:
    """Where the rows [m] belong: series, block, and the cells of what a period has in common.

    `above` holds, for each series, its category, its department and the shop, finest first.
    """

    series: Ints
    block: Ints
    shared: tuple[Ints, ...]
    above: tuple[Ints, ...]


def residuals(
    rows: pd.DataFrame,
    folds: int,
    *,
    promotions: bool = True,
    rivals: bool = True,
    beside: Floats | None = None,
) -> Residuals:
    """Residual log units and log price of usable rows.

    Args:
        rows: from `usable`; `series` is an integer code, 0 ... n-1.
        folds: blocks of time to cross-fit over.
        promotions: False leaves the promotions in; only for measuring what they would do.
        rivals: False leaves rivals' prices in.
        beside: [m, k] other prices to residualise in the same way.
    """
    at = _layout(rows, folds)
    units, share = rows["units"].clip(lower=0).to_numpy(float), exposure(rows)
    prices = np.column_stack([log_price(rows), *([] if beside is None else [beside])])
    taken = controls(rows, promotions=promotions, rivals=rivals)
    expected = _group_mean(units / share, at.series) * share
    working, weight = np.log(units / share + 0.5), expected
    for _ in range(STEPS):
        left = _left(np.column_stack([working, prices]), taken, weight, at)
        error = left[:, 0] - _slopes(left, weight, at.series)[at.series] * left[:, 1]
        expected = np.maximum(share * np.exp(working - error), FEWEST)
        weight = _precision(units, expected)
        over = np.minimum((units - expected) / expected, FARTHEST)
        working = np.log(expected / share) + over
    left = _left(np.column_stack([working, prices]), taken, weight, at)
    series = rows["series"].to_numpy(np.int64)
    return Residuals(series, left[:, 0], left[:, 1], weight, at.block, left[:, 2:])


def _layout(rows: pd.DataFrame, folds: int) -> _Layout:
    """Blocks are stretches of time taken in turn, so that each has a part of every season."""
    series, periods = _codes(rows["series"]), _codes(rows["period"])
    shop = np.zeros(len(rows), np.int64)
    paths = shop, _codes(rows["department"]), _codes(rows["department"] + "\0" + rows["category"])
    span = periods.max() + 1
    block = periods * folds * CHUNKS // span % folds
    first = np.unique(series, return_index=True)[1]
    shared = tuple(path * span + periods for path in paths)
    return _Layout(series, block, shared, tuple(path[first] for path in reversed(paths)))


def _codes(values: pd.Series) -> Ints:
    return np.asarray(pd.factorize(values, sort=True)[0], np.int64)


def _left(targets: Floats, taken: Floats, weight: Floats, at: _Layout) -> Floats:
    """[m, t]: what effects and controls leave of the targets."""
    count = targets.shape[1]
    within = _demeaned(np.hstack([targets, taken]), weight, at.series)
    targets, taken = within[:, :count], _standardised(within[:, count:])
    left = targets - _predicted(targets, taken, weight, at)
    for cells in at.shared:
        left = _demeaned(left, weight, cells, _spread(left, weight, at.series, cells))
    return _demeaned(left, weight, at.series)


def _demeaned(values: Floats, weight: Floats, groups: Ints, spread: float = np.inf) -> Floats:
    """Less the group's mean; less part of it where the means only vary by `spread` (variance)."""
    total = np.bincount(groups, weight)
    sums = np.column_stack([np.bincount(groups, weight * column) for column in values.T])
    means = np.divide(sums, total[:, None], out=np.zeros_like(sums), where=total[:, None] > 0)
    share = 1 - (1 + spread * total) ** -0.5 if np.isfinite(spread) else np.ones(len(total))
    return np.asarray(values - (means * share[:, None])[groups])


def _spread(left: Floats, weight: Floats, series: Ints, cells: Ints) -> float:
    """The variance of what the rows of a cell have in common, from how their errors agree."""
    error = weight * (left[:, 0] - _slopes(left, weight, series)[series] * left[:, 1])
    together = np.bincount(cells, error) ** 2 - np.bincount(cells, error**2)
    pairs = np.bincount(cells, weight) ** 2 - np.bincount(cells, weight**2)
    return max(float(together.sum() / max(pairs.sum(), 1e-9)), 0.0)


def _group_mean(values: Floats, groups: Ints) -> Floats:
    return np.asarray((np.bincount(groups, values) / np.bincount(groups))[groups])


def _slopes(left: Floats, weight: Floats, series: Ints) -> Floats:
    """[n]: a slope of each series, near enough to expect units by: shrunk to the shop's."""
    xx = np.bincount(series, weight * left[:, 1] ** 2)
    xy = np.bincount(series, weight * left[:, 1] * left[:, 0])
    shop = xy.sum() / max(xx.sum(), 1e-9)
    rest = 4.0  # the precision of a slope that strays by a half
    return np.asarray((xy + rest * shop) / (xx + rest))


def _precision(units: Floats, expected: Floats) -> Floats:
    """One over the variance of the working response: `scatter / expected + more`, by moments."""
    square = np.minimum((units - expected) / expected, FARTHEST) ** 2
    terms = np.column_stack([1 / expected, np.ones(len(units))])
    about = np.minimum(expected, 100.0)[:, None]  # near one over the variance
    scatter, more = np.linalg.lstsq(terms * about, square * about[:, 0], rcond=None)[0]
    return np.asarray(1 / (max(scatter, 0.5) / expected + max(more, 1e-4)))


def _standardised(controls: Floats) -> Floats:
    """Unit variance, without the columns that the effects have absorbed."""
    spread = controls.std(axis=0)
    kept = spread > 1e-6
    scaled: Floats = controls[:, kept] / spread[kept]
    return scaled


def _predicted(targets: Floats, controls: Floats, weight: Floats, at: _Layout) -> Floats:
    """[m, t]: what the controls predict of each target, from the other blocks of time."""
    predicted = np.zeros_like(targets)
    blocks, size, count = at.block.max() + 1, len(at.above[0]), controls.shape[1]
    if count == 0 or len(np.unique(at.block)) < 2:
        return predicted
    both = np.hstack([controls, targets])
    cells = at.block * size + at.series
    by_block = grams(cells, size * blocks, weight / weight.mean(), both)
    by_block = by_block.reshape(blocks, size, *by_block.shape[1:])
    for block in range(blocks):
        held = at.block == block
        others = np.tensordot((np.arange(blocks) != block).astype(float), by_block, axes=1)
        coefficients = _ridge(others, count, at.above)
        predicted[held] = np.einsum("mq,mqt->mt", controls[held], coefficients[at.series[held]])
    return predicted


def _ridge(gram: Floats, count: int, above: tuple[Ints, ...]) -> Floats:
    """[n, q, t]: coefficients of each series, shrunk up the levels.

    Args:
        gram: [n, q + t, q + t] of each series' controls, then targets; there are `count` controls.
    """
    found = np.zeros((len(gram), count, gram.shape[1] - count))
    levels = [*reversed(above), np.arange(len(gram))]
    for groups, rows in zip(levels, LEVEL_ROWS, strict=True):
        first = np.unique(groups, return_index=True)[1]
        known = _grouped(gram[:, :count], groups)
        penalised = known[:, :, :count] + rows * np.eye(count)
        solved = np.linalg.solve(penalised, known[:, :, count:] + rows * found[first])
        found = solved[groups]
    return found


def _grouped(sums: Floats, groups: Ints) -> Floats:
    """[g, ...]: the sum over each group, groups being 0 ... g-1 and none of them empty."""
    if groups.max() + 1 == len(groups):
        return sums[np.argsort(groups)]
    order = np.argsort(groups, kind="stable")
    starts = np.unique(groups[order], return_index=True)[1]
    return np.asarray(np.add.reduceat(sums[order], starts, axis=0))


def grams(groups: Ints, size: int, weight: Floats, values: Floats) -> Floats:
    """[size, q, q]: the weighted sum over each group's rows of values [m, q] outer themselves."""
    order = np.argsort(groups, kind="stable")
    present, starts = np.unique(groups[order], return_index=True)
    columns = np.ascontiguousarray(values[order].T)
    found = np.zeros((size, len(columns), len(columns)))
    for a, left in enumerate(columns * weight[order]):
        for b, right in enumerate(columns[: a + 1]):
            found[present, a, b] = found[present, b, a] = np.add.reduceat(left * right, starts)
    return found
