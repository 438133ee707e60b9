"""Published list prices: what the shop decided to charge, and from when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from ledger.tables import Ledger, PriceRow


@dataclass(frozen=True)
class PublishedPrice:
    """A list price in minor units, valid from an instant until the next one of its series."""

    sku: str
    zone: str
    price: int
    effective_from: datetime
    published_at: datetime
    why: str = ""


def publish(ledger: Ledger, prices: Iterable[PublishedPrice]) -> int:
    """Append prices; nothing published is ever changed. Returns how many were added."""
    rows = [PriceRow(**vars(price)) for price in prices]
    with ledger.begin() as session:
        session.add_all(rows)
    return len(rows)


def last_price(ledger: Ledger, sku: str, zone: str, *, at: datetime) -> PublishedPrice | None:
    """The price in force at an instant, or None where none was ever published."""
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
