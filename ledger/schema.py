"""The schema of the ledger and its upgrades, made by Alembic.

A ledger of version 0.1.0 has the tables of the first revision but no `alembic_version`. The first
revision creates only what is missing, so such a ledger is upgraded like any other.
"""

from __future__ import annotations

import threading
from pathlib import Path

from sqlalchemy import Connection, Engine, inspect, text

from pricebook.errors import LedgerError

HEAD = "0001"  # the newest revision in MIGRATIONS
MIGRATIONS = Path(__file__).with_name("migrations")
ADVISORY_LOCK = 7_425_511  # any number that no other program uses in the same PostgreSQL database
_alembic = threading.Lock()  # Alembic's context is one for all threads of a process


def bring_up_to_date(engine: Engine, migrations: Path = MIGRATIONS, head: str = HEAD) -> None:
    """Upgrade the schema to `head`. Costs one or two queries where there is nothing to do.

    Alembic is imported only for an upgrade: it takes time and memory that a price service which
    opens an up-to-date ledger should not spend.

    Raises:
        LedgerError: the schema is of a newer version of Pricebook.
    """
    with engine.connect() as connection:
        revision = _revision(connection)
    if revision != head:
        with engine.begin() as connection:
            _lock(connection)
            with _alembic:
                _upgrade(connection, migrations)


def _revision(connection: Connection) -> str | None:
    """The revision of a database; None for a new one and for one of version 0.1.0."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _lock(connection: Connection) -> None:
    """Let one process migrate at a time; the others wait, and then find nothing left to do.

    Both locks end with the transaction, also when the process is killed.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": ADVISORY_LOCK})
    elif connection.dialect.name == "sqlite":
        # Python's driver opens a transaction only before INSERT, UPDATE and DELETE, so CREATE and
        # ALTER TABLE would commit one by one. An explicit BEGIN makes the upgrade all or nothing.
        connection.exec_driver_sql("BEGIN IMMEDIATE")


def _upgrade(connection: Connection, migrations: Path) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.attributes["connection"] = connection  # read by migrations/env.py
    revision = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise LedgerError(
            "A newer version of Pricebook wrote this ledger. Upgrade Pricebook, or open another "
            f"ledger. Received: schema revision {revision}; this version knows {', '.join(known)}"
        )
    command.upgrade(config, "head")
