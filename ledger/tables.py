"""The ledger's tables, and how it is opened."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, date, datetime
from pathlib import Path
from sqlite3 import OperationalError
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    DateTime,
    Dialect,
    Engine,
    Index,
    TypeDecorator,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from pricebook.errors import LedgerError

Ledger = sessionmaker[Session]
SECONDS_TO_WAIT = 30


class Instant(TypeDecorator[datetime]):
    """A UTC instant. SQLite forgets the zone, so it is put back on the way out."""

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
        datetime: Instant,
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
    """What the gate said, whole."""

    __tablename__ = "verdicts"

    id: Mapped[str] = mapped_column(primary_key=True)
    as_of: Mapped[date]
    created_at: Mapped[datetime] = mapped_column(index=True)
    passed: Mapped[bool]
    body: Mapped[Mapping[str, Any]]


class PriceRow(Base):
    """A published list price, in minor units; valid until the next one."""

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
    """An API key, by the SHA-256 of its secret; kept when revoked, so that it stays known."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(primary_key=True)
    name: Mapped[str]
    scopes: Mapped[list[Any]]
    per_second: Mapped[float | None]
    digest: Mapped[str]
    made_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


def _make_tables(engine: Engine) -> None:
    """Make the tables that are not there.

    Another process may be making them: what it made between the look and the making is refused, and
    each look after that sees one more, so the last cannot be refused for that.
    """
    for _ in Base.metadata.tables:
        try:
            Base.metadata.create_all(engine)
        except DBAPIError as error:
            if "already exists" not in str(error):
                raise
        else:
            return
    Base.metadata.create_all(engine)


def open_ledger(url: str) -> Ledger:
    """Open the ledger at a SQLAlchemy URL, making its tables on first use.

    Raises:
        LedgerError: the URL is malformed, its driver is absent, or nothing answers there.
    """
    try:
        engine = _engine(url)
        _make_tables(engine)
    except (ImportError, OSError, SQLAlchemyError) as error:
        cause = str(error).splitlines()[0]
        raise LedgerError(f"The ledger cannot be opened: {cause}. Received: {_safe(url)}") from None
    return sessionmaker(engine, expire_on_commit=False)


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": SECONDS_TO_WAIT})
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """Readers never wait for a writer (WAL); writers wait for each other rather than fail."""
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={SECONDS_TO_WAIT * 1000}")
    with suppress(OperationalError):  # another process is at it, and it holds for the file
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _safe(url: str) -> str:
    """The URL without its password."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "an unreadable URL"
