"""What each check of the contract measures, in SQL that DuckDB runs.

There are two kinds of checks:

- A row check is a predicate that each row passes or fails (`row_predicate`). `Rule.UNIQUE` also
  judges rows, but looks at other rows; `pipelines.checks.quarantine` handles it.
- A table check compares one figure of the whole table with a limit (`measure`).

Nothing here decides whether a check passes. Great Expectations does, in `pipelines.checks.suites`.
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

# An end period is partial below this share of the usual days with orders: 6 of 7 days is partial.
PARTIAL = 0.9
TABLE_RULES = frozenset(
    {
        *(Rule.ROWS, Rule.COVERED, Rule.FRESH, Rule.VOLUME, Rule.WHOLE_PERIODS, Rule.NET_SALES),
        Rule.QUARANTINED,
    }
)


@dataclass(frozen=True)
class Figure:
    """One number about a table.

    Attributes:
        value: what the check compares with its limit; None where there is nothing to measure.
        count: how many rows, values or periods fail; 1 if the table as a whole is judged.
        evidence: a few of them, for the alert.
    """

    value: float | None
    count: int = 1
    evidence: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Calendar:
    """The cut-off and the periods of a shop, as SQL."""

    as_of: date
    shop: Shop

    @property
    def cutoff(self) -> datetime:
        return cutoff(self.as_of, self.shop.timezone)

    def period(self, column: str, timezone: str | None = None, grain: str | None = None) -> str:
        """SQL for the first local date of the period that an instant falls in."""
        grain, zone = grain or self.shop.grain, timezone or self.shop.timezone
        return f"date_trunc('{grain}', {column} at time zone '{zone}')::date"


def name(identifier: str) -> str:
    """Quote a column or table name for SQL.

    >>> name("zone")
    '"zone"'
    """
    return '"' + identifier.replace('"', '""') + '"'


def row_predicate(check: Check, table: str, calendar: Calendar) -> str:
    """SQL that is true for a row that passes a check.

    A null passes: whether a value may be absent is the question of NOT_NULL.
    """
    return f"coalesce({_PREDICATES[check.rule](check, table, calendar)}, true)"


def _column(check: Check) -> str:
    return name(check.columns[0])


def _known(check: Check, table: str, calendar: Calendar) -> str:
    other, _, column = str(check.references).partition(".")
    key = name(column)
    return f"{_column(check)} in (select {key} from {name(other)} where {key} is not null)"


def _looked_up(check: Check, table: str, calendar: Calendar) -> str:
    other, _, column = str(check.references).partition(".")
    key = name(TABLES[other].key[0])
    keys = f"select {key} from {name(other)} where {name(column)} is not null"
    return f"{_column(check)} in ({keys})"


def _before_cutoff(check: Check, table: str, calendar: Calendar) -> str:
    return f"{_column(check)} < timestamptz '{calendar.cutoff.isoformat()}'"


def _week_agrees(check: Check, table: str, calendar: Calendar) -> str:
    event_time = name(str(TABLES[table].event_time))
    return f"{_column(check)} = {calendar.period(event_time, grain='week')}"


def _same_period_in_utc(check: Check, table: str, calendar: Calendar) -> str:
    column = _column(check)
    return f"{calendar.period(column, 'UTC')} = {calendar.period(column)}"


def _one_of(check: Check, table: str, calendar: Calendar) -> str:
    values = ", ".join("'" + value.replace("'", "''") + "'" for value in check.values)
    return f"{_column(check)} in ({values})"


_PREDICATES: dict[Rule, Callable[[Check, str, Calendar], str]] = {
    Rule.NOT_NULL: lambda check, *_: f"{_column(check)} is not null",
    Rule.AT_LEAST: lambda check, *_: f"{_column(check)} >= {check.limit}",
    Rule.AT_MOST: lambda check, *_: f"{_column(check)} <= {check.limit}",
    Rule.SALE_AT_LEAST: lambda check, *_: f"({_column(check)} >= {check.limit} or quantity < 0)",
    Rule.WITHIN: lambda check, *_: f"abs({_column(check)}) <= {check.limit}",
    Rule.NOT_EQUAL: lambda check, *_: f"{_column(check)} <> {check.limit}",
    Rule.ONE_OF: _one_of,
    Rule.NOT_ABOVE: lambda check, *_: " <= ".join(map(name, check.columns)),
    Rule.KNOWN: _known,
    Rule.LOOKED_UP: _looked_up,
    Rule.BEFORE_CUTOFF: _before_cutoff,
    Rule.WEEK_AGREES: _week_agrees,
    Rule.WEEK_IN_UTC: _same_period_in_utc,
}


def measure(con: duckdb.DuckDBPyConnection, check: Check, table: str, calendar: Calendar) -> Figure:
    """The figure that a table check compares with its limit."""
    return _FIGURES[check.rule](con, check, table, calendar)


def records(con: duckdb.DuckDBPyConnection, query: str) -> tuple[dict[str, Any], ...]:
    """The rows of a query as dictionaries. Values that JSON cannot hold become text."""
    cursor = con.execute(query)
    columns = [column[0] for column in cursor.description or ()]
    return tuple(
        {column: _json_value(value) for column, value in zip(columns, row, strict=True)}
        for row in cursor.fetchall()
    )


def _json_value(value: Any) -> Any:
    if isinstance(value, float) and isnan(value):
        return "NaN"
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def _row_count(con: duckdb.DuckDBPyConnection, check: Check, table: str, _: Calendar) -> Figure:
    (rows,) = con.execute(f"select count(*) from {name(table)}").fetchall()[0]
    return Figure(rows, evidence=({"rows": rows},))


def _uncovered(con: duckdb.DuckDBPyConnection, check: Check, table: str, _: Calendar) -> Figure:
    """Values that the other table lacks. A null in the other table means "everywhere"."""
    column = _column(check)
    other, other_column = map(name, str(check.references).split("."))
    values = records(
        con,
        f"""
        select {column}, count(*) as rows from {name(table)}
        where {column} is not null
          and {column} not in
              (select {other_column} from {other} where {other_column} is not null)
          and not exists (select 1 from {other} where {other_column} is null)
        group by 1 order by rows desc, 1
        """,
    )
    return Figure(len(values), len(values), values)


def _age(con: duckdb.DuckDBPyConnection, check: Check, table: str, calendar: Calendar) -> Figure:
    """Days from the newest event before the cut-off to the cut-off."""
    column, until = _column(check), calendar.cutoff
    query = f"select max({column}) from {name(table)} where {column} < ?"
    (newest,) = con.execute(query, [until]).fetchall()[0]
    if newest is None:
        return Figure(None)
    days = (until - newest).total_seconds() / 86_400
    return Figure(days, evidence=({"newest": str(newest), "days": round(days, 1)},))


def _net_returns(
    con: duckdb.DuckDBPyConnection, check: Check, table: str, calendar: Calendar
) -> Figure:
    """Series and periods in which more units came back than were sold.

    Rows that go to quarantine do not count: `refused` has their numbers once the table is split.
    """
    zoned = calendar.shop.by_zone and "zone" in con.view(table).columns
    zone = '"zone"' if zoned else "'all'"
    event_time = name(str(TABLES[table].event_time))
    periods = records(
        con,
        f"""
        select "sku", {zone} as zone, {calendar.period(event_time)} as period,
               sum("quantity") as units
        from {name(table)} anti join refused using ("row")
        where {event_time} is not null
        group by all having units < 0 order by units, sku, zone, period
        """,
    )
    return Figure(len(periods), len(periods), periods)


@dataclass(frozen=True)
class Period:
    """A local period of a table.

    Attributes:
        starts: its first day.
        rows: rows in it.
        days: days of it that have a row.
        length: days it has.
    """

    starts: date
    rows: int
    days: int
    length: int

    @property
    def share(self) -> float:
        """The share of its days that have a row."""
        return self.days / self.length


def count_periods(
    con: duckdb.DuckDBPyConnection, table: str, column: str, calendar: Calendar
) -> tuple[Period, ...]:
    """The periods that have rows, in order of time."""
    starts, day = calendar.period(name(column)), calendar.period(name(column), grain="day")
    grain = calendar.shop.grain
    query = f"""
        select {starts} as starts, count(*), count(distinct {day}),
               datediff('day', {starts}, ({starts} + interval 1 {grain})::date)
        from {name(table)} where {name(column)} is not null group by all order by starts
    """
    return tuple(Period(*row) for row in con.execute(query).fetchall())


def partial_ends(periods: Sequence[Period]) -> tuple[Period, ...]:
    """The first and last period, if fewer of their days have rows than is usual.

    Usual is the median share over all periods. So a shop that closes on Sundays has no partial
    weeks, and a short month is not a partial one.
    """
    if len(periods) < 3:
        return ()
    usual = median(period.share for period in periods)
    return tuple(period for period in (periods[0], periods[-1]) if period.share < PARTIAL * usual)


def last_volume(periods: Sequence[Period]) -> float | None:
    """Rows of the last whole period over the median of those before; None if there are none."""
    partial = partial_ends(periods)
    rows = [period.rows for period in periods if period not in partial]
    return rows[-1] / median(rows[:-1]) if len(rows) > 1 else None


def _partial(
    con: duckdb.DuckDBPyConnection, check: Check, table: str, calendar: Calendar
) -> Figure:
    partial = partial_ends(count_periods(con, table, check.columns[0], calendar))
    return Figure(len(partial), len(partial), tuple(map(_period_evidence, partial)))


def _volume(con: duckdb.DuckDBPyConnection, check: Check, table: str, calendar: Calendar) -> Figure:
    periods = count_periods(con, table, check.columns[0], calendar)
    return Figure(last_volume(periods), evidence=tuple(map(_period_evidence, periods[-2:])))


def _period_evidence(period: Period) -> dict[str, Any]:
    return {"period": str(period.starts), "rows": period.rows, "days": period.days}


_FIGURES: dict[Rule, Callable[[duckdb.DuckDBPyConnection, Check, str, Calendar], Figure]] = {
    Rule.ROWS: _row_count,
    Rule.COVERED: _uncovered,
    Rule.FRESH: _age,
    Rule.VOLUME: _volume,
    Rule.WHOLE_PERIODS: _partial,
    Rule.NET_SALES: _net_returns,
}
