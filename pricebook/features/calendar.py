"""The periods of a shop: which are whole, when they end, and when shoppers are summarised."""

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
SHOPPER_DAYS = 91  # the window of a shopper: 13 weeks, or 13 months if the grain is a month


def period_of(day: date, grain: Grain) -> date:
    """The first day of the period of a local day; weeks start on Monday.

    >>> period_of(date(2017, 1, 1), "week")
    datetime.date(2016, 12, 26)
    """
    if grain == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if grain == "month" else day


def add_periods(day: date, grain: Grain, periods: int) -> date:
    """The day `periods` periods later, or earlier if negative.

    >>> add_periods(date(2017, 1, 1), "month", -13)
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
    as is a period that has not ended at `as_of`. Days are always whole.

    Args:
        trading: period: the number of its days that have an order line.

    Raises:
        EmptyHistory: no period is whole.
    """
    ended = sorted(period for period in trading if add_periods(period, grain, 1) <= as_of)
    usual = median(trading.values()) if trading and grain != "day" else 0
    if ended and trading[ended[0]] < usual:
        ended = ended[1:]
    if ended and trading[ended[-1]] < usual:
        ended = ended[:-1]
    if not ended:
        raise EmptyHistory(f"No whole {grain} of orders before {as_of}. Received: {len(trading)}")
    return tuple(_range(ended[0], ended[-1], grain))


def _range(first: date, last: date, grain: Grain) -> Iterable[date]:
    while first <= last:
        yield first
        first = add_periods(first, grain, 1)


def rows_table(rows: list[dict[str, Any]], schema: dict[str, str]) -> ir.Table:
    """An in-memory table of a few rows. The schema also holds if there are no rows."""
    arrow = ibis.schema(schema).to_pyarrow()
    return ibis.memtable(pa.Table.from_pylist(rows, schema=arrow))


@dataclass(frozen=True)
class Calendar:
    """The whole periods of a shop up to a cut-off.

    Attributes:
        grain: the length of a period.
        timezone: the IANA time zone of the shop.
        as_of: the local day at whose start the cut-off is.
        opened: the first local day with an order line.
        periods: the first day of each whole period, ascending, without gaps.
    """

    grain: Grain
    timezone: str
    as_of: date
    opened: date
    periods: tuple[date, ...]

    @property
    def cutoff(self) -> datetime:
        """The instant before which data may be read."""
        return self.instant(self.as_of)

    def instant(self, day: date) -> datetime:
        """The instant in UTC at which a local day begins."""
        return cutoff(day, self.timezone)

    @cached_property
    def regular_snapshots(self) -> tuple[date, ...]:
        """The ends of every fourth week, 28th day or month: shoppers are summarised there."""
        every = SNAPSHOT_EVERY[self.grain]
        return tuple(add_periods(day, self.grain, 1) for day in self.periods[every - 1 :: every])

    @cached_property
    def snapshots(self) -> tuple[date, ...]:
        """The regular snapshots and the cut-off, which has the latest state of every shopper."""
        return tuple(sorted({*self.regular_snapshots, self.as_of}))

    def window_start(self, snapshot: date) -> date:
        """The first day of the window that a snapshot of a shopper covers."""
        if self.grain == "month":
            return add_periods(snapshot, "month", -13)
        return snapshot - timedelta(days=SHOPPER_DAYS)

    def table(self) -> ir.Table:
        """One row per period: period, number, starts_at, event_timestamp (its end), segments_of.

        `segments_of` is the last regular snapshot before the period starts; null if none.
        """
        rows = [
            {
                "period": period,
                "number": number,
                "starts_at": self.instant(period),
                "event_timestamp": self.instant(add_periods(period, self.grain, 1)),
                "segments_of": max(
                    (day for day in self.regular_snapshots if day <= period), default=None
                ),
            }
            for number, period in enumerate(self.periods)
        ]
        instant = "timestamp('UTC', 6)"
        columns = {"period": "date", "number": "int64", "starts_at": instant}
        return rows_table(rows, {**columns, "event_timestamp": instant, "segments_of": "date"})

    def snapshot_table(self) -> ir.Table:
        """One row per snapshot: snapshot, event_timestamp (its instant), days (in its window)."""
        rows = [
            {
                "snapshot": day,
                "event_timestamp": self.instant(day),
                "days": (day - max(self.window_start(day), self.opened)).days,
            }
            for day in self.snapshots
        ]
        schema = {"snapshot": "date", "event_timestamp": "timestamp('UTC', 6)", "days": "int64"}
        return rows_table(rows, schema)

    def windows(self) -> ir.Table:
        """date, snapshot: one row for each day in the window of each snapshot."""
        pairs = [
            {"date": day, "snapshot": snapshot}
            for snapshot in self.snapshots
            for day in _days(max(self.window_start(snapshot), self.opened), snapshot)
        ]
        return rows_table(pairs, {"date": "date", "snapshot": "date"})

    def next_snapshots(self) -> ir.Table:
        """date, snapshot: the first snapshot after each day."""
        starts = (self.opened, *self.snapshots)
        spans = zip(starts, self.snapshots, strict=False)
        pairs = [
            {"date": day, "snapshot": end} for start, end in spans for day in _days(start, end)
        ]
        return rows_table(pairs, {"date": "date", "snapshot": "date"})


def _days(start: date, end: date) -> Iterable[date]:
    return (start + timedelta(days=number) for number in range((end - start).days))
