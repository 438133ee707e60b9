"""The posterior of the series' values before the softplus, by Laplace approximation.

The hierarchy (`models.response.shrinkage`) is Gaussian, but elasticity = -softplus(value) is not
linear in the value. The softplus is linearised around a given value. At the mode of the posterior
this is the Laplace approximation.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.response.shrinkage import EFFECT_SD, LEVELS, Posterior, Tree, posterior
from models.response.slopes import SeriesSlopes

Floats = NDArray[np.float64]

PRIOR_ELASTICITY = -1.5  # median of the prior of the shop's elasticity
# The same before the softplus: mean and standard deviation.
SHOP_PRIOR = (float(np.log(np.expm1(-PRIOR_ELASTICITY))), 1.0)
EM_STEPS = 60
# Of a level's effects. It is three times the guess, and more than elasticities of one shop differ.
# Where a history is short, or many slopes are positive, noise would give a higher estimate, and
# elasticities beyond belief.
MAX_EFFECT_SD = 1.0
MIN_DERIVATIVE = 1e-6  # of the softplus; it underflows to 0 at very negative values


def effect_sds(tree: Tree, slopes: SeriesSlopes) -> tuple[float, ...]:
    """Estimate the standard deviation of each level's effects by empirical Bayes.

    EM needs a Gaussian model. So each step linearises the softplus around a value that moves half
    way to the new posterior mean.
    """
    value = np.full(tree.size, SHOP_PRIOR[0])
    sds: tuple[float, ...] = (EFFECT_SD,) * len(LEVELS)
    for _ in range(EM_STEPS):
        approximation = laplace(tree, slopes, sds, value)
        estimates = (float(np.sqrt(variance)) for variance in approximation.effect_variance)
        sds = tuple(min(sd, MAX_EFFECT_SD) for sd in estimates)
        value = (value + approximation.mean[-1]) / 2
    return sds


def laplace(tree: Tree, slopes: SeriesSlopes, sds: tuple[float, ...], value: Floats) -> Posterior:
    """The Gaussian approximation of the posterior around `value` [n_series].

    By first-order Taylor expansion, a slope is a Gaussian observation of the value. Its precision
    is the slope's, times the square of the derivative of the softplus.

    Args:
        sds: the standard deviation of the effects, for each level.
    """
    derivative = softplus_derivative(-softplus(value))
    target = value - (slopes.slope + softplus(value)) / derivative
    return posterior(tree, target, derivative**2 * slopes.precision, sds, SHOP_PRIOR)


def prior_elasticity() -> tuple[float, float]:
    """The prior of the shop's elasticity: median, and standard error by the delta method."""
    derivative = float(softplus_derivative(np.array(PRIOR_ELASTICITY)))
    return PRIOR_ELASTICITY, derivative * SHOP_PRIOR[1]


def softplus(value: Floats) -> Floats:
    """log(1 + exp(value)), without overflow."""
    return np.logaddexp(0.0, value)


def softplus_derivative(elasticity: Floats) -> Floats:
    """The derivative of the softplus at the value whose -softplus is `elasticity`.

    It is the sigmoid of that value, which equals 1 - exp(elasticity).
    """
    return np.maximum(-np.expm1(elasticity), MIN_DERIVATIVE)


def inverse_softplus(elasticity: Floats) -> Floats:
    """The value whose -softplus is `elasticity`.

    >>> inverse_softplus(np.array([-np.log(2)])).round(6).tolist()
    [0.0]
    """
    return -elasticity + np.log(-np.expm1(elasticity))
