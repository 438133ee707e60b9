"""How the exploration arm draws a rung: near the best one, the better the likelier.

Every rung in reach has a chance above zero, and the chance is logged, so what another policy would
have earned can be told from the log (`pricebook.pricing.offpolicy`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricebook.money import Floats, Ints

LEAST = 0.02  # chance of any rung in reach, so that no outcome weighs too much


def chances(profit: Floats, allowed: NDArray[np.bool_], reach: int, temperature: float) -> Floats:
    """The chance of each rung (n, k): a softmax over what is in reach of the best allowed one.

    Profit is measured from the best to the worst in reach, so neither its unit nor its sign
    matters. A row where nothing is allowed, or whose profit is not known, is zeros.

    Args:
        profit: (n, k), expected, for ascending rungs.
        allowed: (n, k), which may be drawn.
        reach: rungs from the best allowed one, at most, counted among the allowed; up to 10.
        temperature: near 0 the best is drawn, high all alike.

    >>> chances(np.array([[1.0, 2.0, 1.0, 0.0]]), np.array([[True] * 4]), 1, 1.0).round(2).tolist()
    [[0.22, 0.56, 0.22, 0.0]]
    """
    usable = allowed & np.isfinite(profit).all(axis=1, keepdims=True)
    value = np.where(usable, profit, -np.inf)
    place = np.cumsum(usable, axis=1)
    best = np.take_along_axis(place, value.argmax(axis=1)[:, None], axis=1)
    near = usable & (np.abs(place - best) <= reach)
    top = value.max(axis=1, keepdims=True, initial=-np.inf)
    below = np.where(near, top - np.where(near, profit, 0.0), 0.0)
    widest = below.max(axis=1, keepdims=True)
    score = below / np.where(widest > 0, widest, 1.0)
    weight = np.where(near, np.exp(-score / temperature), 0.0)
    total, many = weight.sum(axis=1, keepdims=True), near.sum(axis=1, keepdims=True)
    share = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    return np.where(near, LEAST + (1 - LEAST * many) * share, 0.0)


def drawn(chances: Floats, uniform: Floats) -> Ints:
    """The rung (n,) each number of [0, 1) draws; never one without a chance.

    >>> drawn(np.array([[0.25, 0.0, 0.75]] * 3), np.array([0.0, 0.24, 0.25])).tolist()
    [0, 0, 2]
    """
    reached = np.cumsum(chances, axis=1)
    last = chances.shape[1] - 1 - np.argmax(chances[:, ::-1] > 0, axis=1)
    rung: Ints = np.minimum((reached <= uniform[:, None]).sum(axis=1), last)
    return rung
