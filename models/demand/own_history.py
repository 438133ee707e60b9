"""What a series' own past says of its price and promotions: a small regression a series and origin.

An encoder sees its context; this sees every period before the origin. log(1 + units) is regressed
on log price and promotion shares, towards a prior worth a few periods (ridge regression, Hoerl &
Kennard 1970, Technometrics 12(1), with a mean), so that a series with little history says what any
series would. Cumulative sums make it linear in the periods. NumPy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.demand.grid import COVARIATES, Grid, Ints

Doubles = NDArray[np.float64]

# Of the intercept, log price, display, mailer and promotion: the mean, and its weight in periods
PRIOR = np.array([0.0, -1.5, 0.5, 0.5, 0.0])
PERIODS = np.array([0.05, 0.11, 0.25, 0.25, 0.25])
RECENT, LAST = 8, 4  # periods whose residuals tell the level
THERE = 0.5  # share of a period; in less, what was asked for is too much of a guess for a log
FEATURES = 1 + len(COVARIATES) + 1 + 2


def lifts(grid: Grid, pairs: tuple[Ints, Ints], reference: Doubles, horizon: int) -> Doubles:
    """What each window's own past expects, and the slopes it expects it with.

    The planned price is not read: what is expected is at the window's reference price.

    Args:
        pairs: series and origin of each window, [window] each.
        reference: [window, 1], the window's reference price in minor units.

    Returns:
        [window, horizon, FEATURES]: the expected log(1 + units) at the planned promotions, the
        slopes of price and promotions, the last residual and the mean of the last four.
    """
    rows, origin = pairs
    first = np.log(grid.price[:, :1])
    design = _design(np.log(grid.price) - first, grid)
    centre = np.tile(np.eye(design.shape[-1]), (len(rows), 1, 1))
    centre[:, 1, 0] = (first[rows] - np.log(reference))[:, 0]
    slopes = _slopes(design, np.log1p(grid.asked), pairs, centre)
    recent = origin[:, None] + np.arange(-RECENT, 0)
    seen = design[rows[:, None], recent] * (recent >= 0)[..., None]
    said = np.einsum("wpk,wjk,wj->wp", seen, centre, slopes)
    left = np.log1p(grid.asked[rows[:, None], recent]) * seen[..., 0] - said
    plan = grid.covariates[rows[:, None], origin[:, None] + np.arange(horizon)]
    level = slopes[:, 0] + left.sum(axis=1) / np.maximum(seen[..., 0].sum(axis=1), 1)
    expected = level[:, None] + np.einsum("whk,wk->wh", plan, slopes[:, 2:])
    about = [slopes[:, 1:], left[:, -1:], left[:, -LAST:].mean(axis=1, keepdims=True)]
    fixed = np.repeat(np.concatenate(about, axis=1)[:, None], horizon, axis=1)
    return np.concatenate([expected[..., None], fixed], axis=-1)


def _design(log_price: Doubles, grid: Grid) -> Doubles:
    """[series, periods, 5]; zeros where a series was not sold yet, or mostly not there to be."""
    counts = (np.arange(grid.shape[1]) >= grid.first[:, None]) & (grid.on_hand >= THERE)
    columns = [np.ones_like(log_price), log_price, *np.moveaxis(grid.covariates, -1, 0)]
    return np.asarray(np.stack(columns, axis=-1) * counts[..., None], np.float64)


def _slopes(design: Doubles, logs: Doubles, pairs: tuple[Ints, Ints], centre: Doubles) -> Doubles:
    """[window, 5]: the ridge solution on the periods before each origin, of a centred design.

    `centre` [window, 5, 5] measures log price from the window's reference price.
    """
    rows, last = pairs[0], pairs[1] - 1
    gram = np.cumsum(design[..., :, None] * design[..., None, :], axis=1)[rows, last]
    cross = np.cumsum(design * logs[..., None], axis=1)[rows, last]
    gram = centre @ gram @ centre.swapaxes(1, 2) + np.diag(PERIODS)
    cross = (centre @ cross[..., None])[..., 0] + PERIODS * PRIOR
    return np.asarray(np.linalg.solve(gram, cross[..., None])[..., 0], np.float64)
