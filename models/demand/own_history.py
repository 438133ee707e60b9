"""Features from each series' own history: a small ridge regression per series and origin.

The encoder reads its context only; this regression reads every period before the origin.
log(1 + demand) is regressed on log price and promotion shares, and shrunk to a prior mean that
weighs as much as a fraction of a period (ridge regression: Hoerl and Kennard 1970, Technometrics
12(1)), so that a series with little history gets the slopes of a typical one. Cumulative sums
keep the cost linear in the number of periods. NumPy only.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.demand.grid import COVARIATES, Grid, Ints

Doubles = NDArray[np.float64]

# Prior of the coefficients of intercept, log price, display, mailer and promotion
PRIOR_MEAN = np.array([0.0, -1.5, 0.5, 0.5, 0.0])
PRIOR_WEIGHT = np.array([0.05, 0.11, 0.25, 0.25, 0.25])  # in periods
RECENT, LAST = 8, 4  # periods whose residuals estimate the current level
MIN_ON_HAND = 0.5  # share of a period; with less stock the estimated demand is too rough for a log
FEATURES = 1 + len(COVARIATES) + 1 + 2


def lifts(grid: Grid, pairs: tuple[Ints, Ints], reference: Doubles, horizon: int) -> Doubles:
    """Demand that each window's own history predicts, and the slopes of that prediction.

    The planned price is not read: the prediction is for the window's reference price.

    Args:
        pairs: series and origin of each window, [window] each.
        reference: [window, 1], the window's reference price in minor units.

    Returns:
        [window, horizon, FEATURES]: the predicted log(1 + demand) at the planned promotions, the
        slopes of log price and of each promotion, the last residual and the mean of the last four.
    """
    rows, origin = pairs
    first = np.log(grid.price[:, :1])
    design = _design(np.log(grid.price) - first, grid)
    # Changes the origin of log price from the series' first price to the window's reference price
    centre = np.tile(np.eye(design.shape[-1]), (len(rows), 1, 1))
    centre[:, 1, 0] = (first[rows] - np.log(reference))[:, 0]
    slopes = _slopes(design, np.log1p(grid.demand), pairs, centre)
    recent = origin[:, None] + np.arange(-RECENT, 0)
    recent_design = design[rows[:, None], recent] * (recent >= 0)[..., None]
    fitted = np.einsum("wpk,wjk,wj->wp", recent_design, centre, slopes)
    residuals = np.log1p(grid.demand[rows[:, None], recent]) * recent_design[..., 0] - fitted
    plan = grid.covariates[rows[:, None], origin[:, None] + np.arange(horizon)]
    counts = np.maximum(recent_design[..., 0].sum(axis=1), 1)
    level = slopes[:, 0] + residuals.sum(axis=1) / counts
    expected = level[:, None] + np.einsum("whk,wk->wh", plan, slopes[:, 2:])
    constant = [slopes[:, 1:], residuals[:, -1:], residuals[:, -LAST:].mean(axis=1, keepdims=True)]
    repeated = np.repeat(np.concatenate(constant, axis=1)[:, None], horizon, axis=1)
    return np.concatenate([expected[..., None], repeated], axis=-1)


def _design(log_price: Doubles, grid: Grid) -> Doubles:
    """[series, periods, 5]; zeros before the first sale and in periods with too little stock."""
    usable = (np.arange(grid.shape[1]) >= grid.first[:, None]) & (grid.on_hand >= MIN_ON_HAND)
    columns = [np.ones_like(log_price), log_price, *np.moveaxis(grid.covariates, -1, 0)]
    return np.asarray(np.stack(columns, axis=-1) * usable[..., None], np.float64)


def _slopes(design: Doubles, logs: Doubles, pairs: tuple[Ints, Ints], centre: Doubles) -> Doubles:
    """[window, 5]: ridge coefficients from the periods before each origin, on a centred design.

    `centre` [window, 5, 5] measures log price from the window's reference price.
    """
    rows, last = pairs[0], pairs[1] - 1
    gram = np.cumsum(design[..., :, None] * design[..., None, :], axis=1)[rows, last]
    cross = np.cumsum(design * logs[..., None], axis=1)[rows, last]
    gram = centre @ gram @ centre.swapaxes(1, 2) + np.diag(PRIOR_WEIGHT)
    cross = (centre @ cross[..., None])[..., 0] + PRIOR_WEIGHT * PRIOR_MEAN
    return np.asarray(np.linalg.solve(gram, cross[..., None])[..., 0], np.float64)
