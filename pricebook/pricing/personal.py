"""Personal offers: a lower price for a segment or an occasion, where it is expected to earn more.

A personal offer is never above the public offer, at most `max_dispersion` below it, and never below
the floor. So the prices of two shoppers differ at most by that share. It is made only if its
expected long-run profit is above that of the public offer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pricebook import money
from pricebook.config import Personal
from pricebook.config import Quote as Limits
from pricebook.money import Floats
from pricebook.pricing.decision import (
    Decision,
    DemandRatio,
    Listings,
    decide_many,
    expected_units,
)

ABANDONED_CART, LAPSING = "abandoned_cart", "lapsing"
PURPOSE_TEXTS = {
    ABANDONED_CART: "lowered for a cart that was left (abandoned_cart)",
    LAPSING: "lowered for a shopper who is about to lapse (lapsing)",
}


class Candidate(NamedTuple):
    """A personal offer to decide on.

    Attributes:
        public: the public offer of the same listing.
        segment: the shopper's segment.
        because: the reason for a personal offer.
        purpose: the occasion for a larger discount; empty for none.
    """

    public: Decision
    segment: str
    because: str
    purpose: str = ""


class Expectation(NamedTuple):
    """What a personal offer is expected to earn. Money in minor units.

    Attributes:
        public_price: the public price at the same time.
        profit: the expected long-run profit at the personal price, for each unit of the segment's
            demand at the reference price. It includes the lift of a purpose.
        public_profit: the same at the public price.
        units: expected units at the personal price, relative to those at the public price.
    """

    public_price: int
    profit: float
    public_profit: float
    units: float


def purpose(segment: str, cart_abandoned: bool, personal: Personal) -> str:
    """The purpose of an offer to a shopper; empty if there is none.

    >>> purpose("fading", cart_abandoned=False, personal=Personal())
    'lapsing'
    """
    if cart_abandoned and personal.abandoned_cart.discount:
        return ABANDONED_CART
    lapsing = segment in personal.lapsing_segments and personal.lapsing.discount > 0
    return LAPSING if lapsing else ""


def decide(
    listings: Listings, candidates: Sequence[Candidate], limits: Limits, demand: DemandRatio | None
) -> list[tuple[Decision, Expectation | None]]:
    """Decide n personal offers: row i of the listings for candidate i.

    Returns the decision, and what it is expected to earn. Without a personal offer it is the public
    price, and the expectation is None.
    """
    segments = [candidate.segment for candidate in candidates]
    own = [
        _limit_dispersion(decision, candidate.public, limits)
        for decision, candidate in zip(
            decide_many(listings, segments, limits, demand), candidates, strict=True
        )
    ]
    prices = [_prices(*pair, limits) for pair in zip(own, candidates, strict=True)]
    units = _units(listings, segments, prices, demand)
    costs = listings.marginal_cost.tolist()
    rows = zip(own, candidates, prices, units.tolist(), costs, strict=True)
    return [_chosen(*row, limits.personal) for row in rows]


def _limit_dispersion(own: Decision, public: Decision, limits: Limits) -> Decision:
    """Raise a segment's offer to the lowest rung within `max_dispersion` of the public one."""
    lowest = _lowest(public, limits)
    if own.price >= lowest:
        return own
    nearest = money.at_or_above(money.rungs(public.ceiling, limits.endings), lowest)
    share = f"{limits.max_dispersion:.0%}"
    return own.with_reason("dispersion", f"at most {share} below the public offer", nearest)


def _lowest(public: Decision, limits: Limits) -> float:
    return float(money.round_up(public.price * (1 - limits.max_dispersion)))


def _prices(own: Decision, candidate: Candidate, limits: Limits) -> tuple[int, int, int]:
    """The public price, the segment's price if it is lower, and the purpose's if it is lower yet.

    All are the public price where the model did not price the listing.
    """
    public = candidate.public
    if not (_is_modelled(own) and _is_modelled(public)):
        return public.price, public.price, public.price
    base = min(own.price, public.price)
    return public.price, base, _purpose_price(base, own.floor or 0, candidate, limits)


def _is_modelled(decision: Decision) -> bool:
    """Whether the model chose the price. Otherwise a first reason says why it is the list price."""
    return bool(decision.reasons) and decision.reasons[0].rule == "model"


def _purpose_price(base: int, floor: int, candidate: Candidate, limits: Limits) -> int:
    """The lowest rung that a purpose allows below `base`; `base` if there is none."""
    if not candidate.purpose:
        return base
    discount = getattr(limits.personal, candidate.purpose).discount
    lowest = max(
        floor, _lowest(candidate.public, limits), float(money.round_up(base * (1 - discount)))
    )
    rungs = money.rungs(candidate.public.ceiling, limits.endings)
    return min(base, money.at_or_above(rungs, lowest))


def _units(
    listings: Listings,
    segments: Sequence[str],
    prices: Sequence[tuple[int, int, int]],
    demand: DemandRatio | None,
) -> Floats:
    """Expected units (n, 3) at the prices; NaN where all three are equal, so nothing is asked."""
    units = np.full((len(prices), 3), np.nan)
    differ = np.flatnonzero([low < public for public, _, low in prices])
    if demand is not None and differ.size:
        asked = [segments[row] for row in differ.tolist()]
        units[differ] = expected_units(
            listings.take(differ), asked, np.array(prices)[differ], demand
        )
    return units


def _chosen(
    own: Decision,
    candidate: Candidate,
    prices: tuple[int, int, int],
    units: Sequence[float],
    cost: float,
    personal: Personal,
) -> tuple[Decision, Expectation | None]:
    """The offer of highest expected profit among the public, the segment's and the purpose's."""
    public, because = candidate.public, candidate.because
    lifts = (1.0, 1.0, 1.0 + _lift(candidate.purpose, personal))
    profits = [
        (price - cost) * many * lift for price, many, lift in zip(prices, units, lifts, strict=True)
    ]
    if not (units[0] > 0 and all(map(math.isfinite, units))):  # or NaN: no price is lower
        profits = [math.nan] * 3
    if prices[2] < prices[1] and profits[2] > max(profits[:2]):
        text = f"{because}, {PURPOSE_TEXTS[candidate.purpose]}"
        return own.with_reason("personal", text, prices[2]), _expected(
            prices, units, lifts, profits, 2
        )
    if prices[1] < prices[0] and profits[1] > profits[0]:
        return own.with_reason("personal", because), _expected(prices, units, lifts, profits, 1)
    if own.price > public.price:
        text = "no personal offer is above it"
        return own.with_reason("public_offer", text, public.price), None
    same = "is the same" if own.price == public.price else "is not expected to earn more"
    return public.with_reason("public_offer", f"{because} {same}"), None


def _lift(name: str, personal: Personal) -> float:
    return float(getattr(personal, name).lift) if name else 0.0


def _expected(
    prices: Sequence[int],
    units: Sequence[float],
    lifts: Sequence[float],
    profits: Sequence[float],
    chosen: int,
) -> Expectation:
    ratio = units[chosen] * lifts[chosen] / units[0]
    return Expectation(prices[0], profits[chosen], profits[0], ratio)
