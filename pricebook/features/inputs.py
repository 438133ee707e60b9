"""The canonical tables with every column present, and the order lines that features use."""

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

ALL = "all"  # the zone of every series in a shop that does not price by zone

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
    """SQL's `timezone(zone, instant)`: the local time there. An Ibis cast would drop the zone."""


def local_date(at: ir.TimestampColumn, timezone: str) -> ir.DateColumn:
    """The local date of an instant."""
    return _in_timezone(timezone, at).date()


def period_start(day: ir.DateColumn, grain: Grain) -> ir.DateColumn:
    """The first day of the period of a local date; weeks start on Monday."""
    return day.truncate({"day": "D", "week": "W", "month": "M"}[grain])


@dataclass(frozen=True)
class Tables:
    """The canonical tables that features use. A table that the shop lacks has no rows."""

    orders: ir.Table
    products: ir.Table
    promotions: ir.Table
    customers: ir.Table
    prices: ir.Table
    inventory: ir.Table
    competitor_prices: ir.Table

    @classmethod
    def from_mapping(cls, tables: Mapping[str, ir.Table]) -> Tables:
        """Build from the tables that a shop has, by name. `orders` is required."""
        names = [field.name for field in fields(cls)]
        return cls(
            **{
                name: with_all_columns(tables[name], name) if name in tables else empty_table(name)
                for name in names
            }
        )


def with_all_columns(table: ir.Table, name: str) -> ir.Table:
    """A canonical table with every column of the contract in its type; absent ones are null."""
    columns = {
        column.name: (table[column.name] if column.name in table.columns else ibis.null()).cast(
            IBIS_TYPES[column.type]
        )
        for column in TABLES[name].columns
    }
    return table.select(**columns)


def empty_table(name: str) -> ir.Table:
    """A canonical table without rows."""
    return rows_table([], {c.name: IBIS_TYPES[c.type] for c in TABLES[name].columns})


def before(table: ir.Table, column: str, instant: datetime) -> ir.Table:
    """The rows whose event time is strictly before an instant."""
    return table.filter(table[column] < ibis.literal(instant, type="timestamp('UTC', 6)"))


def order_lines(orders: ir.Table, shop: Shop, as_of: date) -> ir.Table:
    """Order lines before the cut-off, with their local `date` and `period`.

    `zone` becomes the zone of the series: "all", or in a shop that prices by zone the zone of the
    line ("unknown" if it has none). `place` is the zone of the line as the shop gave it.
    """
    lines = before(orders, "ordered_at", cutoff(as_of, shop.timezone))
    lines = lines.mutate(date=local_date(lines.ordered_at, shop.timezone))
    zone = lines.zone.fill_null("unknown") if shop.by_zone else ibis.literal(ALL)
    lines = lines.mutate(place=lines.zone, zone=zone, period=period_start(lines.date, shop.grain))
    amounts = ("quantity", "net_amount", "list_amount")
    keys = ("order_id", "customer_id", "sku", "zone", "place", "date", "period")
    return lines.select(*keys, *amounts)


def trading_days(lines: ir.Table) -> ir.Table:
    """One row per period: period, days (with a line), opened (the first of them)."""
    days = lines.select("period", "date").distinct()
    return days.group_by("period").agg(days=days.count(), opened=days.date.min())


def exclude_departments(lines: ir.Table, products: ir.Table, shop: Shop) -> ir.Table:
    """The lines without the skus of `shop.exclude_departments`."""
    excluded = products.filter(products.department.isin(shop.exclude_departments))
    return lines.anti_join(excluded, "sku") if shop.exclude_departments else lines


def to_series_zone(table: ir.Table, series: ir.Table, shop: Shop) -> ir.Table:
    """The rows of modelled series of a table with sku and (nullable) zone.

    In a shop that prices by zone, a row without a zone applies to every zone of its sku. In other
    shops all zones become "all".
    """
    if not shop.by_zone:
        return table.semi_join(series, "sku").mutate(zone=ibis.literal(ALL))
    zoned = table.filter(table.zone.notnull()).semi_join(series, ["sku", "zone"])
    everywhere = table.filter(table.zone.isnull()).drop("zone")
    copies = everywhere.join(series.select("sku", "zone"), "sku")
    return zoned.union(copies.select(*zoned.columns))
