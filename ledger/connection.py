"""Open the ledger: connect to its database and bring its schema up to date."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from sqlite3 import OperationalError
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from ledger.schema import bring_up_to_date
from pricebook.errors import LedgerError

Ledger = sessionmaker[Session]
BUSY_SECONDS = 30  # how long a SQLite writer waits for another one


def open_ledger(url: str) -> Ledger:
    """Open the ledger at a SQLAlchemy URL. Creates its tables, or upgrades those of an old version.

    Raises:
        LedgerError: the URL is malformed, its driver is not installed, the database does not
            answer, or a newer version of Pricebook wrote the ledger.
    """
    try:
        engine = _engine(url)
        bring_up_to_date(engine)
    except (ImportError, OSError, SQLAlchemyError) as error:
        cause = str(error).splitlines()[0]
        raise LedgerError(
            f"The ledger cannot be opened: {cause}. Received: {_without_password(url)}"
        ) from None
    return sessionmaker(engine, expire_on_commit=False)


def _engine(url: str) -> Engine:
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite":
        return create_engine(parsed, pool_pre_ping=True)
    if parsed.database and parsed.database != ":memory:":
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _: Any) -> None:
    """Use a write-ahead log: readers never wait for a writer, and writers wait for each other."""
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={BUSY_SECONDS * 1000}")
    # SQLite does not wait for the lock this needs. The mode is a property of the file, so the
    # process that holds the lock sets it for all.
    with suppress(OperationalError):
        cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _without_password(url: str) -> str:
    try:
        return make_url(url).render_as_string(hide_password=True)
    except ArgumentError:
        return "an unreadable URL"
