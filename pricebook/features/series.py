"""Series: units and price of each modelled sku (in a zone) in each whole period."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import ibis
import ibis.expr.types as ir

from pricebook.features.calendar import Calendar

KEYS = ("sku", "zone")
RECENT, LONG = 4, 13  # periods a trailing window spans


def period_sales(lines: ir.Table) -> ir.Table:
    """Lines summed by sku, zone and period, partial periods included.

    listed_units and list_amount count only lines whose list amount is known; units_below are those
    of them sold below list.
    """
    listed = lines.list_amount.notnull()
    return lines.group_by("sku", "zone", "period").agg(
        units=lines.quantity.sum(),
        revenue=lines.net_amount.sum(),
        listed_units=lines.quantity.sum(where=listed).fill_null(0),
        list_amount=lines.list_amount.sum(where=listed).fill_null(0),
        units_below=lines.quantity.sum(where=lines.net_amount < lines.list_amount).fill_null(0),
    )


def modelled(sales: ir.Table, calendar: Calendar, min_periods: int) -> ir.Table:
    """sku, zone of the series worth modelling, judged on the whole periods.

    Those with sales in at least `min_periods` of them; and seasonal ones, which sell in fewer but
    as many units in all as the median of the former.
    """
    inside = sales.period.between(calendar.periods[0], calendar.periods[-1])
    counted = sales.filter(inside & (sales.units > 0)).group_by(*KEYS)
    counted = counted.agg(periods=lambda t: t.count(), units=lambda t: t.units.sum())
    steady = counted.periods >= min_periods
    typical = counted.filter(steady).units.median().as_scalar()
    return counted.filter(steady | (counted.units >= typical)).select(*KEYS)


def panel(sales: ir.Table, series: ir.Table, context: ir.Table, calendar: Calendar) -> ir.Table:
    """The full grid of modelled series by whole periods, with everything known of each cell.

    A period without sales has 0 units and the published price, else the last price known; before
    the first sale, the first price known is carried back and `price_carried_back` says so. The
    list price is the published one, else the list amount per unit, carried likewise, else the
    highest price seen so far. known_price and known_list_price are these without the carrying back:
    what was known when the period ended.
    """
    grid = series.cross_join(calendar.table().select("period", "number", "event_timestamp"))
    cells = _with_sales(grid, sales).left_join(context, [*KEYS, "period"], rname="{name}_right")
    cells = cells.drop("sku_right", "zone_right", "period_right")
    cells = cells.mutate(
        own_price=ibis.ifelse(
            (cells.units > 0) & (cells.revenue > 0), cells.revenue / cells.units, None
        ),
        list_price=ibis.ifelse(
            cells.listed_units > 0, cells.list_amount / cells.listed_units, None
        ),
    )
    cells = cells.mutate(
        known_price=ibis.coalesce(cells.own_price, cells.published),
        known_list_price=ibis.coalesce(cells.published, cells.list_price),
    )
    cells = carry_forward(carry_forward(cells, "known_price"), "known_list_price")
    highest = cells.known_price.max().over(so_far())
    cells = cells.mutate(known_list_price=ibis.coalesce(cells.known_list_price, highest))
    return _carried_back(cells)


def _with_sales(grid: ir.Table, sales: ir.Table) -> ir.Table:
    joined = grid.left_join(sales, [*KEYS, "period"]).drop(
        "sku_right", "zone_right", "period_right"
    )
    measures = ("units", "revenue", "listed_units", "list_amount", "units_below")
    return joined.mutate(**{name: joined[name].fill_null(0) for name in measures})


def _carried_back(cells: ir.Table) -> ir.Table:
    """price and list_price without nulls; what was known at the time stays beside them."""
    cells = cells.mutate(
        price=cells.known_price,
        list_price=cells.known_list_price,
        price_carried_back=cells.known_price.isnull(),
    )
    return carry_back(carry_back(cells, "price"), "list_price")


def so_far(*by: str) -> Any:
    """A series' rows up to this one."""
    return ibis.window(group_by=by or KEYS, order_by="period", preceding=None, following=0)


def trailing(periods: int, *by: str) -> Any:
    """A series' last rows, this one included."""
    return ibis.window(group_by=by or KEYS, order_by="period", preceding=periods - 1, following=0)


