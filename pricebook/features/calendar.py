"""Periods of a shop's own calendar: which are whole, when they end, when shoppers are looked at."""

from __future__ import annotations

import calendar as gregorian
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import cached_property
from statistics import median
from typing import Any, Literal

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from pricebook.config import cutoff
from pricebook.errors import EmptyHistory

Grain = Literal["day", "week", "month"]

SNAPSHOT_EVERY: dict[Grain, int] = {"day": 28, "week": 4, "month": 1}
SHOPPER_DAYS = 91  # 13 weeks; a shop that counts in months looks back 13 of them


def period_of(day: date, grain: Grain) -> date:
    """The first day of the period a local day falls in; weeks start on Monday.

    >>> period_of(date(2017, 1, 1), "week")
    datetime.date(2016, 12, 26)
    """
    if grain == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if grain == "month" else day


def step(day: date, grain: Grain, periods: int) -> date:
    """The day `periods` periods later (earlier if negative).

    >>> step(date(2017, 1, 1), "month", -13)
    datetime.date(2015, 12, 1)
    """
    if grain != "month":
        return day + timedelta(days=periods * (7 if grain == "week" else 1))
    year, month = divmod(day.year * 12 + day.month - 1 + periods, 12)
    last = gregorian.monthrange(year, month + 1)[1]
    return date(year, month + 1, min(day.day, last))


def whole_periods(trading: Mapping[date, int], grain: Grain, as_of: date) -> tuple[date, ...]:
    """The periods from the first whole one to the last, without gaps.

    A first or last period with fewer trading days than the median period is partial and left out,
    as is one that has not ended at `as_of`. Days are always whole.

    Args:
        trading: period: the number of days in it that have an order line.

    Raises:
        EmptyHistory: no period is whole.
    """
    ended = sorted(period for period in trading if step(period, grain, 1) <= as_of)
    usual = median(trading.values()) if trading and grain != "day" else 0
    if ended and trading[ended[0]] < usual:
        ended = ended[1:]
    if ended and trading[ended[-1]] < usual:
        ended = ended[:-1]
    if not ended:
        raise EmptyHistory(f"No whole {grain} of orders before {as_of}. Received: {len(trading)}")
    return tuple(_from_to(ended[0], ended[-1], grain))


def _from_to(first: date, last: date, grain: Grain) -> Iterable[date]:
    while first <= last:
        yield first
        first = step(first, grain, 1)


def rows_table(rows: list[dict[str, Any]], schema: dict[str, str]) -> ir.Table:
    """A small in-memory table. Nulls stay nulls, and no rows still have a schema."""
    arrow = ibis.schema(schema).to_pyarrow()
    return ibis.memtable(pa.Table.from_pylist(rows, schema=arrow))


@dataclass(frozen=True)
class Calendar:
    """The whole periods of a shop up to a cut-off.

    `opened` is the first day with an order line; `periods` ascend without gaps.
    """

    grain: Grain
    timezone: str
    as_of: date
    opened: date
    periods: tuple[date, ...]

    @property
    def cutoff(self) -> datetime:
        return self.instant(self.as_of)

    def instant(self, day: date) -> datetime:
        """When a local day begins, in UTC."""
        return cutoff(day, self.timezone)

    @cached_property
    def regular(self) -> tuple[date, ...]:
        """Days at whose start shoppers are looked at: every few periods, counted from the first."""
        every = SNAPSHOT_EVERY[self.grain]
        ends = (step(period, self.grain, 1) for period in self.periods[every - 1 :: every])
        return tuple(ends)

    @cached_property
    def snapshots(self) -> tuple[date, ...]:
        """The regular ones, and the cut-off itself: the latest word on every shopper."""
        return tuple(sorted({*self.regular, self.as_of}))

    def looks_back_to(self, snapshot: date) -> date:
        """The first day of the window a shopper is judged on."""
        if self.grain == "month":
            return step(snapshot, "month", -13)
        return snapshot - timedelta(days=SHOPPER_DAYS)

    def table(self) -> ir.Table:
        """period, number, starts_at, event_timestamp (its end), segments_of (a snapshot or null).

        `segments_of` is the last regular snapshot taken before the period starts.
        """
        rows = [
            {
                "period": period,
                "number": number,
                "starts_at": self.instant(period),
                "event_timestamp": self.instant(step(period, self.grain, 1)),
                "segments_of": max((day for day in self.regular if day <= period), default=None),
            }
            for number, period in enumerate(self.periods)
        ]
        instant = "timestamp('UTC', 6)"
        columns = {"period": "date", "number": "int64", "starts_at": instant}
        return rows_table(rows, {**columns, "event_timestamp": instant, "segments_of": "date"})

    def snapshot_table(self) -> ir.Table:
        """snapshot, event_timestamp (the instant it begins), days (observed in its window)."""
        rows = [
            {
                "snapshot": day,
                "event_timestamp": self.instant(day),
                "days": (day - max(self.looks_back_to(day), self.opened)).days,
            }
            for day in self.snapshots
        ]
        schema = {"snapshot": "date", "event_timestamp": "timestamp('UTC', 6)", "days": "int64"}
        return rows_table(rows, schema)

    def windows(self) -> ir.Table:
        """date, snapshot: one row for each day inside the window of each snapshot."""
        pairs = [
            {"date": day, "snapshot": snapshot}
            for snapshot in self.snapshots
            for day in _days(max(self.looks_back_to(snapshot), self.opened), snapshot)
        ]
        return rows_table(pairs, {"date": "date", "snapshot": "date"})

    def next_snapshots(self) -> ir.Table:
        """date, snapshot: the first snapshot that sees each day."""
        starts = (self.opened, *self.snapshots)
        spans = zip(starts, self.snapshots, strict=False)
        pairs = [
            {"date": day, "snapshot": end} for start, end in spans for day in _days(start, end)
        ]
        return rows_table(pairs, {"date": "date", "snapshot": "date"})


def _days(start: date, end: date) -> Iterable[date]:
    return (start + timedelta(days=number) for number in range((end - start).days))
