"""The price book: every sku that can be sold, modelled or not, as known at the cut-off."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import ibis
import ibis.expr.types as ir

from pricebook.config import Costs, Shop
from pricebook.features.calendar import Calendar, rows_table
from pricebook.features.context import public_prices
from pricebook.features.inputs import ALL, Tables, before, local_date
from pricebook.features.series import KEYS

LOWEST_DAYS = 30

COLUMNS = (
    *KEYS,
    "name",
    "department",
    "category",
    "product_type",
    "list_price",
    "list_price_from",
    "lowest_30d",
    "sold_since",
    "reference_price",
    "last_price",
    "unit_cost",
    "cost_assumed",
    "map_price",
    "competitor_price",
    "modelled",
)


@dataclass(frozen=True)
class BookInputs:
    """The inputs of the price book.

    Attributes:
        tables: the canonical tables.
        lines: order lines, see `inputs.order_lines`.
        sales: their sums, see `series.period_sales`.
        series: the modelled series.
        calendar: the periods and the cut-off.
        shop: the shop.
        costs: the margins to assume where a product has no cost.
    """

    tables: Tables
    lines: ir.Table
    sales: ir.Table
    series: ir.Table
    calendar: Calendar
    shop: Shop
    costs: Costs


def price_book(inputs: BookInputs, reference_periods: int) -> ir.Table:
    """One row for each sku (in a zone) that has a list price; prices in whole minor units.

    list_price is the published price in force, else the product's, else the typical list price of
    its orders; `list_price_from` says which. A sku without any of them cannot be sold and is left
    out, as are the departments that the shop excludes. unit_cost is the product's, else the list
    price less the assumed margin (`cost_assumed` is then true), else null.

    lowest_30d is the lowest price of the last 30 days that is known without quotes: the lowest of
    the list price, the published prices and the daily mean prices charged. sold_since is the first
    day with an order or a published price; null if there is none.
    """
    tables, lines, sales = inputs.tables, inputs.lines, inputs.sales
    recent = _recent_sales(sales, reference_periods)
    rows = _sellable(tables, sales, inputs.shop)
    for prices in (
        _published(tables.prices, sales, inputs.calendar, inputs.shop),
        _ordered_at_list(lines, recent),
        _charged(recent),
        _lowest_charged(lines, inputs.calendar),
        _first_sold(lines),
        inputs.series.mutate(modelled=True),
    ):
        rows = rows.left_join(prices, [*KEYS]).drop("sku_right", "zone_right")
    competitors = _competitor_prices(tables.competitor_prices, inputs.calendar)
    rows = rows.left_join(competitors, "sku").drop("sku_right")
    return _with_costs(_with_list_price(rows), inputs.costs).select(*COLUMNS)


def _zones(sales: ir.Table, shop: Shop) -> ir.Table:
    if shop.by_zone:
        return sales.select("zone").distinct()
    return rows_table([{"zone": ALL}], {"zone": "string"})


def _sellable(tables: Tables, sales: ir.Table, shop: Shop) -> ir.Table:
    """sku, zone and product columns of each sku sold there before, or with a list price."""
    products = tables.products
    listed = products.filter(products.list_price.notnull()).select("sku")
    listed = listed.union(tables.prices.select("sku")).distinct()
    listed = listed.cross_join(_zones(sales, shop))
    keys = listed.union(sales.select(*KEYS)).distinct()
    described = keys.left_join(products, "sku").drop("sku_right")
    described = described.rename(product_list_price="list_price")
    described = described.mutate(name=ibis.coalesce(described.name, described.sku))
    if not shop.exclude_departments:
        return described
    return described.filter(~described.department.isin(shop.exclude_departments).fill_null(False))


def _recent_sales(sales: ir.Table, periods: int) -> ir.Table:
    """The last `periods` periods with sales of each sku.

    rank 0 is the last period; price is the net amount per unit.
    """
    positive = sales.filter((sales.units > 0) & (sales.revenue > 0))
    latest = ibis.window(group_by=list(KEYS), order_by=ibis.desc("period"))
    rank, price = ibis.row_number().over(latest), positive.revenue / positive.units
    ranked = positive.mutate(rank=rank, price=price)
    return ranked.filter(ranked["rank"] < periods)


def _charged(recent: ir.Table) -> ir.Table:
    return recent.group_by(*KEYS).agg(
        reference_price=_minor_units(recent.price.median()),
        last_price=_minor_units(recent.price.max(where=recent["rank"] == 0)),
        highest_price=_minor_units(recent.price.max()),
    )


def _ordered_at_list(lines: ir.Table, recent: ir.Table) -> ir.Table:
    """ordered_list_price: the list price of most units sold; the lowest if several tie."""
    listed = lines.filter((lines.list_amount > 0) & (lines.quantity > 0))
    listed = listed.semi_join(recent, [*KEYS, "period"])
    listed = listed.mutate(unit=_minor_units(listed.list_amount / listed.quantity))
    counted = listed.group_by(*KEYS, "unit").agg(units=listed.quantity.sum())
    common = ibis.window(group_by=list(KEYS), order_by=[ibis.desc("units"), "unit"])
    counted = counted.mutate(rank=ibis.row_number().over(common))
    return counted.filter(counted["rank"] == 0).select(*KEYS, ordered_list_price="unit")


def _lowest_charged(lines: ir.Table, calendar: Calendar) -> ir.Table:
    """lowest_charged: the lowest daily mean price of the last 30 days."""
    since = ibis.literal(calendar.as_of - timedelta(days=LOWEST_DAYS))
    daily = lines.filter(lines.date >= since).group_by(*KEYS, "date")
    daily = daily.agg(units=lambda t: t.quantity.sum(), revenue=lambda t: t.net_amount.sum())
    daily = daily.filter((daily.units > 0) & (daily.revenue > 0))
    lowest = daily.group_by(*KEYS)
    return lowest.agg(lowest_charged=lambda t: _minor_units((t.revenue / t.units).min()))


def _first_sold(lines: ir.Table) -> ir.Table:
    sold = lines.filter(lines.quantity > 0)
    return sold.group_by(*KEYS).agg(first_sold=sold.date.min())


def _published(prices: ir.Table, sales: ir.Table, calendar: Calendar, shop: Shop) -> ir.Table:
    """Published list prices.

    published: in force at the cut-off; lowest_published: lowest of 30 days; first_published: date.
    """
    known = _in_zones(before(prices, "effective_from", calendar.cutoff), sales, shop)
    known = known.group_by(*KEYS, "effective_from").agg(price=known.price.min())
    by_time = ibis.window(group_by=list(KEYS), order_by="effective_from")
    known = known.mutate(until=known.effective_from.lead().over(by_time))
    since = calendar.instant(calendar.as_of - timedelta(days=LOWEST_DAYS))
    recent = known.until.isnull() | (known.until > ibis.literal(since, type="timestamp('UTC', 6)"))
    return known.group_by(*KEYS).agg(
        published=known.price.max(where=known.until.isnull()),
        lowest_published=known.price.min(where=recent),
        first_published=local_date(known.effective_from.min(), calendar.timezone),
    )


def _in_zones(prices: ir.Table, sales: ir.Table, shop: Shop) -> ir.Table:
    """Copy a price without a zone to every zone."""
    columns = ("sku", "zone", "price", "effective_from")
    if not shop.by_zone:
        return prices.mutate(zone=ibis.literal(ALL)).select(*columns)
    everywhere = prices.filter(prices.zone.isnull()).drop("zone").cross_join(_zones(sales, shop))
    zoned = prices.filter(prices.zone.notnull()).select(*columns)
    return zoned.union(everywhere.select(*columns))


def _competitor_prices(prices: ir.Table, calendar: Calendar) -> ir.Table:
    """competitor_price: the lowest of the latest public prices of all competitors."""
    known = public_prices(before(prices, "observed_at", calendar.cutoff))
    lowest = known.group_by("sku", "competitor", "observed_at").agg(price=known.price.min())
    latest = lowest.group_by("sku", "competitor")
    latest = latest.agg(price=lambda t: t.price.argmax(t.observed_at))
    return latest.group_by("sku").agg(competitor_price=latest.price.min())


def _with_list_price(rows: ir.Table) -> ir.Table:
    ordered = ibis.coalesce(rows.ordered_list_price, rows.highest_price)
    source = ibis.cases(
        (rows.published.notnull(), "prices"),
        (rows.product_list_price.notnull(), "products"),
        else_="orders",
    )
    rows = rows.mutate(
        list_price=ibis.coalesce(rows.published, rows.product_list_price, ordered),
        list_price_from=source,
        modelled=rows.modelled.fill_null(False),
    )
    rows = rows.filter(rows.list_price > 0)
    last = ibis.coalesce(rows.last_price, rows.list_price)
    return rows.mutate(
        last_price=last,
        reference_price=ibis.coalesce(rows.reference_price, rows.list_price),
        lowest_30d=ibis.least(
            rows.list_price,
            ibis.coalesce(rows.lowest_published, rows.list_price),
            ibis.coalesce(rows.lowest_charged, last),
        ),
        sold_since=ibis.least(
            ibis.coalesce(rows.first_sold, rows.first_published),
            ibis.coalesce(rows.first_published, rows.first_sold),
        ),
    )


def _with_costs(rows: ir.Table, costs: Costs) -> ir.Table:
    margin = ibis.literal(costs.assumed_margin, type="float64")
    by_department = costs.assumed_margin_by_department.items()
    if by_department:
        cases = [
            (rows.department == name, ibis.literal(m, type="float64")) for name, m in by_department
        ]
        margin = ibis.cases(*cases, else_=margin)
    assumed = _minor_units(rows.list_price * (1 - margin))
    return rows.mutate(
        unit_cost=ibis.coalesce(rows.unit_cost, assumed),
        cost_assumed=rows.unit_cost.isnull() & assumed.notnull(),
    )


def _minor_units(price: ir.NumericValue) -> ir.IntegerValue:
    """Round to whole minor units."""
    return price.round().cast("int64")
