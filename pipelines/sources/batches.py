"""Finds the files of a table, and groups those with the same columns."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.sources.sql_text import quoted
from pricebook.errors import SourceError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_CSV = (".csv", ".csv.gz", ".tsv", ".tsv.gz")
_PARQUET = (".parquet", ".pq")
_DELIMITERS = ",;\t|"


@dataclass(frozen=True)
class Batch:
    """Files with the same columns, read with one scan.

    Attributes:
        files: the files in order.
        delimiter: of CSV files; "" for Parquet.
        columns: column: its DuckDB type; all text in CSV files.
    """

    files: tuple[Path, ...]
    delimiter: str
    columns: dict[str, str]

    @property
    def scan(self) -> str:
        """SQL that scans one file after the other.

        DuckDB's scan of several files at once does not always keep their order.
        """
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


def find_files(path: Path, setting: str) -> list[Path]:
    """The CSV and Parquet files of a path, a folder or a glob, sorted by name.

    Raises:
        SourceError: there are none; the message names the `setting`.
    """
    if path.is_dir():
        return _select_readable(
            sorted(path.iterdir()), f"{setting}: no CSV or Parquet file in {path}"
        )
    if path.exists():
        return _select_readable(
            [path], f"{setting}: neither .csv, .tsv (or .gz of them) nor .parquet"
        )
    matches = sorted(Path(path.anchor).glob(path.relative_to(path.anchor).as_posix()))
    return _select_readable(
        matches, f"{setting}: no such file or folder, and no file matches {path}"
    )


def _select_readable(paths: list[Path], message: str) -> list[Path]:
    files = [path for path in paths if path.name.endswith(_CSV + _PARQUET) and path.is_file()]
    visible = [path for path in files if not path.name.startswith((".", "_"))]
    if not visible:
        names = ", ".join(path.name for path in paths[:3]) or "nothing"
        raise SourceError(f"{message}. Received: {names}")
    return visible


def group_files(paths: list[Path], connection: DuckDBPyConnection) -> list[Batch]:
    """Group files with the same columns, in order.

    Raises:
        SourceError: a file is empty, is not UTF-8 text or Parquet, or has a column twice.
    """
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
            f"{path} is not a readable Parquet file: {brief(error)}. Received: {_start(path)!r}"
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
    repeated = [name for name in names if name and names.count(name) > 1]
    if repeated:
        raise SourceError(f"{path} has a column twice. Received: {repeated[0]!r}")
    return delimiter, [name or f"column {place}" for place, name in enumerate(names, 1)]


def _text(path: Path) -> Any:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _lines(error: Exception) -> Iterator[str]:
    return (line.strip() for line in str(error).splitlines() if line.strip())


def brief(error: Exception) -> str:
    """The first lines of a DuckDB error, without its advice on settings of DuckDB."""
    advice = ("Possible", "*", "file =")
    lines = takewhile(lambda line: not line.startswith(advice), _lines(error))
    return "; ".join(islice(lines, 3))


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(24)