def total(column: ir.IntegerColumn, window: Any) -> ir.IntegerColumn:
    """The sum over a window, as an integer; DuckDB's own is 128 bits, a float once in Parquet."""
    return column.cast("float64").sum().over(window).cast("int64")


def carry_forward(table: ir.Table, column: str, by: tuple[str, ...] = KEYS) -> ir.Table:
    """Replace nulls by the last value before them in the series."""
    run = table.mutate(_run=table[column].count().over(so_far(*by)))
    held = ibis.window(group_by=[*by, "_run"])
    return run.mutate(**{column: run[column].max().over(held)}).drop("_run")


def carry_back(table: ir.Table, column: str, by: tuple[str, ...] = KEYS) -> ir.Table:
    """Replace the leading nulls that carrying forward leaves by the series' first value."""
    first = table.filter(table[column].notnull()).group_by(*by)
    first = first.agg(_first=lambda t: t[column].argmin(t.period))
    joined = table.left_join(first, [*by]).drop(*(f"{key}_right" for key in by))
    return joined.mutate(**{column: ibis.coalesce(joined[column], joined["_first"])}).drop("_first")


def stamped(table: ir.Table, created: datetime, known_at: str | None = None) -> ir.Table:
    """With `created_timestamp`: the cut-off the feature row was computed at.

    `known_at` names a copy of event_timestamp that a feature store hands back with the features,
    so a reader can check what it was given.
    """
    table = table.mutate(created_timestamp=ibis.literal(created, type="timestamp('UTC', 6)"))
    return table if known_at is None else table.mutate(**{known_at: table.event_timestamp})


def sku_period(cells: ir.Table, calendar: Calendar) -> ir.Table:
    """The panel as models read it; one row for each series and period."""
    return stamped(cells, calendar.cutoff, "sku_period_at").select(
        "sku",
        "zone",
        "period",
        "event_timestamp",
        "created_timestamp",
        "units",
        "revenue",
        "price",
        "list_price",
        "display",
        "mailer",
        "promotion",
        "on_hand_share",
        "competitor_price",
        "price_carried_back",
        "sku_period_at",
    )


def sku(
    cells: ir.Table, products: ir.Table, calendar: Calendar, reference_periods: int
) -> ir.Table:
    """What is known of each series at the end of each period, from that period and those before.

    A price is null until there has been one. periods_since_sale is 0 for a period with sales and
    null before the first.
    """
    known = cells.mutate(price_last=cells.known_price, list_price=cells.known_list_price)
    known = known.left_join(reference_prices(cells, reference_periods), [*KEYS, "period"])
    known = carry_forward(known.drop("sku_right", "zone_right", "period_right"), "reference_price")
    long = trailing(LONG)
    sums = {name: total(known[name], long) for name in ("revenue", "listed_units", "units_below")}
    known = known.mutate(
        units_4=total(known.units, trailing(RECENT)),
        units_13=total(known.units, long),
        promotion_share_13=known.promotion.mean().over(long).round(6),
        last_sale=known.number.max(where=known.units > 0).over(so_far()),
        **{f"{name}_13": column for name, column in sums.items()},
    )
    known = known.mutate(
        price_mean_13=share(known.revenue_13, known.units_13),
        discount_share_13=share(known.units_below_13, known.listed_units_13),
        periods_since_sale=known.number - known.last_sale,
    )
    described = known.left_join(products, "sku").drop("sku_right", "list_price_right")
    return stamped(described, calendar.cutoff, "sku_at").select(*SKU_COLUMNS)


SKU_COLUMNS = (
    "sku",
    "zone",
    "period",
    "event_timestamp",
    "created_timestamp",
    "department",
    "category",
    "product_type",
    "brand",
    "units_4",
    "units_13",
    "price_last",
    "price_mean_13",
    "reference_price",
    "discount_share_13",
    "promotion_share_13",
    "periods_since_sale",
    "list_price",
    "sku_at",
)


def reference_prices(cells: ir.Table, periods: int) -> ir.Table:
    """sku, zone, period, reference_price: the median net price of the last periods with sales."""
    priced = cells.filter(cells.own_price.notnull())
    return priced.select(
        *KEYS, "period", reference_price=priced.own_price.median().over(trailing(periods))
    )


def share(part: ir.NumericColumn, whole: ir.NumericColumn) -> ir.FloatingColumn:
    """part / whole; null where whole is not above zero."""
    return ibis.ifelse(whole > 0, part / whole, None)
