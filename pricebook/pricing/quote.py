"""What is quoted: an offer, the same for all who ask on the same terms until an input changes.

A quote is an offer given to one shopper, signed, good until it expires (`serving.quotes.quoter`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pricebook import money
from pricebook.config import Quote as Limits
from pricebook.money import Floats
from pricebook.pricing.arms import CONTROL, EXPLORE, Arm
from pricebook.pricing.decision import Choice, Decision, DemandRatio, Listings, decide_many
from pricebook.pricing.guardrails import Reason

EVERYONE = "everyone"
EVERYBODY = Arm()
UNDECIDED = frozenset({"online_store", "no_model", "kill_switch"})  # rules of `list_offers`
# The words the New York Algorithmic Pricing Disclosure Act (General Business Law § 349-a) asks for.
DISCLOSURE = "THIS PRICE WAS SET BY AN ALGORITHM USING YOUR PERSONAL DATA"


@dataclass(frozen=True, slots=True)
class Shopper:
    """Who asks. `asked` is the request's own consent flag; the rest comes from the online store."""

    customer_id: str | None = None
    asked: bool | None = None
    segment: str | None = None
    consented: bool | None = None


class Terms(NamedTuple):
    """What an offer depends on beside the listing.

    Whose personal offer is weighed (None: nobody's), why or why not, and the experiment arm.
    """

    segment: str | None = None
    because: str = ""
    arm: Arm = EVERYBODY


@dataclass(frozen=True, slots=True)
class Offer:
    """A price for all who ask on the same terms. Money in minor units.

    `floor` and `choice` are never public. `lowest_30d` is the lowest list price of the past 30
    days, the only price a discount may be announced against. `propensity` is the chance that who
    asked was shown this price: the arm's share, times the chance of the rung drawn in it.
    """

    sku: str
    zone: str
    price: int
    list_price: int
    lowest_30d: int | None
    floor: int | None
    ceiling: int
    personalised: bool
    disclosure: str | None
    reasons: tuple[Reason, ...]
    arm: str
    propensity: float
    choice: Choice | None

    @property
    def discount_from(self) -> int | None:
        """What a discount may be announced against; None where the price is none."""
        return self.lowest_30d if self.lowest_30d and self.price < self.lowest_30d else None


def terms(shopper: Shopper, consent_default: bool, arm: Arm = EVERYBODY) -> Terms:
    """What a shopper is quoted on.

    The request's own consent flag comes first, then the shopper's stored one, then the shop's
    default. An anonymous shopper has no reason to give. Only where prices are the model's is there
    a personal offer.
    """
    if arm.name in (CONTROL, EXPLORE):
        return Terms(arm=arm)
    flags = (shopper.asked, shopper.consented, consent_default)
    return Terms(*_weighed(shopper.customer_id is not None, flags, shopper.segment), arm)


@lru_cache(maxsize=1024)  # there are few segments, and every quote asks
def _weighed(
    named: bool, flags: tuple[bool | None, ...], segment: str | None
) -> tuple[str | None, str]:
    """Whose personal offer is weighed, and why or why not."""
    if not named:
        return None, "no shopper was named" if flags[0] else ""
    if not next(flag for flag in flags if flag is not None):
        return None, "the shopper has not consented to personal offers"
    if segment is None:
        return None, "nothing is known of this shopper"
    return segment, f"the offer for {segment} shoppers"


def personal(
    public: Decision, own: Decision, because: str, limits: Limits
) -> tuple[Decision, bool]:
    """The better of a shopper's own offer and the public one, and whether it is the personal one.

    A personal offer is never above the public offer: where it would be, the public price stands.
    Nor is it further below than `max_dispersion`, so no two shoppers are further apart.
    """
    own = _near(own, public, limits)
    if own.price < public.price:
        return own.noting("personal", because), True
    if own.price > public.price:
        return own.noting("public_offer", "no personal offer is above it", public.price), False
    return public.noting("public_offer", f"{because} is the same"), False


def _near(own: Decision, public: Decision, limits: Limits) -> Decision:
    """An own offer, raised to the lowest rung that is near enough to the public one."""
    lowest = float(money.round_up(public.price * (1 - limits.max_dispersion)))
    if own.price >= lowest:
        return own
    nearest = money.at_or_above(money.rungs(public.ceiling, limits.endings), lowest)
    share = f"{limits.max_dispersion:.0%}"
    return own.noting("dispersion", f"at most {share} below the public offer", nearest)


def offers(
    asked: Sequence[Terms], listings: Listings, limits: Limits, demand: DemandRatio | None
) -> list[Offer]:
    """What is offered on each of these terms, row by row of the listings."""
    public = decide_many(listings, [EVERYONE] * len(asked), limits, demand, _draws(asked))
    named = [row for row, one in enumerate(asked) if one.segment is not None]
    own: dict[int, Decision] = {}
    if named:
        segments = [one.segment for one in asked if one.segment is not None]
        rows = listings.take(np.array(named))
        own = dict(zip(named, decide_many(rows, segments, limits, demand), strict=True))
    lowest = _lowest(listings)
    decided = (
        _decided(one, decision, own.get(row), limits)
        for row, (one, decision) in enumerate(zip(asked, public, strict=True))
    )
    return [
        _offer(listings, row, decision, asked[row].arm, lowest[row], personalised)
        for row, (decision, personalised) in enumerate(decided)
    ]


def _decided(
    on: Terms, public: Decision, own: Decision | None, limits: Limits
) -> tuple[Decision, bool]:
    """The decision on these terms, and whether it is a personal one."""
    if on.arm.name == CONTROL:
        return _at_list(public, "experiment", "the list price, to measure against"), False
    if own is not None:
        return personal(public, own, on.because, limits)
    return public.noting("public_offer", on.because) if on.because else public, False


def list_offers(asked: Sequence[Terms], listings: Listings, rule: str, because: str) -> list[Offer]:
    """Offers at the list price, all for one reason."""
    lowest = _lowest(listings)
    return [
        _offer(
            listings,
            row,
            _at_list(Decision(price, None, price, ()), rule, because),
            one.arm,
            lowest[row],
        )
        for row, (one, price) in enumerate(zip(asked, listings.list_price.tolist(), strict=True))
    ]


def _draws(asked: Sequence[Terms]) -> Floats | None:
    if all(one.arm.draw is None for one in asked):
        return None
    return np.array([np.nan if one.arm.draw is None else one.arm.draw for one in asked])


def _at_list(decision: Decision, rule: str, because: str) -> Decision:
    return Decision(decision.ceiling, decision.floor, decision.ceiling, ()).noting(rule, because)


def _lowest(listings: Listings) -> list[int | None]:
    if listings.lowest_30d is None:
        return [None] * len(listings)
    return [None if np.isnan(value) else int(value) for value in listings.lowest_30d.tolist()]


def _offer(
    listings: Listings,
    row: int,
    decision: Decision,
    arm: Arm,
    lowest_30d: int | None,
    personalised: bool = False,
) -> Offer:
    chance = 1.0 if decision.choice is None else decision.choice.chance(decision.price)
    return Offer(
        sku=listings.sku[row],
        zone=listings.zone[row],
        price=decision.price,
        list_price=decision.ceiling,
        lowest_30d=lowest_30d,
        floor=decision.floor,
        ceiling=decision.ceiling,
        personalised=personalised,
        disclosure=DISCLOSURE if personalised else None,
        reasons=decision.reasons,
        arm=arm.name,
        propensity=arm.share * chance,
        choice=decision.choice,
    )
