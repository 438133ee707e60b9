"""The raw tables open in DuckDB: what they hold, in frames for judging, and split by the judgement.

Out of core: rows stay in the files, and a table too large for memory is handed out in buckets. A
bucket holds every row of the keys that hash to it, so a repeated key is always seen beside its
twin.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from ledger import Failure
from pipelines.checks.measures import Calendar, made_column, name, records
from pricebook.config import Featurize, Severity
from pricebook.contract import REQUIRED_TABLES, TABLES, Check, Table, Type
from pricebook.errors import ContractBreach, SourceError

if TYPE_CHECKING:
    import pandas as pd

_INTEGERS = frozenset(
    f"{sign}{size}" for sign in ("", "U") for size in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
)
TYPES: dict[Type, frozenset[str]] = {
    Type.STRING: frozenset({"VARCHAR"}),
    Type.INTEGER: _INTEGERS,
    Type.MONEY: _INTEGERS,
    Type.FLOAT: _INTEGERS | {"FLOAT", "DOUBLE"},
    Type.BOOLEAN: frozenset({"BOOLEAN"}),
    Type.TIMESTAMP: frozenset({"TIMESTAMP WITH TIME ZONE"}),
    Type.DATE: frozenset({"DATE"}),
}
_FAILED = "failed_rows"


def connect(limits: Featurize, spill: Path) -> duckdb.DuckDBPyConnection:
    """A DuckDB in memory that spills to `spill`, reads times as UTC and keeps rows in order."""
    spill.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'")
    con.execute("set enable_progress_bar = false")
    con.execute(f"set memory_limit = '{limits.memory_limit}'")
    con.execute(f"set threads = {limits.threads}")
    con.execute("set temp_directory = ?", [str(spill)])
    con.execute(f'create table {_FAILED} ("table" text, rank int, reason text, "row" bigint)')
    return con


def open_tables(con: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, dict[str, str]]:
    """Open each canonical table in a folder as a view, with its rows numbered.

    Returns the columns and DuckDB types of each table found.

    Raises:
        SourceError: a file is not Parquet.
    """
    return {
        table: _open(con, folder / f"{table}.parquet")
        for table in TABLES
        if (folder / f"{table}.parquet").exists()
    }


def _open(con: duckdb.DuckDBPyConnection, path: Path) -> dict[str, str]:
    source = f"read_parquet('{_quoted(path)}', file_row_number = true)"
    view = f'select file_row_number as "row", * exclude (file_row_number) from {source}'
    try:
        con.execute(f"create view {name(path.stem)} as {view}")
    except duckdb.Error as error:
        cause = str(error).splitlines()[0]
        raise SourceError(f"{path.stem} is not a Parquet file: {cause}. Received: {path}") from None
    described = con.execute(f"describe {name(path.stem)}").fetchall()
    return {column: kind for column, kind, *_ in described if column != "row"}


def _quoted(path: Path) -> str:
    return str(path).replace("'", "''")


def misshapen(found: Mapping[str, Mapping[str, str]], folder: Path) -> tuple[Failure, ...]:
    """What keeps tables from being read: a required table or column absent, or a wrong type."""
    absent = [
        _unreadable(
            table, "present", f"{folder / table}.parquet is absent; every shop needs it", ""
        )
        for table in REQUIRED_TABLES
        if table not in found
    ]
    wrong = [
        failure
        for table, columns in found.items()
        for failure in _wrong_columns(TABLES[table], columns, folder / f"{table}.parquet")
    ]
    return (*absent, *wrong)


def _wrong_columns(table: Table, columns: Mapping[str, str], path: Path) -> Iterator[Failure]:
    for column in table.columns:
        kind = columns.get(column.name)
        if kind is None and column.required:
            why = f"{path} has no column {column.name!r}"
            received = ", ".join(columns)
            yield _unreadable(table.name, f"{column.name}.present", why, received)
        elif kind is not None and not _is(kind, column.type):
            why = f"{path}, column {column.name!r}: not {column.type}"
            yield _unreadable(table.name, f"{column.name}.typed", why, kind)


def _is(kind: str, expected: Type) -> bool:
    return kind in TYPES[expected] or (expected is Type.STRING and kind.startswith("ENUM"))


def _unreadable(table: str, check: str, why: str, received: str) -> Failure:
    sample = ({"received": received or "nothing"},)
    return Failure(table, f"{table}.{check}", Severity.CRITICAL, why, 1, sample)


def frames(
    con: duckdb.DuckDBPyConnection,
    table: str,
    checks: Sequence[Check],
    calendar: Calendar,
    rows_per_batch: int,
) -> Iterator[pd.DataFrame]:
    """The columns that checks of rows look at, as frames indexed by row number.

    A frame holds at most about `rows_per_batch` rows; strings stay in Arrow.
    """
    (rows,) = con.execute(f"select count(*) from {name(table)}").fetchall()[0]
    buckets = max(1, -(-rows // rows_per_batch))
    for bucket in range(buckets):
        query = _frame_query(table, checks, calendar, (bucket, buckets))
        yield _to_pandas(con.execute(query).to_arrow_table())


def _frame_query(
    table: str, checks: Sequence[Check], calendar: Calendar, bucket: tuple[int, int]
) -> str:
    made = {check.name: made_column(check, table, calendar) for check in checks}
    own = {column for check in checks if made[check.name] is None for column in check.columns}
    columns = [
        '"row"',
        *map(name, sorted(own)),
        *(f"{sql} as {name(check)}" for check, sql in made.items() if sql),
    ]
    return f"select {', '.join(columns)} from {name(table)}{_in_bucket(table, checks, bucket)}"


def _in_bucket(table: str, checks: Sequence[Check], bucket: tuple[int, int]) -> str:
    number, of = bucket
    key = _key(table, checks)
    return f" where hash({', '.join(map(name, key))}) % {of} = {number}" if of > 1 else ""


def _key(table: str, checks: Sequence[Check]) -> tuple[str, ...]:
    """What decides a bucket: the key if it is checked whole, else the row number."""
    key = TABLES[table].key
    return key if any(check.columns == key for check in checks) else ("row",)


def _to_pandas(found: pa.Table) -> pd.DataFrame:
    import pandas as pd

    strings = {pa.string(): pd.ArrowDtype(pa.string())}
    frame = found.to_pandas(types_mapper=strings.get, split_blocks=True, self_destruct=True)
    return frame.set_index("row").rename_axis(None)


def note(
    con: duckdb.DuckDBPyConnection, table: str, rank: int, check: Check, rows: Iterable[int]
) -> None:
    """Remember which rows fail a check; `rank` is its place among a row's reasons."""
    failing = pa.table({"row": pa.array(rows, pa.int64())})
    con.register("failing", failing)
    con.execute(
        f'insert into {_FAILED} select ?, ?, ?, "row" from failing', [table, rank, check.name]
    )
    con.unregister("failing")


