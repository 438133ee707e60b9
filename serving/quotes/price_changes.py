"""Finds the quotes that change a public price."""

from __future__ import annotations

from collections.abc import Sequence

from ledger.public_prices import Change
from pricebook.pricing.arms import CHAMPION
from pricebook.pricing.quote import FALLBACKS
from serving.quotes.batch import Batch
from serving.quotes.offers import Offers, RenderedOffer


def price_changes(offers: Offers, batch: Batch, quoted: Sequence[RenderedOffer]) -> list[Change]:
    """The changes to record after a batch of quotes. Almost always there are none.

    Args:
        quoted: the offer of each request of the batch.
    """
    positions = [position for position, offer in enumerate(quoted) if offer.new_price]
    changes = [
        _change(offers, batch, position, quoted[position])
        for position in positions
        if quoted[position].labels.arm == CHAMPION or batch.requests[position].customer_id is None
    ]
    # A batch may quote the same price of a sku often.
    return list({(change.place, change.price): change for change in changes}.values())


def _change(offers: Offers, batch: Batch, position: int, offer: RenderedOffer) -> Change:
    row = batch.rows[position]
    place = offers.bundle.places[row]
    earlier = None
    if offers.public_prices.get(place) is None:
        earlier = offers.bundle.earlier_prices(row)
    fallback = not FALLBACKS.isdisjoint(offer.labels.rules)
    return Change(*place, offer.price, batch.now, fallback, earlier)
