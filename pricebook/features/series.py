"""Series: units and price of each modelled sku (in a zone) in each whole period."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import ibis
import ibis.expr.types as ir

from pricebook.features.calendar import Calendar

KEYS = ("sku", "zone")
RECENT, LONG = 4, 13  # periods of the two trailing windows


def period_sales(lines: ir.Table) -> ir.Table:
    """Order lines summed by sku, zone and period, partial periods included.

    Returns lower units and revenue. The other measures count sales only: listed_units and
    list_amount of lines whose list amount is known, and units_below, those of them sold below list.
    """
    listed = lines.list_amount.notnull() & (lines.quantity > 0)
    below = (lines.net_amount < lines.list_amount) & (lines.quantity > 0)
    return lines.group_by("sku", "zone", "period").agg(
        units=lines.quantity.sum(),
        revenue=lines.net_amount.sum(),
        listed_units=lines.quantity.sum(where=listed).fill_null(0),
        list_amount=lines.list_amount.sum(where=listed).fill_null(0),
        units_below=lines.quantity.sum(where=below).fill_null(0),
    )


def modelled_series(sales: ir.Table, calendar: Calendar, min_periods: int) -> ir.Table:
    """sku, zone of the series to model, judged on the whole periods.

    Steady series have sales in at least `min_periods` of them. Seasonal series have sales in fewer
    periods, but in total as many units as the median steady series.
    """
    counted = _counted(sales, calendar)
    steady = counted.periods >= min_periods
    typical = counted.filter(steady).units.median().as_scalar()
    return counted.filter(steady | (counted.units >= typical)).select(*KEYS)


def most_periods(sales: ir.Table, calendar: Calendar) -> ir.IntegerScalar:
    """The whole periods with sales of the series that has most of them; null without sales."""
    return _counted(sales, calendar).periods.max()


def _counted(sales: ir.Table, calendar: Calendar) -> ir.Table:
    """sku, zone, periods (whole ones with sales), units in them."""
    inside = sales.period.between(calendar.periods[0], calendar.periods[-1])
    counted = sales.filter(inside & (sales.units > 0)).group_by(*KEYS)
    return counted.agg(periods=lambda t: t.count(), units=lambda t: t.units.sum())


def panel(sales: ir.Table, series: ir.Table, context: ir.Table, calendar: Calendar) -> ir.Table:
    """One row per modelled series and whole period, with everything known of the cell.

    units and revenue are 0 in a period without sales, and in one with more units returned than
    sold. Such a period has the published price, else the last known price. Before the first sale,
    the first known price is carried back, and `price_carried_back` is true.

    The list price is the published one, else the list amount per unit, carried likewise, else the
    highest price so far. known_price and known_list_price are the same without carrying back: what
    was known when the period ended.
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
    highest = cells.known_price.max().over(to_date())
    cells = cells.mutate(known_list_price=ibis.coalesce(cells.known_list_price, highest))
    return _carried_back(cells)


def _with_sales(grid: ir.Table, sales: ir.Table) -> ir.Table:
    joined = grid.left_join(sales, [*KEYS, "period"]).drop(
        "sku_right", "zone_right", "period_right"
    )
    measures = ("units", "revenue", "listed_units", "list_amount", "units_below")
    filled = joined.mutate(**{name: joined[name].fill_null(0) for name in measures})
    return zero_net_returns(filled, "units", "revenue")


def zero_net_returns(table: ir.Table, units: str, revenue: str) -> ir.Table:
    """Set units and revenue to 0 where units are negative: more came back than was sold.

    Demand cannot be negative, and the models take its logarithm. `net_returns` counts these rows.
    """
    returned = table[units] < 0
    return table.mutate(
        **{name: ibis.ifelse(returned, 0, table[name]) for name in (units, revenue)}
    )


def net_returns(sales: ir.Table, series: ir.Table, calendar: Calendar) -> ir.Table:
    """The modelled series and whole periods with more units returned than sold; units below 0."""
    inside = sales.period.between(calendar.periods[0], calendar.periods[-1])
    returned = sales.filter(inside & (sales.units < 0)).semi_join(series, [*KEYS])
    return returned.select(*KEYS, "period", "units")


