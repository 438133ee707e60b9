"""Alerts: one per failing check, whatever becomes of it.

    open ──acknowledge──▶ acknowledged ──resolve──▶ resolved
      └──────waive(until)──▶ waived          (any status may be waived or resolved)

A check that fails again updates its alert. A resolved one reopens; a waived one stays silent
through its last day, and reopens when it fails after that. A check that passes keeps the status
and notes when: closing an alert is a person's decision.

Waiving silences an alert, and a waived critical check no longer stops a run. It never changes
what happens to rows: a row that fails a waived row check is still quarantined.

Every change is one UPDATE, so two runs at once cannot lose each other's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import and_, case, null, or_, select, update
from sqlalchemy.exc import IntegrityError

from ledger.tables import AlertRow, Ledger
from pricebook.config import Severity
from pricebook.errors import LedgerError


class Status(StrEnum):
    """Where an alert is in its life."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    WAIVED = "waived"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Failure:
    """A check that failed: how many rows (or values, or periods), and a few of them."""

    table: str
    check: str
    severity: Severity
    why: str
    count: int
    sample: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Alert:
    """A failing check as the ledger knows it."""

    id: int
    fingerprint: str
    table: str
    check: str
    severity: Severity
    why: str
    count: int
    sample: tuple[Mapping[str, Any], ...]
    first_seen: datetime
    last_seen: datetime
    last_passed: datetime | None
    run: str
    occurrences: int
    owner: str | None
    status: Status
    waived_until: date | None
    reason: str | None

    def is_waived(self, on: date) -> bool:
        """Whether it is silent on that day; the last day of a waiver counts."""
        return (
            self.status is Status.WAIVED and self.waived_until is not None
        ) and on <= self.waived_until


def fingerprint(table: str, check: str) -> str:
    """The same for the same check of the same table, in every run and on every machine.

    >>> fingerprint("orders", "orders.sku.known")
    '9a3e52a953fb'
    """
    return hashlib.sha256(f"{table}\n{check}".encode()).hexdigest()[:12]


def raise_alert(ledger: Ledger, failure: Failure, *, run: str, seen_at: datetime) -> Alert:
    """Record a failing check: a new alert, or another occurrence of the one it has."""
    mark = fingerprint(failure.table, failure.check)
    if not _seen_again(ledger, mark, failure, run, seen_at):
        try:
            _insert(ledger, mark, failure, run, seen_at)
        except IntegrityError:  # another run was first
            _seen_again(ledger, mark, failure, run, seen_at)
    return find_alert(ledger, mark)


def _facts(failure: Failure, run: str) -> dict[str, Any]:
    return {
        "severity": failure.severity.value,
        "why": failure.why,
        "count": failure.count,
        "sample": [dict(row) for row in failure.sample],
        "run": run,
    }


def _seen_again(ledger: Ledger, mark: str, failure: Failure, run: str, seen_at: datetime) -> bool:
    lapsed = and_(AlertRow.status == Status.WAIVED.value, AlertRow.waived_until < seen_at.date())
    reopens = or_(AlertRow.status == Status.RESOLVED.value, lapsed)
    return _change(
        ledger,
        AlertRow.fingerprint == mark,
        **_facts(failure, run),
        last_seen=seen_at,
        occurrences=AlertRow.occurrences + 1,
        status=case((reopens, Status.OPEN.value), else_=AlertRow.status),
        reason=case((reopens, null()), else_=AlertRow.reason),
        waived_until=case((reopens, null()), else_=AlertRow.waived_until),
    )


def _insert(ledger: Ledger, mark: str, failure: Failure, run: str, seen_at: datetime) -> None:
    row = AlertRow(
        fingerprint=mark,
        table=failure.table,
        check=failure.check,
        first_seen=seen_at,
        last_seen=seen_at,
        occurrences=1,
        status=Status.OPEN.value,
        **_facts(failure, run),
    )
    with ledger.begin() as session:
        session.add(row)


def _change(ledger: Ledger, where: Any, **values: Any) -> bool:
    columns = {getattr(AlertRow, name): value for name, value in values.items()}
    with ledger.begin() as session:
        changed = session.execute(
            update(AlertRow)
            .where(where)
            .values(columns)
            .returning(AlertRow.id)
            .execution_options(synchronize_session=False)
        )
        return changed.first() is not None


