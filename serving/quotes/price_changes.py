"""Finds the public prices among new quotes that differ from the ones before."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.public_prices import Change, PublicPrice
from pricebook.events import Place
from pricebook.pricing import prior_price
from serving.quotes.batch import Batch
from serving.quotes.offers import FALLBACKS, Offers, RenderedOffer


def price_changes(offers: Offers, batch: Batch, quoted: Sequence[RenderedOffer]) -> list[Change]:
    """The changes to record after a batch of quotes. Almost always there are none.

    Args:
        quoted: the offer of each request of the batch.
    """
    places, public_prices = offers.bundle.places, offers.public_prices
    changes: dict[tuple[Place, int], Change] = {}
    for position, (row, offer) in enumerate(zip(batch.rows, quoted, strict=True)):
        public = public_prices.get(places[row])
        if public is not None and public.price == offer.price and not public.fallback:
            continue
        anonymous = batch.requests[position].customer_id is None
        if _differs(offer, public) and _counts(offer, public, anonymous):
            earlier = offers.bundle.earlier_prices(row) if public is None else None
            fallback = _is_fallback(offer)
            change = Change(*places[row], offer.price, batch.now, fallback, earlier)
            changes.setdefault((change.place, change.price), change)
    return list(changes.values())


def _differs(offer: RenderedOffer, public: PublicPrice | None) -> bool:
    """Whether the price, or its being a fallback, is not what was recorded last."""
    if public is None or public.price != offer.price:
        return True
    return public.fallback and not _is_fallback(offer)


def _counts(offer: RenderedOffer, public: PublicPrice | None, anonymous: bool) -> bool:
    personalised = offer.labels.outcome == "personal"
    current = None if public is None else public.price
    return prior_price.counts(offer.labels.arm, personalised, anonymous, offer.price, current)


def _is_fallback(offer: RenderedOffer) -> bool:
    return not FALLBACKS.isdisjoint(offer.labels.rules)
