"""Events: what happens in the shop, as the shop reports it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

ALL_ZONES = "all"  # the zone of an event without a zone

Kind = Literal["view", "cart", "search", "order", "stock", "competitor_price"]
Place = tuple[str, str]  # sku and zone


@dataclass(frozen=True, slots=True)
class Event:
    """An event in the shop.

    Attributes:
        occurred_at: with a time zone.
        quantity: units of an order.
        price: of an order, or of a competitor; in minor units.
        quote_id: the quote of an order.
        on_hand: units in stock, of a stock event.
        competitor: the name of the competitor whose price it is.
        public: whether any shopper could see the competitor's price.
    """

    event_id: str
    occurred_at: datetime
    kind: Kind
    sku: str | None = None
    zone: str | None = None
    customer_id: str | None = None
    quantity: int | None = None
    price: int | None = None
    quote_id: str | None = None
    on_hand: int | None = None
    competitor: str | None = None
    public: bool = True

    @property
    def place(self) -> Place | None:
        """The sku and zone; None if the event has no sku."""
        return None if self.sku is None else (self.sku, self.zone or ALL_ZONES)
