"""What became of each table, and what follows from it: alerts, and whether the run stops."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from logging import Logger
from pathlib import Path
from typing import Any

from ledger import Failure, Ledger, fingerprint, note_passed, raise_alert, silenced
from pricebook.config import Severity
from pricebook.errors import ContractBreach


@dataclass(frozen=True)
class Outcome:
    """A table after its checks. `reasons` counts rows per row check; a row may have several."""

    table: str
    validated: int
    quarantined: int
    reasons: Mapping[str, int]
    failures: tuple[Failure, ...]
    passed: tuple[str, ...]

    @property
    def rows(self) -> int:
        return self.validated + self.quarantined

    @property
    def report(self) -> dict[str, Any]:
        return {
            "rows": self.rows,
            "validated": self.validated,
            "quarantined": self.quarantined,
            "reasons": dict(self.reasons),
        }


def tell(outcome: Outcome, log: Logger) -> None:
    """Tell a table's story: where its rows went, and each check that failed."""
    why = "".join(f"; {check} {count:,}" for check, count in outcome.reasons.items())
    rows = (f"{n:,}" for n in (outcome.rows, outcome.validated, outcome.quarantined))
    log.info("%s: of %s rows %s validated, %s quarantined%s", outcome.table, *rows, why)
    for failure in outcome.failures:
        count = f"{failure.count:,}"
        log.warning("%s (%s): %s failing; %s", failure.check, failure.severity, count, failure.why)


@dataclass(frozen=True)
class Record:
    """Where the failures of a run are written, and under what name and time."""

    ledger: Ledger
    run: str
    at: datetime

    def alert(self, failures: Iterable[Failure]) -> None:
        for failure in failures:
            raise_alert(self.ledger, failure, run=self.run, seen_at=self.at)

    def keep(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self.alert(outcome.failures)
            passed = ((outcome.table, check) for check in outcome.passed)
            note_passed(self.ledger, passed, at=self.at)

    def stop_if_unreadable(self, failures: Sequence[Failure]) -> None:
        """Raise ContractBreach if a table lacks what it takes to be read; no waiver helps."""
        self.alert(failures)
        if failures:
            told = (f"{each.why}. Received: {each.sample[0]['received']}" for each in failures)
            raise ContractBreach("\n".join(told))

    def stop_if_breached(self, outcomes: Iterable[Outcome], raw: Path) -> None:
        """Raise ContractBreach if a critical check failed and its alert is not waived today."""
        waived = silenced(self.ledger, self.at.date())
        breaches = [
            _told(failure, raw / f"{failure.table}.parquet")
            for outcome in outcomes
            for failure in outcome.failures
            if failure.severity is Severity.CRITICAL
            and fingerprint(failure.table, failure.check) not in waived
        ]
        if breaches:
            raise ContractBreach("\n".join(breaches))


def _told(failure: Failure, path: Path) -> str:
    first = f", the first {dict(failure.sample[0])}" if failure.sample else ""
    return f"{failure.check} in {path}: {failure.why}. Received: {failure.count:,} failing{first}"
