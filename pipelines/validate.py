"""validate: raw tables → validated rows, quarantined rows with their reasons, and alerts.

DuckDB measures each check of the contract, Great Expectations judges the figures and shows them as
Data Docs (`.pricebook/gx`). What a failing check does depends on its severity:

- row: the rows go to quarantine, with the names of the checks they failed;
- warning: an alert, and nothing else;
- critical: an alert, and the run stops (unless the alert is waived) with nothing changed on disk.

Too large a share in quarantine is itself a critical check. A table that cannot be read, or lacks
a required column, stops the run even if the alert is waived.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb

from ledger import Failure, clock, open_ledger
from pipelines import lineage
from pipelines.checks import quarantine
from pipelines.checks.measures import Calendar, Figure, measure
from pipelines.checks.outcomes import Outcome, Record, log_outcome
from pipelines.checks.plan import CheckPlan, reject_unknown
from pipelines.checks.suites import Suites, loading
from pricebook.config import Params, Settings, Severity
from pricebook.contract import Check
from pricebook.files import atomic_dir, write_json

log = logging.getLogger("pricebook.validate")


def validate(
    as_of: date,
    params: Params,
    settings: Settings,
    *,
    run: str | None = None,
    at: datetime | None = None,
) -> dict[str, Any]:
    """Check every raw table, split its rows, and raise an alert for each check that fails.

    Args:
        run: the name of the run on its alerts; by default made from the time.
        at: the time on the alerts, now by default. The files do not depend on it.

    Returns:
        tables: for each table `rows`, `validated`, `quarantined` and `reasons`; alerts: the number
        of failing checks; data_docs: the path of the first page. The report file holds the same.

    Raises:
        ContractBreach: a critical check failed; data/validated and data/quarantine are unchanged.
        SourceError: a raw file is not Parquet.
        ConfigError: a severity in params names no check, or one that cannot have it.
    """
    reject_unknown(params.validate_.severities)
    at = at or clock.now()
    record = Record(open_ledger(settings.ledger), run or f"validate {at:%Y-%m-%d %H:%M:%S}", at)
    with closing(quarantine.connect(params.featurize, settings.state / "spill")) as con:
        tables = quarantine.open_tables(con, settings.raw)
        record.stop_if_unreadable(quarantine.unreadable(tables, settings.raw))
        plan = CheckPlan(tables, params.shop, params.validate_)
        checker = _Checker(con, plan, Calendar(as_of, params.shop), settings.raw)
        with atomic_dir(settings.validated) as good, atomic_dir(settings.quarantine) as bad:
            with loading():
                measured = [checker.measure(table, good, bad) for table in tables]
            suites = Suites(settings.state)
            shown = params.validate_.sample_rows
            outcomes = [_judge(table, suites, shown) for table in measured]
            docs = suites.publish()
            log.info("Data Docs: %s", docs)
            record.write(outcomes)
            record.stop_if_breached(outcomes, settings.raw)
    lineage.record(settings.validated, settings)
    report = _report(outcomes, docs)
    write_json(settings.report("validate"), report)
    return report


def _report(outcomes: Sequence[Outcome], docs: Path) -> dict[str, Any]:
    return {
        "tables": {outcome.table: outcome.report for outcome in outcomes},
        "alerts": sum(len(outcome.failures) for outcome in outcomes),
        "data_docs": str(docs),
    }


@dataclass(frozen=True)
class _Measured:
    """A table after splitting: its rows, and the figure of each check, before it is judged."""

    table: str
    validated: int
    quarantined: int
    reasons: Mapping[str, int]
    figures: Mapping[Check, Figure]


@dataclass(frozen=True)
class _Checker:
    """Measures the checks of raw tables and splits their rows."""

    con: duckdb.DuckDBPyConnection
    plan: CheckPlan
    calendar: Calendar
    raw: Path

    def measure(self, table: str, good: Path, bad: Path) -> _Measured:
        """Write the table's rows to the folders `good` and `bad`, and measure its checks."""
        row_checks = self.plan.row_checks(table)
        failing = quarantine.find_failing_rows(self.con, table, row_checks, self.calendar)
        refusing = [check.name for check in row_checks if check.severity is Severity.ROW]
        reasons = {name: failing[name] for name in refusing if name in failing}
        file = f"{table}.parquet"
        into = (good / file, bad / file)
        rows = quarantine.split(self.con, table, list(reasons), self.raw / file, into)
        figures = {
            **{check: self._row_figure(table, check, failing) for check in row_checks},
            **{
                check: measure(self.con, check, table, self.calendar)
                for check in self.plan.table_checks(table)
            },
            self.plan.share_check(table): _share(*rows, reasons),
        }
        return _Measured(table, *rows, reasons, figures)

    def _row_figure(self, table: str, check: Check, failing: Mapping[str, int]) -> Figure:
        count = failing.get(check.name, 0)
        shown = self.plan.limits.sample_rows
        evidence = quarantine.sample(self.con, table, check, shown) if count else ()
        return Figure(count, count, evidence)


def _share(validated: int, quarantined: int, reasons: Mapping[str, int]) -> Figure:
    """The share of a table's rows in quarantine; 0 for an empty table."""
    share = quarantined / max(validated + quarantined, 1)
    evidence = {"share": round(share, 4), "rows": quarantined, **reasons}
    return Figure(share, quarantined, (evidence,))


def _judge(measured: _Measured, suites: Suites, shown: int) -> Outcome:
    """Judge the figures; a failure shows the first rows or values of its evidence.

    A check with nothing to measure neither passes nor fails.
    """
    table = measured.table
    figures = {check: each for check, each in measured.figures.items() if each.value is not None}
    failing = suites.failing(table, figures)
    failures = tuple(
        Failure(table, check.name, check.severity, check.why, figure.count, figure.evidence[:shown])
        for check, figure in figures.items()
        if check.name in failing
    )
    passed = tuple(check.name for check in figures if check.name not in failing)
    outcome = Outcome(
        table, measured.validated, measured.quarantined, measured.reasons, failures, passed
    )
    log_outcome(outcome, log)
    return outcome