def counts(con: duckdb.DuckDBPyConnection, table: str) -> dict[str, int]:
    """How many rows fail each check, of those noted."""
    query = f'select reason, count(*) from {_FAILED} where "table" = ? group by 1'
    return dict(con.execute(query, [table]).fetchall())


def sample(
    con: duckdb.DuckDBPyConnection, table: str, check: Check, n: int
) -> tuple[dict[str, Any], ...]:
    """The first `n` rows that fail a check, whole, with their row numbers in the raw file."""
    query = f"""
        with failing as (
            select "row" from {_FAILED}
            where "table" = '{table}' and reason = '{check.name}' order by "row" limit {n})
        select * from {name(table)} where "row" in (select "row" from failing) order by "row"
    """
    return records(con, query)


def split(
    con: duckdb.DuckDBPyConnection,
    table: str,
    reasons: Sequence[str],
    raw: Path,
    into: tuple[Path, Path],
) -> tuple[int, int]:
    """Write the rows that fail none of `reasons` to the first file, the others to the second.

    Both keep the order of the raw table; the second has a column `reasons`. Returns their rows.

    Raises:
        ContractBreach: a row was lost or doubled on the way.
    """
    con.execute(f"create or replace temp table refused as {_refused(table, reasons)}")
    good, bad = into
    sound = f"""
        select t.* exclude ("row") from {name(table)} t anti join refused using ("row")
        order by "row"
    """
    refused = f"""
        select t.* exclude ("row"), r.reasons from {name(table)} t join refused r using ("row")
        order by "row"
    """
    if reasons:
        con.execute(f"copy ({sound}) to '{_quoted(good)}' (format parquet)")
    else:
        shutil.copyfile(raw, good)
    con.execute(f"copy ({refused}) to '{_quoted(bad)}' (format parquet)")
    (rows,) = con.execute(f"select count(*) from {name(table)}").fetchall()[0]
    kept, sent = (_rows_in(con, path) for path in into)
    if kept + sent != rows:
        raise ContractBreach(
            f"{table}: rows in must be validated + quarantined. Received: {rows} != {kept} + {sent}"
        )
    return kept, sent


def _refused(table: str, reasons: Sequence[str]) -> str:
    chosen = ", ".join(f"'{reason}'" for reason in reasons) or "''"
    return f"""
        select "row", string_agg(reason, '; ' order by rank) as reasons from {_FAILED}
        where "table" = '{table}' and reason in ({chosen}) group by 1
    """


def _rows_in(con: duckdb.DuckDBPyConnection, path: Path) -> int:
    query = f"select coalesce(sum(num_rows), 0) from parquet_file_metadata('{_quoted(path)}')"
    return int(con.execute(query).fetchall()[0][0])