def note_passed(ledger: Ledger, checks: Iterable[tuple[str, str]], *, at: datetime) -> None:
    """Note that these (table, check) passed, on the alerts they have; the status is kept."""
    marks = [fingerprint(table, check) for table, check in checks]
    _change(ledger, AlertRow.fingerprint.in_(marks), last_passed=at)


def list_alerts(
    ledger: Ledger, *, status: Status | None = None, table: str | None = None
) -> tuple[Alert, ...]:
    """Alerts, the gravest and then the most frequent first."""
    query = select(AlertRow)
    if status is not None:
        query = query.where(AlertRow.status == status.value)
    if table is not None:
        query = query.where(AlertRow.table == table)
    with ledger() as session:
        alerts = [_alert(row) for row in session.scalars(query)]
    gravity = list(Severity)
    alerts.sort(key=lambda alert: (gravity.index(alert.severity), -alert.count, alert.check))
    return tuple(alerts)


def find_alert(ledger: Ledger, key: str) -> Alert:
    """The alert with this id, check name, or beginning of a fingerprint.

    Raises:
        LedgerError: none has it, or several fingerprints begin so.
    """
    with ledger() as session:
        exact = select(AlertRow).where(or_(AlertRow.check == key, AlertRow.id == _id(key)))
        begins = select(AlertRow).where(AlertRow.fingerprint.startswith(key, autoescape=True))
        found = session.scalars(exact).all() or session.scalars(begins).all()
        if len(found) != 1 or not key:
            raise LedgerError(
                f"{len(found)} alerts have this id, check or fingerprint; "
                f"`pricebook alerts list` shows them all. Received: {key!r}"
            )
        return _alert(found[0])


def _id(key: str) -> int:
    return int(key) if key.isascii() and key.isdigit() and len(key) < 10 else -1


def assign(ledger: Ledger, key: str, owner: str) -> Alert:
    """Give an alert an owner."""
    return _changed(ledger, key, owner=owner)


def acknowledge(ledger: Ledger, key: str, owner: str | None = None) -> Alert:
    """Somebody has seen it and is on it."""
    owned = {"owner": owner} if owner else {}
    return _changed(ledger, key, status=Status.ACKNOWLEDGED.value, waived_until=None, **owned)


def waive(ledger: Ledger, key: str, *, until: date, reason: str, today: date) -> Alert:
    """Silence an alert through a day, for a reason.

    Raises:
        LedgerError: there is no such alert, no reason, or the day has passed.
    """
    if until < today:
        raise LedgerError(f"A waiver ends today ({today}) or later. Received: {until}")
    if not reason.strip():
        raise LedgerError(f"A waiver needs a reason. Received: {reason!r}")
    return _changed(ledger, key, status=Status.WAIVED.value, waived_until=until, reason=reason)


def resolve(ledger: Ledger, key: str, reason: str | None = None) -> Alert:
    """The cause is gone; if the check fails again, the alert reopens."""
    return _changed(ledger, key, status=Status.RESOLVED.value, waived_until=None, reason=reason)


def _changed(ledger: Ledger, key: str, **values: Any) -> Alert:
    alert = find_alert(ledger, key)
    _change(ledger, AlertRow.id == alert.id, **values)
    return find_alert(ledger, alert.fingerprint)


def silenced(ledger: Ledger, on: date) -> frozenset[str]:
    """The fingerprints of the alerts that are waived on a day."""
    waived = list_alerts(ledger, status=Status.WAIVED)
    return frozenset(alert.fingerprint for alert in waived if alert.is_waived(on))


def _alert(row: AlertRow) -> Alert:
    return Alert(
        id=row.id,
        fingerprint=row.fingerprint,
        table=row.table,
        check=row.check,
        severity=Severity(row.severity),
        why=row.why,
        count=row.count,
        sample=tuple(row.sample),
        first_seen=row.first_seen,
        last_seen=row.last_seen,
        last_passed=row.last_passed,
        run=row.run,
        occurrences=row.occurrences,
        owner=row.owner,
        status=Status(row.status),
        waived_until=row.waived_until,
        reason=row.reason,
    )