def _carried_back(cells: ir.Table) -> ir.Table:
    """Add price and list_price, without nulls; known_price and known_list_price stay."""
    cells = cells.mutate(
        price=cells.known_price,
        list_price=cells.known_list_price,
        price_carried_back=cells.known_price.isnull(),
    )
    return carry_back(carry_back(cells, "price"), "list_price")


def to_date(*by: str) -> Any:
    """The window of a series' rows up to and including this one."""
    return ibis.window(group_by=by or KEYS, order_by="period", preceding=None, following=0)


def trailing(periods: int, *by: str) -> Any:
    """The window of a series' last `periods` rows, including this one."""
    return ibis.window(group_by=by or KEYS, order_by="period", preceding=periods - 1, following=0)


def window_sum(column: ir.IntegerColumn, window: Any) -> ir.IntegerColumn:
    """The sum over a window as an integer.

    DuckDB's sum of integers has 128 bits, which Parquet can only store as a float.
    """
    return column.cast("float64").sum().over(window).cast("int64")


def carry_forward(table: ir.Table, column: str, by: tuple[str, ...] = KEYS) -> ir.Table:
    """Replace nulls by the last value before them in the series."""
    run = table.mutate(_run=table[column].count().over(to_date(*by)))
    same_run = ibis.window(group_by=[*by, "_run"])
    return run.mutate(**{column: run[column].max().over(same_run)}).drop("_run")


def carry_back(table: ir.Table, column: str, by: tuple[str, ...] = KEYS) -> ir.Table:
    """Replace the nulls at the start of a series by its first value."""
    first = table.filter(table[column].notnull()).group_by(*by)
    first = first.agg(_first=lambda t: t[column].argmin(t.period))
    joined = table.left_join(first, [*by]).drop(*(f"{key}_right" for key in by))
    return joined.mutate(**{column: ibis.coalesce(joined[column], joined["_first"])}).drop("_first")


def with_created(table: ir.Table, created: datetime, known_at: str | None = None) -> ir.Table:
    """Add `created_timestamp`: the cut-off at which the feature row was computed.

    `known_at` names a copy of event_timestamp. The feature store returns it as a feature, so a
    reader can check from when the row is known.
    """
    table = table.mutate(created_timestamp=ibis.literal(created, type="timestamp('UTC', 6)"))
    return table if known_at is None else table.mutate(**{known_at: table.event_timestamp})


def sku_period(cells: ir.Table, calendar: Calendar) -> ir.Table:
    """The panel as models read it: one row per series and period."""
    return with_created(cells, calendar.cutoff, "sku_period_at").select(
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
    """The state of each series at the end of each period, from that period and earlier ones.

    A price is null before the first sale. periods_since_sale is 0 for a period with sales and null
    before the first.
    """
    known = cells.mutate(price_last=cells.known_price, list_price=cells.known_list_price)
    known = known.left_join(reference_prices(cells, reference_periods), [*KEYS, "period"])
    known = carry_forward(known.drop("sku_right", "zone_right", "period_right"), "reference_price")
    long = trailing(LONG)
    sums = {
        name: window_sum(known[name], long) for name in ("revenue", "listed_units", "units_below")
    }
    known = known.mutate(
        units_4=window_sum(known.units, trailing(RECENT)),
        units_13=window_sum(known.units, long),
        promotion_share_13=known.promotion.mean().over(long).round(6),
        last_sale=known.number.max(where=known.units > 0).over(to_date()),
        **{f"{name}_13": column for name, column in sums.items()},
    )
    known = known.mutate(
        price_mean_13=share(known.revenue_13, known.units_13),
        discount_share_13=share(known.units_below_13, known.listed_units_13),
        periods_since_sale=known.number - known.last_sale,
    )
    described = known.left_join(products, "sku").drop("sku_right", "list_price_right")
    return with_created(described, calendar.cutoff, "sku_at").select(*SKU_COLUMNS)


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


def share(part: ir.NumericColumn, total: ir.NumericColumn) -> ir.FloatingColumn:
    """part / total; null where the total is not above zero."""
    return ibis.ifelse(total > 0, part / total, None)
