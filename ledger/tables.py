"""The ledger's tables as SQLAlchemy models.

After a change here, add a revision to `ledger/migrations/versions` and update `ledger.schema.HEAD`.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Double, Index, TypeDecorator
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pricebook.errors import LedgerError


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime. SQLite does not store the zone, so it is added again on reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is not None and value.tzinfo is None:
            raise LedgerError(f"A time in the ledger needs a zone. Received: {value!r}")
        return value and value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None or value.tzinfo is not None:
            return value and value.astimezone(UTC)
        return value.replace(tzinfo=UTC)


class Base(DeclarativeBase):
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        datetime: UtcDateTime,
        Mapping[str, Any]: JSON,
        list[Any]: JSON,
    }


class AlertRow(Base):
    """A failing check: one row per check, however often it fails."""

    __tablename__ = "alerts"

    id: Mapped[int] = mapped_column(primary_key=True)
    fingerprint: Mapped[str] = mapped_column(unique=True)
    table: Mapped[str] = mapped_column("table_name")
    check: Mapped[str] = mapped_column("check_name")
    severity: Mapped[str]
    why: Mapped[str]
    count: Mapped[int] = mapped_column("failing", BigInteger)
    sample: Mapped[list[Any]]
    first_seen: Mapped[datetime]
    last_seen: Mapped[datetime]
    last_passed: Mapped[datetime | None]
    run: Mapped[str]
    occurrences: Mapped[int]
    owner: Mapped[str | None]
    status: Mapped[str]
    waived_until: Mapped[date | None]
    reason: Mapped[str | None]


class VerdictRow(Base):
    """A verdict of the gate, stored whole as JSON."""

    __tablename__ = "verdicts"

    id: Mapped[str] = mapped_column(primary_key=True)
    as_of: Mapped[date]
    created_at: Mapped[datetime] = mapped_column(index=True)
    passed: Mapped[bool]
    body: Mapped[Mapping[str, Any]]


class PriceRow(Base):
    """A published list price in minor units, valid until the next one of its series."""

    __tablename__ = "prices"
    __table_args__ = (Index("prices_by_series", "sku", "zone", "effective_from"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    sku: Mapped[str]
    zone: Mapped[str]
    price: Mapped[int] = mapped_column(BigInteger)
    effective_from: Mapped[datetime]
    published_at: Mapped[datetime]
    why: Mapped[str]


class KeyRow(Base):
    """An API key with the SHA-256 of its secret. A revoked key stays, so that it is recognised."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    scopes: Mapped[list[Any]]
    per_second: Mapped[float | None] = mapped_column(Double)
    digest: Mapped[str]
    made_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
