"""ingest: the shop's source → data/raw, with canonical columns and only rows before the cut-off."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import lineage
from pipelines.sources import Source, connect, open_source
from pipelines.sources.sql_text import quoted
from pricebook.config import Params, Settings, cutoff
from pricebook.contract import TABLES
from pricebook.errors import EmptyHistory
from pricebook.files import atomic_dir, write_json

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

log = logging.getLogger("pricebook.ingest")

_BUCKETS = 1_000_000


def ingest(as_of: date, params: Params, settings: Settings) -> dict[str, int]:
    """Write data/raw/<table>.parquet for every table of the source; remove all other tables.

    The folder is replaced at once: a run that is stopped leaves the tables of the run before.

    Returns:
        rows of each table.

    Raises:
        SourceError: an input cannot be read as the table it should be.
        EmptyHistory: no order is before `as_of`.
    """
    source = open_source(params, settings)
    with _connection(params, settings) as connection, atomic_dir(settings.raw) as folder:
        ingestion = _Ingestion(as_of, params, source, connection)
        rows = {table: ingestion.write(table, folder) for table in source.tables}
    lineage.record(settings.raw, settings)
    write_json(settings.report("ingest"), rows)
    return rows


def resolve_as_of(params: Params, settings: Settings) -> date:
    """The cut-off of params, or else the day after the local date of the last order.

    Raises:
        EmptyHistory: there is no order.
    """
    if params.as_of is not None:
        return params.as_of
    source = open_source(params, settings)
    with _connection(params, settings) as connection:
        last = _local_date("max", source.read("orders", connection), params)
    if last is None:
        raise EmptyHistory("orders has no row with a time. Received: no orders")
    return last + timedelta(days=1)


@dataclass(frozen=True)
class _Ingestion:
    """One run: writes the rows of each table that are before the cut-off and in the sample."""

    as_of: date
    params: Params
    source: Source
    connection: DuckDBPyConnection

    def write(self, table: str, folder: Path) -> int:
        """Write a table and return its number of rows."""
        log.info("%s: reading", table)
        relation = self.source.read(table, self.connection)
        path = folder / f"{table}.parquet"
        rows = relation.filter(self._condition(table, relation.columns))
        rows.write_parquet(str(path), compression="zstd")
        if table == "orders":
            self._check_history(relation, path)
        written = _count(self.connection.read_parquet(str(path)))
        omitted = self._describe_omitted(table, _count(relation) - written)
        log.info("%s: %s rows kept%s", table, f"{written:,}", omitted)
        return written

    def _condition(self, table: str, columns: list[str]) -> str:
        """SQL that selects the rows to write. A row with a null in place of the time is kept."""
        event, conditions = TABLES[table].event_time, ["true"]
        if event in columns:
            instant = cutoff(self.as_of, self.params.shop.timezone).isoformat()
            conditions.append(f"({event} < TIMESTAMPTZ '{instant}') IS NOT FALSE")
        share = self.params.ingest.sample
        if share is not None and "sku" in columns:
            bucket = f"md5_number_lower(sku) % {_BUCKETS}"
            conditions.append(f"({bucket} < {round(share * _BUCKETS)}) IS NOT FALSE")
        return " AND ".join(conditions)

    def _check_history(self, orders: DuckDBPyRelation, path: Path) -> None:
        """Raise EmptyHistory, with the reason, if no order with a time was written."""
        dated = f"SELECT count(ordered_at) FROM read_parquet('{quoted(str(path))}')"
        if _integer(self.connection.sql(dated)):
            return
        first, zone = _local_date("min", orders, self.params), self.params.shop.timezone
        if first is None:
            raise EmptyHistory("orders has no row with a time. Received: no orders")
        if first < self.as_of:
            raise EmptyHistory(
                "ingest.sample keeps no sku that was sold before the cut-off. "
                f"Received: {self.params.ingest.sample}"
            )
        raise EmptyHistory(
            f"No order is before the cut-off; the first is of {first} ({zone}). "
            f"Received: as_of {self.as_of}"
        )

    def _describe_omitted(self, table: str, rows: int) -> str:
        if not rows:
            return ""
        reasons = []
        if TABLES[table].event_time:
            reasons.append(f"at or after {self.as_of}")
        if self.params.ingest.sample is not None:
            reasons.append("outside the sample")
        return f", {rows:,} left out ({' or '.join(reasons)})"


@contextmanager
def _connection(params: Params, settings: Settings) -> Iterator[DuckDBPyConnection]:
    connection = connect(params.featurize, settings.state / "spill" / "ingest")
    try:
        yield connection
    finally:
        connection.close()


def _local_date(function: str, orders: DuckDBPyRelation, params: Params) -> date | None:
    """The local date of the first (`min`) or last (`max`) order."""
    local = f"CAST(timezone('{params.shop.timezone}', {function}(ordered_at)) AS DATE)"
    day: date | None = orders.aggregate(local).fetchall()[0][0]
    return day


def _count(relation: DuckDBPyRelation) -> int:
    return _integer(relation.aggregate("count(*)"))


def _integer(relation: DuckDBPyRelation) -> int:
    return int(relation.fetchall()[0][0])
