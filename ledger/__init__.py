"""The durable record: alerts, verdicts, published prices, API keys and signing keys.

    ledger = open_ledger("sqlite:///ledger.db")
    raise_alert(ledger, failure, run="nightly", failed_at=clock.now())
    list_alerts(ledger)

SQLite by default, PostgreSQL by URL (with a driver such as psycopg installed). Functions return
frozen dataclasses, never SQLAlchemy objects. They take times as arguments; only `ledger.clock`
reads the system clock. API keys are in `ledger.keys`, the keys that sign quotes in
`ledger.signing_keys`.
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
    raise_alert,
    record_passes,
    resolve,
    waive,
    waived_fingerprints,
)
from ledger.connection import Ledger, open_ledger
from ledger.prices import PublishedPrice, last_price, publish
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
    "open_ledger",
    "publish",
    "raise_alert",
    "record_passes",
    "record_verdict",
    "resolve",
    "waive",
    "waived_fingerprints",
]
