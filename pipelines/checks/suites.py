"""Great Expectations: judges the figures of each table, and shows them as Data Docs.

DuckDB measures (`pipelines.checks.measures`), Great Expectations judges. It gets one row of figures
for each table instead of the table: for a row check the number of failing rows, for a table check
its figure. So judging takes the same short time for a thousand rows and for a billion.
"""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

from pipelines.checks.measures import TABLE_RULES, Figure
from pricebook.contract import Check, Rule

# How Great Expectations names severities.
_SEVERITY = {"critical": "critical", "row": "warning", "warning": "info"}


@contextmanager
def loading() -> Iterator[None]:
    """Import Great Expectations in another thread while the caller's block runs.

    The import takes about five seconds of one core. DuckDB releases the interpreter lock while it
    computes, so both run side by side. Importing a module that is loaded already costs nothing.
    """
    thread = Thread(target=_import, name="import great_expectations", daemon=True)
    thread.start()
    yield
    thread.join()


def _import() -> tuple[Any, Any]:
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # it is read when the package is first imported
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    import great_expectations
    from great_expectations import expectations

    return great_expectations, expectations


class Suites:
    """A Great Expectations project in `<folder>/gx`. Each run replaces it. It uses no network.

    The history of a check is in its alert in the ledger, so only the last run is kept here.
    """

    def __init__(self, folder: Path) -> None:
        self._gx, self._expectations = _import()
        shutil.rmtree(folder / "gx", ignore_errors=True)
        self._context: Any = self._gx.get_context(mode="file", project_root_dir=folder)
        self._context.variables.progress_bars = _no_progress_bars()
        self._source = self._context.data_sources.add_pandas("raw")

    def failing(self, table: str, figures: Mapping[Check, Figure]) -> set[str]:
        """Judge the figures of a table; the names of the checks that fail.

        Raises:
            RuntimeError: a check cannot be evaluated, which is a bug and says nothing of the data.
        """
        import pandas as pd
        from great_expectations.core.run_identifier import RunIdentifier

        values = {check.name: [figure.value] for check, figure in figures.items()}
        result = self._validation(table, list(figures)).run(
            batch_parameters={"dataframe": pd.DataFrame(values, dtype=float)},
            run_id=RunIdentifier(run_name="validate"),
        )
        for each in result.results:
            if "observed_value" not in each.result:
                raise RuntimeError(f"A check failed to run. Received: {each.exception_info}")
        failures = (each for each in result.results if not each.success)
        return {each.expectation_config.meta["check"] for each in failures}

    def _validation(self, table: str, checks: list[Check]) -> Any:
        gx = self._gx
        expectations = [self._expectation(check) for check in checks]
        suite = self._context.suites.add(gx.ExpectationSuite(table, expectations=expectations))
        batch = self._source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("run")
        return self._context.validation_definitions.add(
            gx.ValidationDefinition(name=table, data=batch, suite=suite)
        )

    def _expectation(self, check: Check) -> Any:
        return self._expectations.ExpectColumnMaxToBeBetween(  # of one row: the figure itself
            column=check.name,
            **_bound(check),
            meta={"check": check.name},
            description=f"{check.name}: {check.why}",
            severity=_SEVERITY[check.severity],
        )

    def publish(self) -> Path:
        """Build Data Docs and return the path of their first page."""
        (page,) = self._context.build_data_docs().values()
        return Path(page.removeprefix("file://"))


def _no_progress_bars() -> Any:
    from great_expectations.data_context.types.base import ProgressBarsConfig

    return ProgressBarsConfig(globally=False)


def _bound(check: Check) -> dict[str, float]:
    """The bound of a check's figure. A row check allows no failing row."""
    limit = (check.limit or 0) if check.rule in TABLE_RULES else 0
    return {"min_value" if check.rule in (Rule.ROWS, Rule.VOLUME) else "max_value": limit}
