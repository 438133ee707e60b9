"""Bring your own: CSV and Parquet files, described in the params file (config.TableFile)."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.sources import identifier, quoted
from pipelines.sources.conversion import EXPECTED, Conversion, Habits, convert
from pricebook.config import Shop, TableFile
from pricebook.contract import TABLES, Column, Table
from pricebook.errors import SourceError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

_CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_PARQUET = (".parquet", ".pq")
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Batch:
    """Files with the very same columns, read as one."""

    files: tuple[Path, ...]
    delimiter: str
    columns: dict[str, str]

    @property
    def scan(self) -> str:
        """File after file: DuckDB's own scan of many files does not always keep their order."""
        scans = (self._scan(f"'{quoted(str(file))}'") for file in self.files)
        return "(" + " UNION ALL ".join(f"SELECT * FROM {scan}" for scan in scans) + ")"

    def _scan(self, name: str) -> str:
        if not self.delimiter:
            return f"read_parquet({name})"
        types = ", ".join(f"'{quoted(column)}': 'VARCHAR'" for column in self.columns)
        return (
            f"read_csv({name}, auto_detect = false, header = true, delim = '{self.delimiter}', "
            f"quote = '\"', escape = '\"', columns = {{{types}}})"
        )


@dataclass(frozen=True)
class Files:
    """A shop's own files; relative paths start at `folder`, where the params file is."""

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
                f"shop.files has no orders; there is nothing to learn from. "
                f"Received: {', '.join(self.shop.files) or 'no table'}"
            )

    @cached_property
    def tables(self) -> tuple[str, ...]:
        return tuple(table for table in TABLES if table in self.shop.files)

    def read(self, table: str, connection: DuckDBPyConnection) -> DuckDBPyRelation:
        """Every cell is tried before the relation is handed over; the first that fails is named."""
        reading = _Reading.of(TABLES[table], self.shop)
        paths = _find(self.folder / reading.spec.path, f"shop.files.{table}.path")
        batches = _batches(paths, connection)
        for batch in batches:
            reading.check(batch, connection)
        return connection.sql(" UNION ALL BY NAME ".join(map(reading.select, batches)))


@dataclass(frozen=True)
class _Reading:
    """One canonical table, as this shop says its files hold it."""

    table: Table
    spec: TableFile
    habits: Habits

    @classmethod
    def of(cls, table: Table, shop: Shop) -> _Reading:
        spec = shop.files[table.name]
        _only_canonical(table, spec)
        zone = spec.timezone or shop.timezone
        return cls(
            table,
            spec,
            Habits(zone, shop.minor_digits, spec.money, spec.decimal, spec.timestamp_format),
        )

    def conversions(self, batch: Batch) -> list[Conversion]:
        """How each column is made. Optional columns the files lack are left out."""
        made = (self._conversion(column, batch) for column in self.table.columns)
        return [conversion for conversion in made if conversion]

    def select(self, batch: Batch) -> str:
        conversions = self.conversions(batch)
        values = ", ".join(f"{conversion.value} AS {conversion.name}" for conversion in conversions)
        return f"(SELECT {values} FROM {_cells(conversions, batch)})"

    def check(self, batch: Batch, connection: DuckDBPyConnection) -> None:
        """Raise SourceError for the first column with a cell that is not what it should be."""
        conversions = self.conversions(batch)
        counts = ", ".join(f"count_if({conversion.fails})" for conversion in conversions)
        query = f"SELECT {counts} FROM {_cells(conversions, batch)}"
        for conversion, failed in zip(conversions, _one(connection, query, batch), strict=True):
            if failed:
                raise self._failure(conversion, failed, batch, connection)

    def _conversion(self, column: Column, batch: Batch) -> Conversion | None:
        name, source = column.name, self.spec.columns.get(column.name, column.name)
        if name in self.spec.defaults:
            return self._default(column, batch)
        if source in batch.columns:
            return convert(column, identifier(source), batch.columns[source], self.habits)
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
        written = replace(self.habits, decimal=".", timestamp_format=None)
        return convert(column, literal, "VARCHAR", written)

    def _failure(
        self, conversion: Conversion, failed: int, batch: Batch, connection: DuckDBPyConnection
    ) -> SourceError:
        name = conversion.name
        expected = EXPECTED[self.table.column(name).type]
        if name in self.spec.defaults:
            where = f"shop.files.{self.table.name}.defaults.{name}"
            return SourceError(f"{where}: not {expected}. Received: {self.spec.defaults[name]!r}")
        source = self.spec.columns.get(name, name)
        file, row, value = _first(source, conversion, batch, connection)
        others = f", nor are {failed - 1:,} more" if failed > 1 else ""
        return SourceError(
            f"{file}, column {source!r} ({self.table.name}.{name}), row {row:,}: "
            f"not {expected}{others}. Received: {value!r}"
        )


def _cells(conversions: list[Conversion], batch: Batch) -> str:
    cells = ", ".join(f"{conversion.cell} AS {conversion.name}" for conversion in conversions)
    return f"(SELECT {cells} FROM {batch.scan})"


