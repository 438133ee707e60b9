"""Reads the CSV and Parquet files of a shop, as `shop.files` in the params file describes them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.sources.batches import Batch, brief, find_files, group_files
from pipelines.sources.conversion import EXPECTED, Conversion, FileFormat, convert
from pipelines.sources.sql_text import identifier, quoted
from pricebook.config import Shop, TableFile
from pricebook.contract import TABLES, Column, Table
from pricebook.errors import SourceError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation


@dataclass(frozen=True)
class Files:
    """The files of a shop. Relative paths start at `folder`, where the params file is."""

    shop: Shop
    folder: Path

    def __post_init__(self) -> None:
        unknown = sorted(self.shop.files.keys() - TABLES.keys())
        if unknown:
            raise SourceError(
                f"shop.files: no such canonical table; they are {', '.join(TABLES)}. "
                f"Received: {unknown[0]!r}"
            )
        if "orders" not in self.shop.files:
            raise SourceError(
                "shop.files has no orders, which every shop needs. "
                f"Received: {', '.join(self.shop.files) or 'no table'}"
            )

    @cached_property
    def tables(self) -> tuple[str, ...]:
        """The canonical tables that the params file describes."""
        return tuple(table for table in TABLES if table in self.shop.files)

    def read(self, table: str, connection: DuckDBPyConnection) -> DuckDBPyRelation:
        """See `Source.read`. Converts every cell once before it returns, so that errors come early.

        Raises:
            SourceError: names the file, column, row and value of the first cell that fails.
        """
        reader = _TableReader.from_shop(TABLES[table], self.shop)
        paths = find_files(self.folder / reader.spec.path, f"shop.files.{table}.path")
        batches = group_files(paths, connection)
        for batch in batches:
            reader.check(batch, connection)
        return connection.sql(" UNION ALL BY NAME ".join(map(reader.select, batches)))


@dataclass(frozen=True)
class _TableReader:
    """Converts the files of one canonical table.

    Attributes:
        table: the table to make.
        spec: what the params file says of its files.
        file_format: how the files write money, numbers and time.
    """

    table: Table
    spec: TableFile
    file_format: FileFormat

    @classmethod
    def from_shop(cls, table: Table, shop: Shop) -> _TableReader:
        spec = shop.files[table.name]
        _check_column_names(table, spec)
        zone = spec.timezone or shop.timezone
        return cls(
            table,
            spec,
            FileFormat(zone, shop.minor_digits, spec.money, spec.decimal, spec.timestamp_format),
        )

    def conversions(self, batch: Batch) -> list[Conversion]:
        """The conversion of each column, without optional columns that the files lack."""
        conversions = (self._conversion(column, batch) for column in self.table.columns)
        return [conversion for conversion in conversions if conversion]

    def select(self, batch: Batch) -> str:
        """SQL that selects the canonical columns of a batch."""
        conversions = self.conversions(batch)
        values = ", ".join(f"{conversion.value} AS {conversion.name}" for conversion in conversions)
        return f"(SELECT {values} FROM {_cells(conversions, batch)})"

    def check(self, batch: Batch, connection: DuckDBPyConnection) -> None:
        """Raise SourceError for the first column with a cell that cannot be converted."""
        conversions = self.conversions(batch)
        counts = ", ".join(f"count_if({conversion.fails})" for conversion in conversions)
        query = f"SELECT {counts} FROM {_cells(conversions, batch)}"
        for conversion, failed in zip(
            conversions, _fetch_row(connection, query, batch), strict=True
        ):
            if failed:
                raise self._failure(conversion, failed, batch, connection)

    def _conversion(self, column: Column, batch: Batch) -> Conversion | None:
        name, source = column.name, self.spec.columns.get(column.name, column.name)
        if name in self.spec.defaults:
            return self._default(column, batch)
        if source in batch.columns:
            return convert(column, identifier(source), batch.columns[source], self.file_format)
        if column.required or name in self.spec.columns:
            raise SourceError(
                f"{batch.files[0]} has no column {source!r}, needed for {self.table.name}.{name}. "
                f"Received: {', '.join(batch.columns)}"
            )
        return None

    def _default(self, column: Column, batch: Batch) -> Conversion:
        source = self.spec.columns.get(column.name, column.name)
        if source in batch.columns:
            raise SourceError(
                f"shop.files.{self.table.name}.defaults: {batch.files[0]} has the column "
                f"{source!r} itself. Received: {column.name}"
            )
        value = self.spec.defaults[column.name]
        literal = "NULL" if value is None else f"'{quoted(str(value))}'"
        yaml_format = replace(self.file_format, decimal=".", timestamp_format=None)
        return convert(column, literal, "VARCHAR", yaml_format)

    def _failure(
        self, conversion: Conversion, failed: int, batch: Batch, connection: DuckDBPyConnection
    ) -> SourceError:
        name = conversion.name
        expected = EXPECTED[self.table.column(name).type]
        if name in self.spec.defaults:
            where = f"shop.files.{self.table.name}.defaults.{name}"
            return SourceError(f"{where}: not {expected}. Received: {self.spec.defaults[name]!r}")
        source = self.spec.columns.get(name, name)
        file, row, value = _find_failure(source, conversion, batch, connection)
        others = f", nor are {failed - 1:,} more" if failed > 1 else ""
        return SourceError(
            f"{file}, column {source!r} ({self.table.name}.{name}), row {row:,}: "
            f"not {expected}{others}. Received: {value!r}"
        )


def _cells(conversions: list[Conversion], batch: Batch) -> str:
    cells = ", ".join(f"{conversion.cell} AS {conversion.name}" for conversion in conversions)
    return f"(SELECT {cells} FROM {batch.scan})"


def _check_column_names(table: Table, spec: TableFile) -> None:
    """Raise SourceError if the params file names a column that the table does not have."""
    known = [column.name for column in table.columns]
    for where, names in (("columns", spec.columns), ("defaults", spec.defaults)):
        unknown = [name for name in names if name not in known]
        if unknown:
            raise SourceError(
                f"shop.files.{table.name}.{where}: not a column of {table.name}; they are "
                f"{', '.join(known)}. Received: {unknown[0]!r}"
            )


def _fetch_row(connection: DuckDBPyConnection, query: str, batch: Batch) -> tuple[Any, ...]:
    import duckdb

    try:
        return connection.execute(query).fetchall()[0]
    except duckdb.Error as error:
        names = ", ".join(map(str, batch.files[:3]))
        raise SourceError(f"{names} cannot be read. Received: {brief(error)}") from None


def _find_failure(
    source: str, conversion: Conversion, batch: Batch, connection: DuckDBPyConnection
) -> tuple[Path, int, Any]:
    """File, row and raw value of the first cell that fails. Row 1 is the first below the header."""
    cells = f"row_number() OVER () AS row, {identifier(source)} AS raw"
    for file in batch.files:
        scan = replace(batch, files=(file,)).scan
        failure = connection.execute(
            f"SELECT row, raw FROM (SELECT {cells}, {conversion.cell} AS {conversion.name} "
            f"FROM {scan}) WHERE {conversion.fails} ORDER BY row LIMIT 1"
        ).fetchone()
        if failure:
            return file, failure[0], failure[1]
    raise SourceError(f"{batch.files[0]} changed while it was read. Received: {source!r}")
