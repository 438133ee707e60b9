"""Offers: the price for all shoppers with the same terms, until an input changes.

A quote is an offer made to one shopper. It is signed and valid until it expires
(`serving.quotes.quoter`).
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
DEFAULT_ARM = Arm()
UNDECIDED = frozenset({"online_store", "no_model", "kill_switch"})  # rules of `list_offers`
FALLBACKS = UNDECIDED | {"no_answer"}  # rules of offers at list price because something failed
# The text that the New York Algorithmic Pricing Disclosure Act requires (Gen. Bus. Law § 349-a).
DISCLOSURE = "THIS PRICE WAS SET BY AN ALGORITHM USING YOUR PERSONAL DATA"


@dataclass(frozen=True, slots=True)
class Shopper:
    """The shopper of a request.

    Attributes:
        requested_consent: the consent flag of the request; None if it has none.
        segment: from the online store; None if unknown.
        consented: the stored consent flag; None if unknown.
    """

    customer_id: str | None = None
    requested_consent: bool | None = None
    segment: str | None = None
    consented: bool | None = None


class Terms(NamedTuple):
    """What an offer depends on, besides the listing.

    Attributes:
        segment: the segment whose personal offer is considered; None for no personal offer.
        because: the reason that there is, or is not, a personal offer.
        arm: the experiment arm.
    """

    segment: str | None = None
    because: str = ""
    arm: Arm = DEFAULT_ARM


@dataclass(frozen=True, slots=True)
class Offer:
    """A price for all shoppers with the same terms. Money in minor units.

    `floor` and `choice` are never public. `lowest_30d` is the prior price; a discount may only be
    announced against this price (`pricebook.pricing.prior_price`). `propensity` is the probability
    that the shopper was shown this price: the arm's share times the probability of the drawn rung.
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
        """The price to announce a discount against; None if there is no discount."""
        return self.lowest_30d if self.lowest_30d and self.price < self.lowest_30d else None


def terms(shopper: Shopper, consent_default: bool, arm: Arm = DEFAULT_ARM) -> Terms:
    """The terms of a shopper.

    The consent flag of the request takes precedence, then the stored flag, then the shop's default.
    There is no personal offer in the control and exploration arms.
    """
    if arm.name in (CONTROL, EXPLORE):
        return Terms(arm=arm)
    flags = (shopper.requested_consent, shopper.consented, consent_default)
    return Terms(*_personal_terms(shopper.customer_id is not None, flags, shopper.segment), arm)


@lru_cache(maxsize=1024)  # few distinct arguments, and every quote calls it
def _personal_terms(
    named: bool, flags: tuple[bool | None, ...], segment: str | None
) -> tuple[str | None, str]:
    """The segment whose personal offer is considered (None: none), and the reason."""
    if not named:
        return None, "no shopper was named" if flags[0] else ""
    if not next(flag for flag in flags if flag is not None):
        return None, "the shopper has not consented to personal offers"
    if segment is None:
        return None, "this shopper is unknown"
    return segment, f"the offer for {segment} shoppers"


def personal(
    public: Decision, own: Decision, because: str, limits: Limits
) -> tuple[Decision, bool]:
    """The lower of the segment's offer and the public one, and whether it is the segment's.

    A personal offer is never above the public offer, and at most `max_dispersion` below it. So the
    prices of two shoppers differ at most by that share.
    """
    own = _limit_dispersion(own, public, limits)
    if own.price < public.price:
        return own.with_reason("personal", because), True
    if own.price > public.price:
        return own.with_reason("public_offer", "no personal offer is above it", public.price), False
    return public.with_reason("public_offer", f"{because} is the same"), False


def _limit_dispersion(own: Decision, public: Decision, limits: Limits) -> Decision:
    """Raise a segment's offer to the lowest rung within `max_dispersion` of the public one."""
    lowest = float(money.round_up(public.price * (1 - limits.max_dispersion)))
    if own.price >= lowest:
        return own
    nearest = money.at_or_above(money.rungs(public.ceiling, limits.endings), lowest)
    share = f"{limits.max_dispersion:.0%}"
    return own.with_reason("dispersion", f"at most {share} below the public offer", nearest)


def offers(
    terms_of_rows: Sequence[Terms], listings: Listings, limits: Limits, demand: DemandRatio | None
) -> list[Offer]:
    """Offers for n rows of the listings, each with its own terms."""
    everyone = [EVERYONE] * len(terms_of_rows)
    public = decide_many(listings, everyone, limits, demand, _draws(terms_of_rows))
    segments_of_rows = {
        row: terms.segment for row, terms in enumerate(terms_of_rows) if terms.segment is not None
    }
    own: dict[int, Decision] = {}
    if segments_of_rows:
        rows = listings.take(np.array(list(segments_of_rows)))
        segments = list(segments_of_rows.values())
        decisions = decide_many(rows, segments, limits, demand)
        own = dict(zip(segments_of_rows, decisions, strict=True))
    lowest = _lowest(listings)
    decided = (
        _decided(terms, decision, own.get(row), limits)
        for row, (terms, decision) in enumerate(zip(terms_of_rows, public, strict=True))
    )
    return [
        _offer(listings, row, decision, terms_of_rows[row].arm, lowest[row], personalised)
        for row, (decision, personalised) in enumerate(decided)
    ]


def _decided(
    terms: Terms, public: Decision, own: Decision | None, limits: Limits
) -> tuple[Decision, bool]:
    """The decision for these terms, and whether it is a personal offer."""
    if terms.arm.name == CONTROL:
        return _at_list(public, "experiment", "the list price, as the control group"), False
    if own is not None:
        return personal(public, own, terms.because, limits)
    return public.with_reason("public_offer", terms.because) if terms.because else public, False


def list_offers(
    terms_of_rows: Sequence[Terms], listings: Listings, rule: str, because: str
) -> list[Offer]:
    """Offers at the list price, all with the same reason."""
    lowest = _lowest(listings)
    return [
        _offer(
            listings,
            row,
            _at_list(Decision(price, None, price, ()), rule, because),
            terms.arm,
            lowest[row],
        )
        for row, (terms, price) in enumerate(
            zip(terms_of_rows, listings.list_price.tolist(), strict=True)
        )
    ]


def _draws(terms_of_rows: Sequence[Terms]) -> Floats | None:
    draws = [terms.arm.draw for terms in terms_of_rows]
    if all(draw is None for draw in draws):
        return None
    return np.array([np.nan if draw is None else draw for draw in draws])


def _at_list(decision: Decision, rule: str, because: str) -> Decision:
    return Decision(decision.ceiling, decision.floor, decision.ceiling, ()).with_reason(
        rule, because
    )


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
