"""The result of the checks of each table, and its consequences: alerts, and a stopped run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from logging import Logger
from pathlib import Path
from typing import Any

from ledger import Failure, Ledger, fingerprint, raise_alert, record_passes, waived_fingerprints
from pricebook.config import Severity
from pricebook.errors import ContractBreach


@dataclass(frozen=True)
class Outcome:
    """A table after its checks.

    Attributes:
        table: its name.
        validated: rows that go on.
        quarantined: rows in quarantine.
        reasons: rows that fail each row check; a row may fail several.
        failures: the checks that failed.
        passed: names of the checks that passed.
    """

    table: str
    validated: int
    quarantined: int
    reasons: Mapping[str, int]
    failures: tuple[Failure, ...]
    passed: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows of the raw table."""
        return self.validated + self.quarantined

    @property
    def report(self) -> dict[str, Any]:
        """What the stage reports of the table."""
        return {
            "rows": self.rows,
            "validated": self.validated,
            "quarantined": self.quarantined,
            "reasons": dict(self.reasons),
        }


def log_outcome(outcome: Outcome, log: Logger) -> None:
    """Log where the rows of a table went, and each check that failed."""
    reasons = "".join(f"; {check} {count:,}" for check, count in outcome.reasons.items())
    rows = (f"{n:,}" for n in (outcome.rows, outcome.validated, outcome.quarantined))
    log.info("%s: of %s rows %s validated, %s quarantined%s", outcome.table, *rows, reasons)
    for failure in outcome.failures:
        count = f"{failure.count:,}"
        log.warning("%s (%s): %s failing; %s", failure.check, failure.severity, count, failure.why)


@dataclass(frozen=True)
class Record:
    """Writes the results of one run to the ledger.

    Attributes:
        ledger: where alerts are.
        run: the name of the run, shown on its alerts.
        at: the time of the run, shown on its alerts; a waiver holds until a day.
    """

    ledger: Ledger
    run: str
    at: datetime

    def alert(self, failures: Iterable[Failure]) -> None:
        """Raise an alert for each failure."""
        for failure in failures:
            raise_alert(self.ledger, failure, run=self.run, failed_at=self.at)

    def write(self, outcomes: Iterable[Outcome]) -> None:
        """Raise alerts, and note on older alerts that their check has passed."""
        for outcome in outcomes:
            self.alert(outcome.failures)
            passed = ((outcome.table, check) for check in outcome.passed)
            record_passes(self.ledger, passed, at=self.at)

    def stop_if_unreadable(self, failures: Sequence[Failure]) -> None:
        """Raise ContractBreach if a table cannot be read. A waiver does not change that."""
        self.alert(failures)
        if failures:
            lines = (f"{each.why}. Received: {each.sample[0]['received']}" for each in failures)
            raise ContractBreach("\n".join(lines))

    def stop_if_breached(self, outcomes: Iterable[Outcome], raw: Path) -> None:
        """Raise ContractBreach if a critical check failed and its alert is not waived today."""
        waived = waived_fingerprints(self.ledger, self.at.date())
        breaches = [
            _describe(failure, raw / f"{failure.table}.parquet")
            for outcome in outcomes
            for failure in outcome.failures
            if failure.severity is Severity.CRITICAL
            and fingerprint(failure.table, failure.check) not in waived
        ]
        if breaches:
            raise ContractBreach("\n".join(breaches))


def _describe(failure: Failure, path: Path) -> str:
    first = f", the first {dict(failure.sample[0])}" if failure.sample else ""
    return f"{failure.check} in {path}: {failure.why}. Received: {failure.count:,} failing{first}"
