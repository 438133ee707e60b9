"""Read the shop's tables into data/raw: canonical, before the cut-off, whole or not at all."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import lineage
from pipelines.sources import Source, connect, open_source, quoted
from pricebook.config import Params, Settings, cutoff
from pricebook.contract import TABLES
from pricebook.errors import EmptyHistory
from pricebook.files import atomic_dir, write_json

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

log = logging.getLogger("pricebook.ingest")

_BUCKETS = 1_000_000


def ingest(as_of: date, params: Params, settings: Settings) -> dict[str, int]:
    """Write data/raw/<table>.parquet for every table the source has; no other table stays there.

    The folder is replaced as one: a run that is stopped leaves the tables of the run before.

    Returns:
        rows per table.

    Raises:
        SourceError: an input cannot be read as the table it should be.
        EmptyHistory: no order is before `as_of`.
    """
    source = open_source(params, settings)
    with _connection(params, settings) as connection, atomic_dir(settings.raw) as folder:
        reading = _Ingest(as_of, params, source, connection)
        rows = {table: reading.write(table, folder) for table in source.tables}
    lineage.record(settings.raw, settings)
    write_json(settings.report("ingest"), rows)
    return rows


def resolve_as_of(params: Params, settings: Settings) -> date:
    """The cut-off of params, or else the day after the last order's local date.

    Raises:
        EmptyHistory: there is no order at all.
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
class _Ingest:
    """One run: what is kept of each table."""

    as_of: date
    params: Params
    source: Source
    connection: DuckDBPyConnection

    def write(self, table: str, folder: Path) -> int:
        """Write what is kept of a table, and count it."""
        log.info("%s: reading", table)
        relation = self.source.read(table, self.connection)
        path = folder / f"{table}.parquet"
        relation.filter(self._kept(table, relation.columns)).write_parquet(
            str(path), compression="zstd"
        )
        if table == "orders":
            self._has_history(relation, path)
        kept, read = self._rows(path), _count(relation)
        log.info("%s: %s rows kept%s", table, f"{kept:,}", self._left_out(table, read - kept))
        return kept

    def _kept(self, table: str, columns: list[str]) -> str:
        """SQL: the row is before the cut-off and in the sample; a null decides nothing here."""
        event, keep = TABLES[table].event_time, ["true"]
        if event in columns:
            instant = cutoff(self.as_of, self.params.shop.timezone).isoformat()
            keep.append(f"({event} < TIMESTAMPTZ '{instant}') IS NOT FALSE")
        share = self.params.ingest.sample
        if share is not None and "sku" in columns:
            bucket = f"md5_number_lower(sku) % {_BUCKETS}"
            keep.append(f"({bucket} < {round(share * _BUCKETS)}) IS NOT FALSE")
        return " AND ".join(keep)

    def _has_history(self, orders: DuckDBPyRelation, path: Path) -> None:
        dated = f"SELECT count(ordered_at) FROM read_parquet('{quoted(str(path))}')"
        if _int(self.connection.sql(dated)):
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

    def _rows(self, path: Path) -> int:
        return _count(self.connection.read_parquet(str(path)))

    def _left_out(self, table: str, rows: int) -> str:
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


def _local_date(which: str, orders: DuckDBPyRelation, params: Params) -> date | None:
    local = f"CAST(timezone('{params.shop.timezone}', {which}(ordered_at)) AS DATE)"
    found: date | None = orders.aggregate(local).fetchall()[0][0]
    return found


def _count(relation: DuckDBPyRelation) -> int:
    return _int(relation.aggregate("count(*)"))


def _int(relation: DuckDBPyRelation) -> int:
    return int(relation.fetchall()[0][0])
