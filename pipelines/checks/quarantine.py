"""The raw tables, open in DuckDB: reads their schema, finds failing rows and splits them off.

Rows stay in the Parquet files. What does not fit in memory spills to disk.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import duckdb

from ledger import Failure
from pipelines.checks.measures import Calendar, name, records, row_predicate
from pricebook.config import Featurize, Severity
from pricebook.contract import REQUIRED_TABLES, TABLES, Check, Rule, Table, Type
from pricebook.errors import ContractBreach, SourceError

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
# The row numbers that fail each check of the table in hand. `rank` orders the reasons of a row.
_FAILED = "failed_rows"


def connect(limits: Featurize, spill: Path) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB that spills to `spill`, reads times as UTC and keeps rows in order."""
    spill.mkdir(parents=True, exist_ok=True)
    con = duckdb.connect()
    con.execute("set TimeZone = 'UTC'")
    con.execute("set enable_progress_bar = false")
    con.execute(f"set memory_limit = '{limits.memory_limit}'")
    con.execute(f"set threads = {limits.threads}")
    con.execute("set temp_directory = ?", [str(spill)])
    return con


def open_tables(con: duckdb.DuckDBPyConnection, folder: Path) -> dict[str, dict[str, str]]:
    """Open each canonical table of a folder as a view with a column `row`, the row number.

    Returns:
        table: its columns and their DuckDB types.

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


def unreadable(tables: Mapping[str, Mapping[str, str]], folder: Path) -> tuple[Failure, ...]:
    """What prevents reading: an absent table or required column, or a column of a wrong type."""
    absent = [
        _unreadable(table, "present", f"{path} is absent, and every shop needs it", "")
        for table in REQUIRED_TABLES
        if table not in tables and (path := folder / f"{table}.parquet")
    ]
    wrong = [
        failure
        for table, columns in tables.items()
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


def find_failing_rows(
    con: duckdb.DuckDBPyConnection, table: str, checks: Sequence[Check], calendar: Calendar
) -> dict[str, int]:
    """Find the rows that fail row checks, for `sample` and `split`.

    Returns:
        check: the number of rows that fail it, for each check that some row fails.
    """
    con.execute(f'create or replace temp table {_FAILED} (rank int, reason text, "row" bigint)')
    reasons = dict(enumerate(checks))
    predicates = {
        rank: row_predicate(check, table, calendar)
        for rank, check in reasons.items()
        if check.rule is not Rule.UNIQUE
    }
    if predicates:
        _insert(con, checks, _judge_query(table, predicates))
    for rank, check in reasons.items():
        if check.rule is Rule.UNIQUE:
            _insert(con, checks, _repeats_query(table, rank, check.columns))
    return dict(con.execute(f"select reason, count(*) from {_FAILED} group by 1").fetchall())


def _insert(con: duckdb.DuckDBPyConnection, checks: Sequence[Check], query: str) -> None:
    names = [check.name for check in checks]
    con.execute(f'insert into {_FAILED} select rank, ?[rank + 1], "row" from ({query})', [names])


def _judge_query(table: str, predicates: Mapping[int, str]) -> str:
    """(rank, row) of the rows that fail a predicate. One scan judges all of them."""
    judged = ", ".join(f"{sql} as passes_{rank}" for rank, sql in predicates.items())
    ranks = ", ".join(f"case when not passes_{rank} then {rank} end" for rank in predicates)
    passes = " and ".join(f"passes_{rank}" for rank in predicates)
    return f"""
        select rank, "row" from (
            select unnest([{ranks}]) as rank, "row"
            from (select "row", {judged} from {name(table)}) where not ({passes}))
        where rank is not null
    """


def _repeats_query(table: str, rank: int, columns: Sequence[str]) -> str:
    """(rank, row) of the rows whose columns equal those of an earlier row.

    A first scan finds the hashes that occur more than once; only their rows are then compared. A
    window over all rows would sort the whole table.
    """
    key = ", ".join(map(name, columns))
    return f"""
        with repeated as (
            select hash({key}) as key from {name(table)} group by 1 having count(*) > 1)
        select {rank} as rank, "row" from (
            select "row", row_number() over (partition by {key} order by "row") as place
            from {name(table)} where hash({key}) in (from repeated))
        where place > 1
    """


def sample(
    con: duckdb.DuckDBPyConnection, table: str, check: Check, n: int
) -> tuple[dict[str, Any], ...]:
    """The first `n` rows that fail a check, all columns, with their row numbers in the raw file."""
    query = f"""
        with failing as (
            select "row" from {_FAILED} where reason = '{check.name}' order by "row" limit {n})
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

    Both keep the order of the raw table. The second has a column `reasons`.

    Returns:
        the number of rows in each.

    Raises:
        ContractBreach: the two files together have fewer or more rows than the raw table.
    """
    con.execute(f"create or replace temp table refused as {_refused(reasons)}")
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
    validated, quarantined = (_rows_in(con, path) for path in into)
    if validated + quarantined != rows:
        raise ContractBreach(
            f"{table}: rows must equal validated plus quarantined rows. "
            f"Received: {rows} != {validated} + {quarantined}"
        )
    return validated, quarantined


def _refused(reasons: Sequence[str]) -> str:
    chosen = ", ".join(f"'{reason}'" for reason in reasons) or "''"
    return f"""
        select "row", string_agg(reason, '; ' order by rank) as reasons from {_FAILED}
        where reason in ({chosen}) group by 1
    """


def _rows_in(con: duckdb.DuckDBPyConnection, path: Path) -> int:
    query = f"select coalesce(sum(num_rows), 0) from parquet_file_metadata('{_quoted(path)}')"
    return int(con.execute(query).fetchall()[0][0])
