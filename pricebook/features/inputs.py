"""The canonical tables, with every column present, and the order lines features are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date, datetime

import ibis
import ibis.expr.datatypes as dt
import ibis.expr.types as ir

from pricebook.config import Shop, cutoff
from pricebook.contract import TABLES, Type
from pricebook.features.calendar import Grain, rows_table

ALL = "all"  # the zone of a shop that does not price by zone

IBIS_TYPES = {
    Type.STRING: "string",
    Type.INTEGER: "int64",
    Type.MONEY: "int64",
    Type.FLOAT: "float64",
    Type.BOOLEAN: "boolean",
    Type.TIMESTAMP: "timestamp('UTC', 6)",
    Type.DATE: "date",
}


@ibis.udf.scalar.builtin(name="timezone")  # type: ignore[untyped-decorator]
def _in_timezone(zone: str, at: dt.Timestamp(timezone="UTC")) -> dt.timestamp:  # type: ignore[valid-type]
    """SQL's `timezone(zone, instant)`: the wall clock there. (An Ibis cast drops the zone.)"""


def local_date(at: ir.TimestampColumn, timezone: str) -> ir.DateColumn:
    """The shop's own date at an instant."""
    return _in_timezone(timezone, at).date()


def period_start(day: ir.DateColumn, grain: Grain) -> ir.DateColumn:
    """The first day of the period of a local date; weeks start on Monday."""
    return day.truncate({"day": "D", "week": "W", "month": "M"}[grain])


@dataclass(frozen=True)
class Tables:
    """The canonical tables features use; one the shop does not have is there without rows."""

    orders: ir.Table
    products: ir.Table
    promotions: ir.Table
    customers: ir.Table
    prices: ir.Table
    inventory: ir.Table
    competitor_prices: ir.Table

    @classmethod
    def of(cls, given: Mapping[str, ir.Table]) -> Tables:
        """From the tables a shop has. `orders` must be among them."""
        names = [field.name for field in fields(cls)]
        return cls(
            **{
                name: complete(given[name], name) if name in given else empty(name)
                for name in names
            }
        )


def complete(table: ir.Table, name: str) -> ir.Table:
    """Every contract column of a table in its contract type; an absent one is null."""
    columns = {
        column.name: (table[column.name] if column.name in table.columns else ibis.null()).cast(
            IBIS_TYPES[column.type]
        )
        for column in TABLES[name].columns
    }
    return table.select(**columns)


def empty(name: str) -> ir.Table:
    """A canonical table without rows."""
    return rows_table([], {c.name: IBIS_TYPES[c.type] for c in TABLES[name].columns})


def before(table: ir.Table, column: str, instant: datetime) -> ir.Table:
    """The rows whose event time is strictly before an instant."""
    return table.filter(table[column] < ibis.literal(instant, type="timestamp('UTC', 6)"))


def dated(orders: ir.Table, shop: Shop, as_of: date) -> ir.Table:
    """Order lines before the cut-off, with the shop's own `date` and `period`.

    `zone` becomes the zone of the series: "all" unless the shop prices by zone, where a line
    without one is in zone "unknown".
    """
    lines = before(orders, "ordered_at", cutoff(as_of, shop.timezone))
    lines = lines.mutate(date=local_date(lines.ordered_at, shop.timezone))
    zone = lines.zone.fill_null("unknown") if shop.by_zone else ibis.literal(ALL)
    lines = lines.mutate(zone=zone, period=period_start(lines.date, shop.grain))
    amounts = ("quantity", "net_amount", "list_amount")
    return lines.select("order_id", "customer_id", "sku", "zone", "date", "period", *amounts)


def trading_days(lines: ir.Table) -> ir.Table:
    """period, days (with at least one line) and opened (the first of them)."""
    days = lines.select("period", "date").distinct()
    return days.group_by("period").agg(days=days.count(), opened=days.date.min())


def sold(lines: ir.Table, products: ir.Table, shop: Shop) -> ir.Table:
    """Lines without those of departments the shop leaves out."""
    left_out = products.filter(products.department.isin(shop.exclude_departments))
    return lines.anti_join(left_out, "sku") if shop.exclude_departments else lines


def to_series_zone(table: ir.Table, series: ir.Table, shop: Shop) -> ir.Table:
    """A table by sku and (nullable) zone, for the modelled series only.

    Where the shop prices by zone, a row without one counts in every zone of its sku; where it does
    not, zones are pooled under "all".
    """
    if not shop.by_zone:
        return table.semi_join(series, "sku").mutate(zone=ibis.literal(ALL))
    zoned = table.filter(table.zone.notnull()).semi_join(series, ["sku", "zone"])
    everywhere = table.filter(table.zone.isnull()).drop("zone")
    spread = everywhere.join(series.select("sku", "zone"), "sku")
    return zoned.union(spread.select(*zoned.columns))
