"""Data-quality alerts: one alert per failing check.

    open ──acknowledge──▶ acknowledged ──resolve──▶ resolved
      └──────waive(until)──▶ waived          (any status may be waived or resolved)

A check that fails again updates its alert. A resolved alert then reopens. A waived alert stays
waived through its last day and reopens at the first failure after it. A check that passes records
the time and leaves the status alone: closing an alert is a person's decision.

A waived critical check does not stop a run. A waiver never changes what happens to rows: a row
that fails a waived row check is still quarantined.

Every change is a single UPDATE statement, so that two runs at the same time cannot overwrite each
other's changes.
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

from ledger.connection import Ledger
from ledger.tables import AlertRow
from pricebook.config import Severity
from pricebook.errors import LedgerError


class Status(StrEnum):
    """The status of an alert."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    WAIVED = "waived"
    RESOLVED = "resolved"


@dataclass(frozen=True)
class Failure:
    """A check that failed, the number of failing rows (or values, or periods) and a sample."""

    table: str
    check: str
    severity: Severity
    why: str
    count: int
    sample: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Alert:
    """An alert as stored in the ledger."""

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
        """Whether the alert is waived on a day. The last day of a waiver is included."""
        return (
            self.status is Status.WAIVED and self.waived_until is not None
        ) and on <= self.waived_until


def fingerprint(table: str, check: str) -> str:
    """A short hash that identifies a check of a table, in every run and on every machine.

    >>> fingerprint("orders", "orders.sku.known")
    '9a3e52a953fb'
    """
    return hashlib.sha256(f"{table}\n{check}".encode()).hexdigest()[:12]


def raise_alert(ledger: Ledger, failure: Failure, *, run: str, failed_at: datetime) -> Alert:
    """Create the alert of a failing check, or add an occurrence to the existing one."""
    mark = fingerprint(failure.table, failure.check)
    if not _count_again(ledger, mark, failure, run, failed_at):
        try:
            _insert(ledger, mark, failure, run, failed_at)
        except IntegrityError:  # another run has inserted it in the meantime
            _count_again(ledger, mark, failure, run, failed_at)
    return find_alert(ledger, mark)


def _facts(failure: Failure, run: str) -> dict[str, Any]:
    return {
        "severity": failure.severity.value,
        "why": failure.why,
        "count": failure.count,
        "sample": [dict(row) for row in failure.sample],
        "run": run,
    }


def _count_again(
    ledger: Ledger, mark: str, failure: Failure, run: str, failed_at: datetime
) -> bool:
    expired = and_(AlertRow.status == Status.WAIVED.value, AlertRow.waived_until < failed_at.date())
    reopens = or_(AlertRow.status == Status.RESOLVED.value, expired)
    return _change(
        ledger,
        AlertRow.fingerprint == mark,
        **_facts(failure, run),
        last_seen=failed_at,
        occurrences=AlertRow.occurrences + 1,
        status=case((reopens, Status.OPEN.value), else_=AlertRow.status),
        reason=case((reopens, null()), else_=AlertRow.reason),
        waived_until=case((reopens, null()), else_=AlertRow.waived_until),
    )


def _insert(ledger: Ledger, mark: str, failure: Failure, run: str, failed_at: datetime) -> None:
    row = AlertRow(
        fingerprint=mark,
        table=failure.table,
        check=failure.check,
        first_seen=failed_at,
        last_seen=failed_at,
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


def record_passes(ledger: Ledger, checks: Iterable[tuple[str, str]], *, at: datetime) -> None:
    """Store when these checks, as (table, check), last passed. The status does not change."""
    marks = [fingerprint(table, check) for table, check in checks]
    _change(ledger, AlertRow.fingerprint.in_(marks), last_passed=at)


def list_alerts(
    ledger: Ledger, *, status: Status | None = None, table: str | None = None
) -> tuple[Alert, ...]:
    """Alerts, ordered by severity and then by the number of failing rows."""
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
    """Find an alert by its id, its check's name, or the beginning of its fingerprint.

    Raises:
        LedgerError: no alert matches, or several do.
    """
    with ledger() as session:
        exact = select(AlertRow).where(or_(AlertRow.check == key, AlertRow.id == _id(key)))
        prefix = select(AlertRow).where(AlertRow.fingerprint.startswith(key, autoescape=True))
        matches = session.scalars(exact).all() or session.scalars(prefix).all()
        if len(matches) != 1 or not key:
            raise LedgerError(
                f"{len(matches)} alerts have this id, check or fingerprint; "
                f"`pricebook alerts list` shows all of them. Received: {key!r}"
            )
        return _alert(matches[0])


def _id(key: str) -> int:
    return int(key) if key.isascii() and key.isdigit() and len(key) < 10 else -1


def assign(ledger: Ledger, key: str, owner: str) -> Alert:
    """Set the owner of an alert."""
    return _set(ledger, key, owner=owner)


def acknowledge(ledger: Ledger, key: str, owner: str | None = None) -> Alert:
    """Mark an alert as being worked on, and optionally set its owner."""
    new_owner = {"owner": owner} if owner else {}
    return _set(ledger, key, status=Status.ACKNOWLEDGED.value, waived_until=None, **new_owner)


def waive(ledger: Ledger, key: str, *, until: date, reason: str, today: date) -> Alert:
    """Waive an alert through the day `until`.

    Raises:
        LedgerError: there is no such alert, the reason is empty, or `until` is in the past.
    """
    if until < today:
        raise LedgerError(f"A waiver ends today ({today}) or later. Received: {until}")
    if not reason.strip():
        raise LedgerError(f"A waiver needs a reason. Received: {reason!r}")
    return _set(ledger, key, status=Status.WAIVED.value, waived_until=until, reason=reason)


def resolve(ledger: Ledger, key: str, reason: str | None = None) -> Alert:
    """Close an alert whose cause is gone. It reopens when its check fails again."""
    return _set(ledger, key, status=Status.RESOLVED.value, waived_until=None, reason=reason)


def _set(ledger: Ledger, key: str, **values: Any) -> Alert:
    alert = find_alert(ledger, key)
    _change(ledger, AlertRow.id == alert.id, **values)
    return find_alert(ledger, alert.fingerprint)


def waived_fingerprints(ledger: Ledger, on: date) -> frozenset[str]:
    """Fingerprints of the alerts that are waived on a day."""
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
