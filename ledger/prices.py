"""Published list prices of the shop and when they take effect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from ledger.connection import Ledger
from ledger.tables import PriceRow


@dataclass(frozen=True)
class PublishedPrice:
    """A list price in minor units. It is valid until the next one of its series."""

    sku: str
    zone: str
    price: int
    effective_from: datetime
    published_at: datetime
    why: str = ""


def publish(ledger: Ledger, prices: Iterable[PublishedPrice]) -> int:
    """Append prices and return their number. Published prices are never changed."""
    rows = [PriceRow(**vars(price)) for price in prices]
    with ledger.begin() as session:
        session.add_all(rows)
    return len(rows)


def last_price(ledger: Ledger, sku: str, zone: str, *, at: datetime) -> PublishedPrice | None:
    """The price in force at an instant, or None if none was published by then."""
    query = (
        select(PriceRow)
        .where(PriceRow.sku == sku, PriceRow.zone == zone, PriceRow.effective_from <= at)
        .order_by(PriceRow.effective_from.desc(), PriceRow.id.desc())
        .limit(1)
    )
    with ledger() as session:
        row = session.scalars(query).first()
    if row is None:
        return None
    return PublishedPrice(
        row.sku, row.zone, row.price, row.effective_from, row.published_at, row.why
    )
