"""Verdicts of the gate, stored whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from sqlalchemy import select

from ledger.connection import Ledger
from ledger.tables import VerdictRow
from pricebook.errors import LedgerError


@dataclass(frozen=True)
class RecordedVerdict:
    """A verdict as stored in the ledger; `body` is the complete verdict as JSON."""

    id: str
    as_of: date
    created_at: datetime
    passed: bool
    body: Mapping[str, Any]


def record_verdict(ledger: Ledger, verdict: Mapping[str, Any], *, created_at: datetime) -> None:
    """Store a verdict, or replace the one with the same id.

    Raises:
        LedgerError: the verdict has no id, as_of or passed.
    """
    try:
        row = VerdictRow(
            id=str(verdict["id"]),
            as_of=date.fromisoformat(str(verdict["as_of"])),
            created_at=created_at,
            passed=bool(verdict["passed"]),
            body=dict(verdict),
        )
    except KeyError as missing:
        raise LedgerError(f"A verdict needs {missing}. Received: {sorted(verdict)}") from None
    with ledger.begin() as session:
        session.merge(row)


def last_verdicts(ledger: Ledger, n: int = 10) -> tuple[RecordedVerdict, ...]:
    """The last `n` verdicts, the newest first."""
    query = select(VerdictRow).order_by(VerdictRow.created_at.desc(), VerdictRow.id).limit(n)
    with ledger() as session:
        return tuple(
            RecordedVerdict(row.id, row.as_of, row.created_at, row.passed, row.body)
            for row in session.scalars(query)
        )
