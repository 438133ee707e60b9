"""What each check of the contract looks at, as DuckDB computes it.

Two kinds. A check *of rows* looks at a column of the table itself, or, where it needs more than
the row (its twin, another table, the calendar), at a boolean column made for it and named after
it. A check *of the table* looks at one figure. Great Expectations then judges both; nothing here
decides what passes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from math import isnan
from statistics import median
from typing import Any

import duckdb

from pricebook.config import Shop, cutoff
from pricebook.contract import TABLES, Check, Rule

PARTIAL = 0.9  # of the usual share of days with orders; a week short of one of 7 days is below it
OF_THE_TABLE = frozenset({Rule.ROWS, Rule.COVERED, Rule.FRESH, Rule.VOLUME, Rule.WHOLE_PERIODS})


@dataclass(frozen=True)
class Figure:
    """One number about a table; None where there is nothing to measure.

    `count` is how many values or periods are to blame (1: the table as a whole); `evidence` is
    what an alert shows of them.
    """

    value: float | None
    count: int = 1
    evidence: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Calendar:
    """What a shop's checks need to know about time."""

    as_of: date
    shop: Shop

    @property
    def cutoff(self) -> datetime:
        return cutoff(self.as_of, self.shop.timezone)

    def period(self, column: str, timezone: str | None = None, grain: str | None = None) -> str:
        """SQL for the local period (a date) in which an instant falls."""
        grain, zone = grain or self.shop.grain, timezone or self.shop.timezone
        return f"date_trunc('{grain}', {column} at time zone '{zone}')::date"


def name(identifier: str) -> str:
    """An SQL identifier: a column or table whatever its name.

    >>> name("zone")
    '"zone"'
    """
    return '"' + identifier.replace('"', '""') + '"'


def made_column(check: Check, table: str, calendar: Calendar) -> str | None:
    """SQL of the boolean column a check of rows looks at; None if it looks at the table's own.

    Unknown (null) counts as passing: whether a value may be absent is NOT_NULL's question.
    """
    make = _MADE.get(check.rule)
    return None if make is None else f"coalesce({make(check, table, calendar)}, true)"


def _first_of_equals(check: Check, table: str, calendar: Calendar) -> str:
    key = ", ".join(map(name, check.columns))
    return f'row_number() over (partition by {key} order by "row") = 1'


def _known(check: Check, table: str, calendar: Calendar) -> str:
    other, _, column = str(check.references).partition(".")
    key = name(column)
    return f"{name(check.columns[0])} in (select {key} from {name(other)} where {key} is not null)"


def _looked_up(check: Check, table: str, calendar: Calendar) -> str:
    other, _, column = str(check.references).partition(".")
    found = (
        f"select {name(TABLES[other].key[0])} from {name(other)} where {name(column)} is not null"
    )
    return f"{name(check.columns[0])} in ({found})"


def _before_cutoff(check: Check, table: str, calendar: Calendar) -> str:
    return f"{name(check.columns[0])} < timestamptz '{calendar.cutoff.isoformat()}'"


def _week_agrees(check: Check, table: str, calendar: Calendar) -> str:
    event_time = name(str(TABLES[table].event_time))
    return f"{name(check.columns[0])} = {calendar.period(event_time, grain='week')}"


def _same_period_in_utc(check: Check, table: str, calendar: Calendar) -> str:
    column = name(check.columns[0])
    return f"{calendar.period(column, 'UTC')} = {calendar.period(column)}"


_MADE: dict[Rule, Callable[[Check, str, Calendar], str]] = {
    Rule.UNIQUE: _first_of_equals,
    Rule.KNOWN: _known,
    Rule.LOOKED_UP: _looked_up,
    Rule.BEFORE_CUTOFF: _before_cutoff,
    Rule.WEEK_AGREES: _week_agrees,
    Rule.WEEK_IN_UTC: _same_period_in_utc,
}


def figure(con: duckdb.DuckDBPyConnection, check: Check, table: str, calendar: Calendar) -> Figure:
    """The number a check of the table looks at."""
    return _FIGURES[check.rule](con, check, table, calendar)


def records(con: duckdb.DuckDBPyConnection, query: str) -> tuple[dict[str, Any], ...]:
    """The rows of a query, each by column; what JSON cannot hold, as text."""
    answer = con.execute(query)
    columns = [column[0] for column in answer.description or ()]
    return tuple(
        {column: _plain(value) for column, value in zip(columns, row, strict=True)}
        for row in answer.fetchall()
    )


