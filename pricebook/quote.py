"""What a Quote is: the public offer for a sku, or a shopper's own where that is lower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np

from pricebook.config import Quote as Limits
from pricebook.decision import MODEL_ARM, Decision, DemandRatio, Listings, decide_many
from pricebook.guardrails import Arm, Reason

EVERYONE = "everyone"
# The words the New York Algorithmic Pricing Disclosure Act (General Business Law § 349-a) asks for.
DISCLOSURE = "THIS PRICE WAS SET BY AN ALGORITHM USING YOUR PERSONAL DATA"


@dataclass(frozen=True, slots=True)
class Shopper:
    """Who asks. `asked` is the request's own consent flag; the rest comes from the online store."""

    customer_id: str | None = None
    asked: bool | None = None
    segment: str | None = None
    consented: bool | None = None


@dataclass(frozen=True, slots=True)
class Issuer:
    """What every quote of a batch has in common."""

    limits: Limits
    currency: str
    model_name: str
    model_version: str
    issued_at: datetime
    arm: Arm = MODEL_ARM


@dataclass(frozen=True, slots=True)
class Quote:
    """An offer of one unit of a sku at a price. Money in minor units; `floor` is never public."""

    quote_id: str
    sku: str
    zone: str
    currency: str
    price: int
    list_price: int
    floor: int | None
    ceiling: int
    personalised: bool
    disclosure: str | None
    reasons: tuple[Reason, ...]
    model_name: str
    model_version: str
    arm: str
    propensity: float
    issued_at: datetime
    expires_at: datetime
    signature: str = ""


def personal_segment(shopper: Shopper, consent_default: bool) -> tuple[str | None, str]:
    """The segment whose offer this shopper may get, or None, and the reason in words.

    The request's own consent flag comes first, then the shopper's stored one, then the shop's
    default. An anonymous shopper has no reason to give.
    """
    flags = (shopper.asked, shopper.consented, consent_default)
    if shopper.customer_id is None:
        return None, "no shopper was named" if shopper.asked else ""
    if not next(flag for flag in flags if flag is not None):
        return None, "the shopper has not consented to personal offers"
    if shopper.segment is None:
        return None, "nothing is known of this shopper"
    return shopper.segment, f"the offer for {shopper.segment} shoppers"


def personal(public: Decision, own: Decision, because: str) -> tuple[Decision, bool]:
    """The better of a shopper's own offer and the public one, and whether it is the personal one.

    A personal offer is never above the public offer: where it would be, the public price stands.
    """
    if own.price < public.price:
        return own.noting("personal", because), True
    if own.price > public.price:
        return own.noting("public_offer", "no personal offer is above it", public.price), False
    return public.noting("public_offer", f"{because} is the same"), False


def quote_many(
    asks: Sequence[tuple[str, Shopper]],
    listings: Listings,
    issuer: Issuer,
    demand: DemandRatio | None,
) -> list[Quote]:
    """Quotes for (quote_id, shopper) pairs, row by row of the listings; unsigned."""
    limits = issuer.limits
    public = decide_many(listings, [EVERYONE] * len(asks), limits, demand, issuer.arm)
    told = [personal_segment(shopper, limits.consent_default) for _, shopper in asks]
    named = [row for row, (segment, _) in enumerate(told) if segment is not None]
    segments = [segment for segment, _ in told if segment is not None]
    own: dict[int, Decision] = {}
    if named:
        rows = listings.take(np.array(named))
        own = dict(zip(named, decide_many(rows, segments, limits, demand, issuer.arm), strict=True))
    quotes = []
    for row, (quote_id, _) in enumerate(asks):
        decision, personalised, because = public[row], False, told[row][1]
        if row in own:
            decision, personalised = personal(decision, own[row], because)
        elif because:
            decision = decision.noting("public_offer", because)
        quotes.append(_issue(quote_id, listings, row, decision, personalised, issuer))
    return quotes


def list_quotes(
    quote_ids: Sequence[str], listings: Listings, issuer: Issuer, rule: str, because: str
) -> list[Quote]:
    """Quotes at the list price, all for one reason."""
    decisions = (
        Decision(price, None, price, ()).noting(rule, f"{because}; the list price stands")
        for price in listings.list_price.tolist()
    )
    return [
        _issue(quote_id, listings, row, decision, False, issuer)
        for row, (quote_id, decision) in enumerate(zip(quote_ids, decisions, strict=True))
    ]


def _issue(
    quote_id: str,
    listings: Listings,
    row: int,
    decision: Decision,
    personalised: bool,
    issuer: Issuer,
) -> Quote:
    return Quote(
        quote_id=quote_id,
        sku=listings.sku[row],
        zone=listings.zone[row],
        currency=issuer.currency,
        price=decision.price,
        list_price=int(listings.list_price[row]),
        floor=decision.floor,
        ceiling=decision.ceiling,
        personalised=personalised,
        disclosure=DISCLOSURE if personalised else None,
        reasons=decision.reasons,
        model_name=issuer.model_name,
        model_version=issuer.model_version,
        arm=issuer.arm.name,
        propensity=issuer.arm.propensity,
        issued_at=issuer.issued_at,
        expires_at=issuer.issued_at + timedelta(seconds=issuer.limits.ttl_seconds),
    )
