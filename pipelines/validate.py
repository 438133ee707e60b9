"""validate: raw tables → validated rows, quarantined rows with their reasons, and alerts.

The only door to Great Expectations. A suite per table is written from the contract, a checkpoint
judges it, and Data Docs show the last run (`.pricebook/gx`, made anew each time; the history of a
check is its alert in the ledger).

What a failing check does is its severity:

- row: the rows go to quarantine, with the names of the checks they failed;
- warning: an alert, and nothing else;
- critical: an alert, and the run stops (unless the alert is waived) with nothing changed on disk.

Too large a share in quarantine is itself a critical check. A table that cannot be read, or lacks
a required column, stops the run whatever is waived.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date, datetime
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger import Failure, clock, open_ledger
from pipelines import lineage
from pipelines.checks import quarantine
from pipelines.checks.measures import Calendar, Figure, figure
from pipelines.checks.outcomes import Outcome, Record, tell
from pipelines.checks.plan import Asked, reject_unknown
from pricebook.config import Params, Settings, Severity
from pricebook.contract import Check, Rule
from pricebook.files import atomic_dir, write_json

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

log = logging.getLogger("pricebook.validate")

_GX_SEVERITY = {"critical": "critical", "row": "warning", "warning": "info"}


def validate(
    as_of: date,
    params: Params,
    settings: Settings,
    *,
    run: str | None = None,
    at: datetime | None = None,
) -> dict[str, Any]:
    """Judge every raw table; write the sound rows and the refused ones; raise an alert per failure.

    `run` and `at` only label the alerts (the clock by default): the files do not depend on them.

    Returns `{"tables": {name: {"rows", "validated", "quarantined", "reasons"}}, "alerts": failing
    checks, "data_docs": path}`, and writes it to `.pricebook/reports/validate.json`.

    Raises:
        ContractBreach: a critical check failed; data/validated and data/quarantine are as before.
        SourceError: a raw file is not Parquet.
        ConfigError: a severity in params names no check, or one that cannot have it.
    """
    reject_unknown(params.validate_.severities)
    at = at or clock.now()
    record = Record(open_ledger(settings.ledger), run or f"validate {at:%Y-%m-%d %H:%M:%S}", at)
    with closing(quarantine.connect(params.featurize, settings.state / "spill")) as con:
        found = quarantine.open_tables(con, settings.raw)
        record.stop_if_unreadable(quarantine.misshapen(found, settings.raw))
        suites = Suites(settings.state)
        asked = Asked(found, params.shop, params.validate_)
        bench = _Bench(con, suites, Calendar(as_of, params.shop), asked)
        with atomic_dir(settings.validated) as good, atomic_dir(settings.quarantine) as bad:
            outcomes = _examine_all(bench, settings.raw, (good, bad))
            docs = suites.publish()
            log.info("Data Docs: %s", docs)
            record.keep(outcomes)
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
class _Bench:
    """What a table is examined with."""

    con: duckdb.DuckDBPyConnection
    suites: Suites
    calendar: Calendar
    asked: Asked


def _examine_all(bench: _Bench, raw: Path, folders: tuple[Path, Path]) -> list[Outcome]:
    outcomes = []
    for table in bench.asked.found:
        outcomes.append(_examine(bench, table, raw, folders))
        tell(outcomes[-1], log)
    return outcomes


def _examine(bench: _Bench, table: str, raw: Path, folders: tuple[Path, Path]) -> Outcome:
    of_rows = bench.asked.of_rows(table)
    failing = _judge_rows(bench, table, of_rows)
    refusing = (check.name for check in of_rows if check.severity is Severity.ROW)
    reasons = {name: failing[name] for name in refusing if name in failing}
    good, bad = (folder / f"{table}.parquet" for folder in folders)
    kept, sent = quarantine.split(bench.con, table, list(reasons), raw / good.name, (good, bad))
    figures = _figures(bench, table, _share(kept, sent, reasons))
    failures = (
        *_row_failures(bench, table, of_rows, failing),
        *_judge_table(bench, table, figures),
    )
    failed = {failure.check for failure in failures}
    passed = tuple(c.name for c in (*of_rows, *figures) if c.name not in failed)
    return Outcome(table, kept, sent, reasons, failures, passed)


def _judge_rows(bench: _Bench, table: str, of_rows: Sequence[Check]) -> dict[str, int]:
    """How many rows fail each check of rows; the rows themselves are noted in DuckDB."""
    named = {check.name: (rank, check) for rank, check in enumerate(of_rows)}
    limit = bench.asked.limits.rows_per_batch
    expectations = [_of_rows(check) for check in of_rows]
    for frame in quarantine.frames(bench.con, table, of_rows, bench.calendar, limit):
        for name, rows in bench.suites.failing(f"{table}-rows", frame, expectations):
            quarantine.note(bench.con, table, *named[name], rows)
    return quarantine.counts(bench.con, table)


def _row_failures(
    bench: _Bench, table: str, of_rows: Sequence[Check], failing: Mapping[str, int]
) -> Iterator[Failure]:
    for check in of_rows:
        if check.name in failing:
            rows = quarantine.sample(bench.con, table, check, bench.asked.limits.sample_rows)
            yield Failure(table, check.name, check.severity, check.why, failing[check.name], rows)


def _figures(bench: _Bench, table: str, share: Figure) -> dict[Check, Figure]:
    measured = {
        check: figure(bench.con, check, table, bench.calendar)
        for check in bench.asked.of_the_table(table)
    }
    return {**measured, bench.asked.of_the_share(table): share}


def _share(kept: int, sent: int, reasons: Mapping[str, int]) -> Figure:
    share = sent / (kept + sent) if sent else 0.0
    return Figure(share, sent, ({"share": round(share, 4), "rows": sent, **reasons},))


def _judge_table(bench: _Bench, table: str, figures: Mapping[Check, Figure]) -> Iterator[Failure]:
    import pandas as pd

    values = {check.name: [found.value] for check, found in figures.items()}
    frame = pd.DataFrame(values, dtype=float)
    expectations = [_of_the_table(check) for check in figures]
    failing = dict(bench.suites.failing(f"{table}-table", frame, expectations))
    for check, found in figures.items():
        if check.name in failing:
            shown = found.evidence[: bench.asked.limits.sample_rows]
            yield Failure(table, check.name, check.severity, check.why, found.count, shown)


def _about(check: Check) -> dict[str, Any]:
    severity = _GX_SEVERITY[check.severity]
    return {
        "meta": {"check": check.name},
        "description": f"{check.name}: {check.why}",
        "severity": severity,
    }


def _of_rows(check: Check) -> Any:
    """The expectation of a check of rows; a column made for it is expected to be true."""
    gxe: Any = import_module("great_expectations.expectations")
    about, column = _about(check), check.columns[0]
    asked: dict[str, Any] = {}
    match check.rule:
        case Rule.NOT_NULL:
            expectation = gxe.ExpectColumnValuesToNotBeNull
        case Rule.AT_LEAST:
            expectation, asked = gxe.ExpectColumnValuesToBeBetween, {"min_value": check.limit}
        case Rule.AT_MOST:
            expectation, asked = gxe.ExpectColumnValuesToBeBetween, {"max_value": check.limit}
        case Rule.NOT_EQUAL:
            expectation, asked = gxe.ExpectColumnValuesToNotBeInSet, {"value_set": [check.limit]}
        case Rule.ONE_OF:
            expectation, asked = gxe.ExpectColumnValuesToBeInSet, {"value_set": [*check.values]}
        case Rule.NOT_ABOVE:
            return _in_order(gxe, check.columns, about)
        case _:
            column = check.name
            expectation, asked = gxe.ExpectColumnValuesToBeInSet, {"value_set": [True]}
    return expectation(column=column, **asked, **about)


def _in_order(gxe: Any, columns: tuple[str, ...], about: Mapping[str, Any]) -> Any:
    lower, higher = columns
    return gxe.ExpectColumnPairValuesAToBeGreaterThanB(
        column_A=higher,
        column_B=lower,
        or_equal=True,
        ignore_row_if="either_value_is_missing",
        **about,
    )


def _of_the_table(check: Check) -> Any:
    """The expectation of a figure: at least its limit, at most its limit, or none to blame."""
    gxe: Any = import_module("great_expectations.expectations")
    at_least = check.rule in (Rule.ROWS, Rule.VOLUME)
    bound = {"min_value": check.limit} if at_least else {"max_value": check.limit or 0}
    return gxe.ExpectColumnValuesToBeBetween(column=check.name, **bound, **_about(check))


class Suites:
    """A Great Expectations project in `<folder>/gx`, made anew; it asks no network."""

    def __init__(self, folder: Path) -> None:
        os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read when the package is first imported
        logging.getLogger("great_expectations").setLevel(logging.WARNING)
        import great_expectations as gx
        from great_expectations.data_context.types.base import ProgressBarsConfig

        shutil.rmtree(folder / "gx", ignore_errors=True)
        self._context: Any = gx.get_context(mode="file", project_root_dir=folder)
        self._context.variables.progress_bars = ProgressBarsConfig(globally=False)
        self._source = self._context.data_sources.add_pandas("raw")

    def failing(
        self, name: str, frame: pd.DataFrame, expectations: Sequence[Any]
    ) -> Iterator[tuple[str, list[int]]]:
        """Run a suite on a frame: the checks that fail, each with the index of its failing rows."""
        from great_expectations.core.run_identifier import RunIdentifier

        if not expectations:
            return
        checkpoint = self._checkpoint(name, expectations)
        answer = checkpoint.run({"dataframe": frame}, run_id=RunIdentifier(run_name=name))
        for run in answer.run_results.values():
            for result in run.results:
                check = result.expectation_config.meta["check"]
                _reject_unanswered(check, result)
                if not result.success:
                    yield check, result.result["unexpected_index_list"]

    def _checkpoint(self, name: str, expectations: Sequence[Any]) -> Any:
        import great_expectations as gx

        if name in {checkpoint.name for checkpoint in self._context.checkpoints.all()}:
            return self._context.checkpoints.get(name)
        asset = self._source.add_dataframe_asset(name)
        definition = self._context.validation_definitions.add(
            gx.ValidationDefinition(
                name=name,
                data=asset.add_batch_definition_whole_dataframe("rows"),
                suite=self._context.suites.add(
                    gx.ExpectationSuite(name, expectations=expectations)
                ),
            )
        )
        return self._context.checkpoints.add(
            gx.Checkpoint(name=name, validation_definitions=[definition], result_format=_ROWS)
        )

    def publish(self) -> Path:
        """Build Data Docs; the path of their first page."""
        (page,) = self._context.build_data_docs().values()
        return Path(page.removeprefix("file://"))


_ROWS = {
    "result_format": "COMPLETE",
    "partial_unexpected_count": 5,
    "exclude_unexpected_values": True,
    "return_unexpected_index_query": False,
}


def _reject_unanswered(check: str, result: Any) -> None:
    """A check that could not be asked is a fault of ours, never a pass or a failure of the data."""
    if "unexpected_count" not in result.result:
        raise RuntimeError(f"{check} could not be evaluated. Received: {result.exception_info}")
