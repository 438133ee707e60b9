"""The exploration arm draws a rung near the best one; a higher profit means a higher probability.

Every rung within reach has a probability above zero, and the quote log records it. So the log shows
what another policy would have earned (`pricebook.pricing.offpolicy`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pricebook.money import Floats, Ints

MIN_PROBABILITY = 0.02  # of each rung within reach; bounds the weights in off-policy estimates


def chances(profit: Floats, allowed: NDArray[np.bool_], reach: int, temperature: float) -> Floats:
    """Probability of each rung (n, k): a softmax over the rungs within reach of the best one.

    Profit is scaled to the range between the best and the worst rung within reach, so its unit and
    its sign do not matter. A row with no allowed rung, or with unknown profit, is all zeros.

    Args:
        profit: (n, k), expected profit of ascending rungs.
        allowed: (n, k), which rungs may be drawn.
        reach: how many allowed rungs away from the best one a draw may be, 1 to 10.
        temperature: near 0 only the best rung is drawn; a high value draws all rungs equally.

    >>> chances(np.array([[1.0, 2.0, 1.0, 0.0]]), np.array([[True] * 4]), 1, 1.0).round(2).tolist()
    [[0.22, 0.56, 0.22, 0.0]]
    """
    usable = allowed & np.isfinite(profit).all(axis=1, keepdims=True)
    value = np.where(usable, profit, -np.inf)
    position = np.cumsum(usable, axis=1)  # counts allowed rungs only
    best = np.take_along_axis(position, value.argmax(axis=1)[:, None], axis=1)
    near = usable & (np.abs(position - best) <= reach)
    highest = value.max(axis=1, keepdims=True, initial=-np.inf)
    loss = np.where(near, highest - np.where(near, profit, 0.0), 0.0)
    largest = loss.max(axis=1, keepdims=True)
    score = loss / np.where(largest > 0, largest, 1.0)
    weight = np.where(near, np.exp(-score / temperature), 0.0)
    # Added one by one: the rounding of `sum` depends on k, which differs between a batch and a
    # single quote that is decided again.
    total, count = weight.cumsum(axis=1)[:, -1:], near.sum(axis=1, keepdims=True)
    share = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    return np.where(near, MIN_PROBABILITY + (1 - MIN_PROBABILITY * count) * share, 0.0)


def drawn(chances: Floats, uniform: Floats) -> Ints:
    """The rung index (n,) that each number in [0, 1) selects; never a rung of probability zero.

    >>> drawn(np.array([[0.25, 0.0, 0.75]] * 3), np.array([0.0, 0.24, 0.25])).tolist()
    [0, 0, 2]
    """
    cumulative = np.cumsum(chances, axis=1)
    last = chances.shape[1] - 1 - np.argmax(chances[:, ::-1] > 0, axis=1)
    rung: Ints = np.minimum((cumulative <= uniform[:, None]).sum(axis=1), last)
    return rung
