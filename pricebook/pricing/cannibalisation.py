"""What a lower price takes from the shop's own substitutes.

A unit more of one sku is partly a unit less of another. With diversion proportional to share within
the category, as in a nested logit (Train 2009, Discrete Choice Methods with Simulation, ch. 4; the
use of diversion ratios in pricing: Farrell & Shapiro 2010, "Antitrust evaluation of horizontal
mergers", B.E. Journal of Theoretical Economics 10(1)), it costs the margin of what would have sold
instead.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def opportunity_cost(
    own: Floats, cross: Floats, units: Floats, margin: Floats, category: Ints
) -> Floats:
    """The margin lost on substitutes by each unit gained (n,), in the units of `margin`.

    A logit sku that loses a buyer loses it to the rest of its category in proportion to share, at a
    ratio that is the same for the whole category but for its own share: delta (1 - share). A rise
    of the rivals' price index moves a sku by delta (1 - share) times their own elasticities, and
    that gives delta, a mean by units within the category.

    Args:
        own: own elasticities (n,), below zero.
        cross: elasticities (n,) to the price of the rest of the category; NaN where unknown.
        units: what each sells (n,).
        margin: price less unit cost (n,); what is lost on a sku sold at a loss counts as nothing.
        category: code (n,) of the category.

    Returns:
        0 where the category has no other sku, no sales, or no cross elasticity above zero. No unit
        gained loses more than one unit of the others.

    >>> alone = np.array([-2.0]), np.array([np.nan]), np.ones(1), np.ones(1), np.zeros(1, int)
    >>> opportunity_cost(*alone).tolist()
    [0.0]
    """
    total = np.bincount(category, units)[category]
    share = np.divide(units, total, out=np.zeros_like(units), where=total > 0)
    gained = np.bincount(category, units * np.maximum(margin, 0))[category]
    others = np.divide(
        gained - units * np.maximum(margin, 0),
        total - units,
        out=np.zeros_like(units),
        where=total > units,
    )
    diverted = _delta(own, cross, share, units, category) * (1 - share)
    return np.asarray(np.clip(diverted, 0, 1) * others)


def _delta(own: Floats, cross: Floats, share: Floats, units: Floats, category: Ints) -> Floats:
    known = np.isfinite(cross) & (share < 1)
    moved = np.bincount(category, np.where(known, units * cross, 0.0))
    by = np.bincount(category, np.where(known, units * (1 - share) * -own, 0.0))
    delta = np.divide(moved, by, out=np.zeros_like(moved), where=by > 0)
    return np.asarray(np.maximum(delta, 0.0)[category])