def _only_canonical(table: Table, spec: TableFile) -> None:
    known = [column.name for column in table.columns]
    for where, names in (("columns", spec.columns), ("defaults", spec.defaults)):
        unknown = [name for name in names if name not in known]
        if unknown:
            raise SourceError(
                f"shop.files.{table.name}.{where}: not a column of {table.name}; they are "
                f"{', '.join(known)}. Received: {unknown[0]!r}"
            )


def _find(path: Path, setting: str) -> list[Path]:
    """The files that a path, a folder or a glob means, by name.

    Raises:
        SourceError: there are none.
    """
    if path.is_dir():
        return _readable(sorted(path.iterdir()), f"{setting}: no CSV or Parquet file in {path}")
    if path.exists():
        return _readable([path], f"{setting}: neither .csv, .tsv (or .gz of them) nor .parquet")
    matches = sorted(Path(path.anchor).glob(path.relative_to(path.anchor).as_posix()))
    return _readable(matches, f"{setting}: no such file or folder, and no file matches {path}")


def _readable(paths: list[Path], otherwise: str) -> list[Path]:
    files = [path for path in paths if path.name.endswith(_CSV + _PARQUET) and path.is_file()]
    visible = [path for path in files if not path.name.startswith((".", "_"))]
    if not visible:
        names = ", ".join(path.name for path in paths[:3]) or "nothing"
        raise SourceError(f"{otherwise}. Received: {names}")
    return visible


def _batches(paths: list[Path], connection: DuckDBPyConnection) -> list[Batch]:
    """Files grouped by their columns, in order; each group is one scan."""
    groups: dict[tuple[Any, ...], list[Path]] = {}
    for path in paths:
        groups.setdefault(_shape(path, connection), []).append(path)
    return [
        Batch(tuple(files), delimiter, dict(columns))
        for (delimiter, *columns), files in groups.items()
    ]


def _shape(path: Path, connection: DuckDBPyConnection) -> tuple[Any, ...]:
    """The delimiter ("" for Parquet), then each column's name and DuckDB type."""
    if path.name.endswith(_CSV):
        delimiter, names = _header(path)
        return (delimiter, *((name, "VARCHAR") for name in names))
    import duckdb

    try:
        relation = connection.sql(f"SELECT * FROM read_parquet('{quoted(str(path))}')")
    except duckdb.Error as error:
        raise SourceError(
            f"{path} is not a readable Parquet file: {_brief(error)}. Received: {_start(path)!r}"
        ) from None
    return ("", *zip(relation.columns, map(str, relation.types), strict=True))


def _header(path: Path) -> tuple[str, list[str]]:
    """The delimiter of a CSV file, and its column names as its first line gives them."""
    try:
        with _text(path) as file:
            first = next((line for line in file if line.strip()), "")
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError):
        raise SourceError(f"{path} is not UTF-8 text. Received: {_start(path)!r}") from None
    delimiter = max(_DELIMITERS, key=first.count)
    names = [name.strip() for name in next(csv.reader([first], delimiter=delimiter), [])]
    if not any(names):
        raise SourceError(f"{path} has no header line. Received: {_start(path)!r}")
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise SourceError(f"{path} has a column twice. Received: {twice[0]!r}")
    return delimiter, [name or f"column {place}" for place, name in enumerate(names, 1)]


def _text(path: Path) -> Any:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _one(connection: DuckDBPyConnection, query: str, batch: Batch) -> tuple[Any, ...]:
    import duckdb

    try:
        return connection.execute(query).fetchall()[0]
    except duckdb.Error as error:
        names = ", ".join(map(str, batch.files[:3]))
        raise SourceError(f"{names} cannot be read. Received: {_brief(error)}") from None


def _first(
    source: str, conversion: Conversion, batch: Batch, connection: DuckDBPyConnection
) -> tuple[Path, int, Any]:
    """File, row (1 is the first below the header) and raw value of the first failing cell."""
    cells = f"row_number() OVER () AS row, {identifier(source)} AS raw"
    for file in batch.files:
        scan = replace(batch, files=(file,)).scan
        found = connection.execute(
            f"SELECT row, raw FROM (SELECT {cells}, {conversion.cell} AS {conversion.name} "
            f"FROM {scan}) WHERE {conversion.fails} ORDER BY row LIMIT 1"
        ).fetchone()
        if found:
            return file, found[0], found[1]
    raise SourceError(f"{batch.files[0]} changed while it was read. Received: {source!r}")


def _lines(error: Exception) -> Iterator[str]:
    return (line.strip() for line in str(error).splitlines() if line.strip())


def _brief(error: Exception) -> str:
    """The first lines of a DuckDB error, without its advice on its own settings."""
    kept = []
    for line in _lines(error):
        if line.startswith(("Possible", "*", "file =")):
            break
        kept.append(line)
    return "; ".join(kept[:3])


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(24)