def _plain(value: Any) -> Any:
    if isinstance(value, float) and isnan(value):
        return "NaN"
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _rows(con: duckdb.DuckDBPyConnection, check: Check, table: str, _: Calendar) -> Figure:
    (found,) = con.execute(f"select count(*) from {name(table)}").fetchall()[0]
    return Figure(found, evidence=({"rows": found},))


def _uncovered(con: duckdb.DuckDBPyConnection, check: Check, table: str, _: Calendar) -> Figure:
    """A null on the other side means everywhere, and covers all."""
    column = name(check.columns[0])
    other, theirs = map(name, str(check.references).split("."))
    values = records(
        con,
        f"""
        select {column}, count(*) as rows from {name(table)}
        where {column} is not null
          and {column} not in (select {theirs} from {other} where {theirs} is not null)
          and not exists (select 1 from {other} where {theirs} is null)
        group by 1 order by rows desc, 1
        """,
    )
    return Figure(len(values), len(values), values)


def _age(con: duckdb.DuckDBPyConnection, check: Check, table: str, calendar: Calendar) -> Figure:
    """Days between the newest event before the cut-off and the cut-off."""
    column, until = name(check.columns[0]), calendar.cutoff
    query = f"select max({column}) from {name(table)} where {column} < ?"
    (newest,) = con.execute(query, [until]).fetchall()[0]
    if newest is None:
        return Figure(None)
    days = (until - newest).total_seconds() / 86_400
    return Figure(days, evidence=({"newest": str(newest), "days": round(days, 1)},))


@dataclass(frozen=True)
class Period:
    """A local period: how many rows, on how many of its days."""

    starts: date
    rows: int
    days: int
    length: int

    @property
    def share(self) -> float:
        return self.days / self.length


def periods(
    con: duckdb.DuckDBPyConnection, table: str, column: str, calendar: Calendar
) -> tuple[Period, ...]:
    """The periods that have rows, the first first."""
    starts, day = calendar.period(name(column)), calendar.period(name(column), grain="day")
    grain = calendar.shop.grain
    query = f"""
        select {starts} as starts, count(*), count(distinct {day}),
               datediff('day', {starts}, ({starts} + interval 1 {grain})::date)
        from {name(table)} where {name(column)} is not null group by all order by starts
    """
    return tuple(Period(*row) for row in con.execute(query).fetchall())


def partial_ends(found: Sequence[Period]) -> tuple[Period, ...]:
    """The first and last period, where either has fewer days with rows than is usual.

    Usual is the median share of a period's days, so neither a shop that closes on Sundays nor a
    short month is partial.
    """
    if len(found) < 3:
        return ()
    usual = median(period.share for period in found)
    return tuple(period for period in (found[0], found[-1]) if period.share < PARTIAL * usual)


def last_volume(found: Sequence[Period]) -> float | None:
    """Rows of the last whole period against the median of those before it; None without any."""
    partial = partial_ends(found)
    whole = [period.rows for period in found if period not in partial]
    return whole[-1] / median(whole[:-1]) if len(whole) > 1 else None


def _partial(
    con: duckdb.DuckDBPyConnection, check: Check, table: str, calendar: Calendar
) -> Figure:
    partial = partial_ends(periods(con, table, check.columns[0], calendar))
    evidence = tuple(_shown(period) for period in partial)
    return Figure(len(partial), len(partial), evidence)


def _volume(con: duckdb.DuckDBPyConnection, check: Check, table: str, calendar: Calendar) -> Figure:
    found = periods(con, table, check.columns[0], calendar)
    return Figure(last_volume(found), evidence=tuple(_shown(period) for period in found[-2:]))


def _shown(period: Period) -> dict[str, Any]:
    return {"period": str(period.starts), "rows": period.rows, "days": period.days}


_FIGURES: dict[Rule, Callable[[duckdb.DuckDBPyConnection, Check, str, Calendar], Figure]] = {
    Rule.ROWS: _rows,
    Rule.COVERED: _uncovered,
    Rule.FRESH: _age,
    Rule.VOLUME: _volume,
    Rule.WHOLE_PERIODS: _partial,
}
