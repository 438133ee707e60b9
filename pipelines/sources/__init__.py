"""Where a shop's tables come from.

A source returns each canonical table as a DuckDB relation with canonical columns and types
(contract.py): money in minor units, timestamps as UTC instants. The relation is lazy and may be
larger than memory. It holds all rows; `ingest` chooses which ones to keep.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from pipelines.sources.sql_text import quoted
from pricebook.config import Featurize, Params, Settings

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation


class Source(Protocol):
    """The tables of a shop, as the shop delivers them."""

    @property
    def tables(self) -> tuple[str, ...]:
        """Names of the canonical tables this source has; `orders` is always the first."""

    def read(self, table: str, connection: DuckDBPyConnection) -> DuckDBPyRelation:
        """A table in canonical columns and types, in the order of the feed.

        Raises:
            SourceError: the input cannot be read as this table.
        """


def open_source(params: Params, settings: Settings) -> Source:
    """The source that `shop.source` names; its paths are relative to the params file.

    Raises:
        SourceError: the source is not installed, or `shop.files` names an unknown table.
    """
    if params.shop.source == "complete_journey":
        from pipelines.sources.complete_journey import CompleteJourney

        return CompleteJourney.installed()
    from pipelines.sources.files import Files

    return Files(params.shop, settings.params.resolve().parent)


def connect(limits: Featurize, spill: Path) -> DuckDBPyConnection:
    """An in-memory DuckDB within the shop's limits, in UTC, that spills under `spill`."""
    import duckdb

    spill.parent.mkdir(parents=True, exist_ok=True)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute("SET enable_progress_bar = false")
    connection.execute(f"SET memory_limit = '{limits.memory_limit}'")
    connection.execute(f"SET threads = {limits.threads}")
    connection.execute(f"SET temp_directory = '{quoted(str(spill))}'")
    return connection
