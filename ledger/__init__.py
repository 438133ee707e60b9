"""The durable record: alerts, verdicts, published prices, and keys (`keys`, `signing_keys`).

    ledger = open_ledger("sqlite:///ledger.db")
    raise_alert(ledger, failure, run="nightly", seen_at=clock.now())
    list_alerts(ledger)

SQLite by default, PostgreSQL by URL (with a driver such as psycopg installed). What comes out are
frozen dataclasses; a session never leaves this package. Times are arguments: only `ledger.clock`
reads the clock.
"""

from ledger.alerts import (
    Alert,
    Failure,
    Status,
    acknowledge,
    assign,
    find_alert,
    fingerprint,
    list_alerts,
    note_passed,
    raise_alert,
    resolve,
    silenced,
    waive,
)
from ledger.prices import PublishedPrice, last_price, publish
from ledger.tables import Ledger, open_ledger
from ledger.verdicts import RecordedVerdict, last_verdicts, record_verdict

__all__ = [
    "Alert",
    "Failure",
    "Ledger",
    "PublishedPrice",
    "RecordedVerdict",
    "Status",
    "acknowledge",
    "assign",
    "find_alert",
    "fingerprint",
    "last_price",
    "last_verdicts",
    "list_alerts",
    "note_passed",
    "open_ledger",
    "publish",
    "raise_alert",
    "record_verdict",
    "resolve",
    "silenced",
    "waive",
]
