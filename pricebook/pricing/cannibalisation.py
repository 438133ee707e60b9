"""Cannibalisation: the margin that a lower price takes from the shop's own substitutes.

An additional unit of one sku replaces part of a unit of others. As in a nested logit, the diversion
is proportional to the share within the category (Train 2009, Discrete Choice Methods with
Simulation, ch. 4). Diversion ratios in pricing: Farrell & Shapiro 2010, "Antitrust evaluation of
horizontal mergers", B.E. Journal of Theoretical Economics 10(1).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def opportunity_cost(
    own: Floats, cross: Floats, units: Floats, margin: Floats, category: Ints
) -> Floats:
    """Margin lost on substitutes for each unit gained (n,), in the units of `margin`.

    In a nested logit, a sku that loses a buyer loses the buyer to the rest of its category with
    probability delta (1 - share), where delta is one number for the category. When the price index
    of the others rises, demand of the sku rises by delta (1 - share) times their own elasticities.
    From the cross elasticities this gives delta, as a mean weighted by units.

    Args:
        own: own elasticities (n,), below zero.
        cross: elasticities (n,) to the price of the rest of the category; NaN where unknown.
        units: units sold per period (n,).
        margin: price minus unit cost (n,); a negative margin counts as zero.
        category: code (n,) of the category.

    Returns:
        0 where the category has no other sku, no sales, or no cross elasticity above zero. Each
        unit gained replaces at most one unit of the others.

    >>> only_sku = np.array([-2.0]), np.array([np.nan]), np.ones(1), np.ones(1), np.zeros(1, int)
    >>> opportunity_cost(*only_sku).tolist()
    [0.0]
    """
    total = np.bincount(category, units)[category]
    share = np.divide(units, total, out=np.zeros_like(units), where=total > 0)
    profit = np.bincount(category, units * np.maximum(margin, 0))[category]
    others_margin = np.divide(
        profit - units * np.maximum(margin, 0),
        total - units,
        out=np.zeros_like(units),
        where=total > units,
    )
    diverted = _delta(own, cross, share, units, category) * (1 - share)
    return np.asarray(np.clip(diverted, 0, 1) * others_margin)


def _delta(own: Floats, cross: Floats, share: Floats, units: Floats, category: Ints) -> Floats:
    known = np.isfinite(cross) & (share < 1)
    moved = np.bincount(category, np.where(known, units * cross, 0.0))
    by = np.bincount(category, np.where(known, units * (1 - share) * -own, 0.0))
    delta = np.divide(moved, by, out=np.zeros_like(moved), where=by > 0)
    return np.asarray(np.maximum(delta, 0.0)[category])
