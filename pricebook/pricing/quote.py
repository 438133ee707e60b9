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

from pricebook.config import Quote as Limits
from pricebook.money import Floats
from pricebook.pricing import personal
from pricebook.pricing.arms import CONTROL, EXPLORE, PUBLIC, Arm
from pricebook.pricing.decision import Choice, Decision, DemandRatio, Listings, decide_many
from pricebook.pricing.guardrails import Reason
from pricebook.pricing.personal import Candidate, Expectation

EVERYONE = "everyone"
DEFAULT_ARM = Arm()
# Rules of `list_offers`.
UNDECIDED = frozenset({"online_store", "no_model", "no_champion", "kill_switch"})
FALLBACKS = UNDECIDED | {"no_answer"}  # rules of offers at list price because something failed
SWITCHED_OFF = "personal offers are turned off"
PUBLIC_GROUP = "the group without personal offers, to measure what they earn"
# Rules that withhold a personal offer, and their texts.
WITHHELD = {
    "offer_budget": "the personal discounts of this period are used up",
    "shopper_cap": "the shopper has had the personal offers of this period",
}
# The text that the New York Algorithmic Pricing Disclosure Act requires (Gen. Bus. Law § 349-a).
DISCLOSURE = "THIS PRICE WAS SET BY AN ALGORITHM USING YOUR PERSONAL DATA"


Personal = tuple[Decision, Expectation | None]


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
        purpose: the occasion for a larger discount (`pricebook.pricing.personal`); empty for none.
        withheld: the rule that withholds a personal offer (`WITHHELD`); empty for none.
    """

    segment: str | None = None
    because: str = ""
    arm: Arm = DEFAULT_ARM
    purpose: str = ""
    withheld: str = ""

    def without_personal(self, rule: str) -> Terms:
        """The public terms that replace these if a rule withholds the personal offer."""
        return Terms(None, WITHHELD[rule], self.arm, withheld=rule)


@dataclass(frozen=True, slots=True)
class Offer:
    """A price for all shoppers with the same terms. Money in minor units.

    `floor`, `choice` and `expectation` (None without a personal offer) are never public.
    `lowest_30d` is the prior price; a discount may only be announced against this price
    (`pricebook.pricing.prior_price`). `propensity` is the probability that the shopper was shown
    this price: the arm's share times the probability of the drawn rung.
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
    expectation: Expectation | None = None

    @property
    def discount_from(self) -> int | None:
        """The price to announce a discount against; None if there is no discount."""
        return self.lowest_30d if self.lowest_30d and self.price < self.lowest_30d else None


def terms(
    shopper: Shopper, consent_default: bool, arm: Arm = DEFAULT_ARM, enabled: bool = True
) -> Terms:
    """The terms of a shopper.

    The consent flag of the request takes precedence, then the stored flag, then the shop's default.
    There is no personal offer in the control, exploration and public arms, and none at all unless
    they are `enabled`.
    """
    if arm.name in (CONTROL, EXPLORE):
        return Terms(arm=arm)
    if not enabled:
        return Terms(None, SWITCHED_OFF, arm)
    if arm.name == PUBLIC:
        return Terms(None, PUBLIC_GROUP, arm)
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


def offers(
    terms_of_rows: Sequence[Terms], listings: Listings, limits: Limits, demand: DemandRatio | None
) -> list[Offer]:
    """Offers for n rows of the listings, each with its own terms."""
    everyone = [EVERYONE] * len(terms_of_rows)
    public = decide_many(listings, everyone, limits, demand, _draws(terms_of_rows))
    candidates = {
        row: Candidate(public[row], terms.segment, terms.because, terms.purpose)
        for row, terms in enumerate(terms_of_rows)
        if terms.segment is not None
    }
    own: dict[int, Personal] = {}
    if candidates:
        rows = listings.take(np.array(list(candidates)))
        decisions = personal.decide(rows, list(candidates.values()), limits, demand)
        own = dict(zip(candidates, decisions, strict=True))
    lowest = _lowest(listings)
    decided = (
        _decided(terms, decision, own.get(row))
        for row, (terms, decision) in enumerate(zip(terms_of_rows, public, strict=True))
    )
    return [
        _offer(listings, row, decision, terms_of_rows[row].arm, lowest[row], expectation)
        for row, (decision, expectation) in enumerate(decided)
    ]


def _decided(terms: Terms, public: Decision, own: Personal | None) -> Personal:
    """The decision for these terms, and what it is expected to earn if it is a personal offer."""
    if terms.arm.name == CONTROL:
        return _at_list(public, "experiment", "the list price, as the control group"), None
    if own is not None:
        return own
    rule = terms.withheld or "public_offer"
    return public.with_reason(rule, terms.because) if terms.because else public, None


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
    expectation: Expectation | None = None,
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
        personalised=expectation is not None,
        disclosure=DISCLOSURE if expectation is not None else None,
        reasons=decision.reasons,
        arm=arm.name,
        propensity=arm.share * chance,
        choice=decision.choice,
        expectation=expectation,
    )
