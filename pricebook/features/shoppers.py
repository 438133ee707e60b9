"""Shoppers: features from their own orders, and how segments of shoppers buy each sku.

Nothing here reads demographics or `customers.attributes`.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from pricebook.features.calendar import Calendar
from pricebook.features.series import (
    KEYS,
    LONG,
    share,
    trailing,
    window_sum,
    with_created,
    zero_net_returns,
)

TOP_CATEGORIES = 5
SEGMENT_SNAPSHOTS = 4  # sku_segment has this many last periods


def shopper_snapshots(
    lines: ir.Table, products: ir.Table, customers: ir.Table, calendar: Calendar
) -> ir.Table:
    """One row per shopper and snapshot, from the first order on. Orders without a customer: none.

    Columns: recency_days since the last order, and over the window of the snapshot (13 weeks, or 13
    months), of which `days` are observed:

    - orders_13, spend_13 in minor units, basket_mean (spend per order)
    - discount_affinity: the share of units bought `below` list among those `listed`; null if none
    - top_categories by spend, and their shares of it
    """
    own = lines.filter(lines.customer_id.notnull())
    shoppers = _recency(own, calendar)
    for measures in (_orders_in_window(own, calendar), _top_categories(own, products, calendar)):
        joined = shoppers.left_join(measures, ["customer_id", "snapshot"])
        shoppers = joined.drop("customer_id_right", "snapshot_right")
    counts = ("orders_13", "spend_13", "listed", "below")
    shoppers = shoppers.mutate(**{name: shoppers[name].fill_null(0) for name in counts})
    shoppers = shoppers.mutate(
        basket_mean=share(shoppers.spend_13, shoppers.orders_13),
        discount_affinity=share(shoppers.below, shoppers.listed),
    )
    consent = customers.select("customer_id", "consent_personalised")
    return shoppers.left_join(consent, "customer_id").drop("customer_id_right")


def shopper(shoppers: ir.Table, calendar: Calendar) -> ir.Table:
    """The features of each shopper at each snapshot, with their segment."""
    return with_created(shoppers, calendar.cutoff, "shopper_at").select(*SHOPPER_COLUMNS)


SHOPPER_COLUMNS = (
    "customer_id",
    "event_timestamp",
    "created_timestamp",
    "recency_days",
    "orders_13",
    "spend_13",
    "basket_mean",
    "discount_affinity",
    "top_categories",
    "top_category_shares",
    "segment",
    "consent_personalised",
    "shopper_at",
)


def _recency(own: ir.Table, calendar: Calendar) -> ir.Table:
    """customer_id, snapshot, event_timestamp, days, recency_days from the first order on."""
    spans = own.select("customer_id", "date").distinct().join(calendar.next_snapshots(), "date")
    last = spans.group_by("customer_id", "snapshot").agg(last_date=spans.date.max())
    first = last.group_by("customer_id").agg(since=last.snapshot.min())
    grid = first.cross_join(calendar.snapshot_table())
    grid = grid.filter(grid.snapshot >= grid.since).drop("since")
    joined = grid.left_join(last, ["customer_id", "snapshot"])
    joined = joined.drop("customer_id_right", "snapshot_right")
    to_date = ibis.window(group_by="customer_id", order_by="snapshot", preceding=None, following=0)
    joined = joined.mutate(last_date=joined.last_date.max().over(to_date))
    days = joined.snapshot.delta(joined.last_date, unit="day")
    return joined.mutate(recency_days=days).drop("last_date")


def _orders_in_window(own: ir.Table, calendar: Calendar) -> ir.Table:
    """orders_13, spend_13, listed, below. Returns lower the spend; only sales count as units."""
    listed = own.list_amount.notnull() & (own.quantity > 0)
    below = (own.net_amount < own.list_amount) & (own.quantity > 0)
    orders = own.group_by("customer_id", "order_id", "date").agg(
        spend=own.net_amount.sum(),
        listed=own.quantity.sum(where=listed).fill_null(0),
        below=own.quantity.sum(where=below).fill_null(0),
    )
    inside = orders.join(calendar.windows(), "date")
    return inside.group_by("customer_id", "snapshot").agg(
        orders_13=inside.order_id.nunique(),
        spend_13=inside.spend.sum(),
        listed=inside.listed.sum(),
        below=inside.below.sum(),
    )


def _top_categories(own: ir.Table, products: ir.Table, calendar: Calendar) -> ir.Table:
    named = own.join(products.filter(products.category.notnull()).select("sku", "category"), "sku")
    daily = named.group_by("customer_id", "date", "category").agg(spend=named.net_amount.sum())
    inside = daily.join(calendar.windows(), "date")
    spent = inside.group_by("customer_id", "snapshot", "category").agg(spend=inside.spend.sum())
    spent = spent.filter(spent.spend > 0)
    keys = ["customer_id", "snapshot"]
    ranked = ibis.window(group_by=keys, order_by=[ibis.desc("spend"), "category"])
    total = spent.spend.sum().over(ibis.window(group_by=keys))
    spent = spent.mutate(rank=ibis.row_number().over(ranked), total=total)
    top = spent.filter(spent["rank"] < TOP_CATEGORIES)
    return top.group_by(*keys).agg(
        top_categories=top.category.collect(order_by=top["rank"]),
        top_category_shares=(top.spend / top.total).collect(order_by=top["rank"]),
    )


def segment_panel(
    lines: ir.Table, cells: ir.Table, shoppers: ir.Table, calendar: Calendar
) -> ir.Table:
    """One row per modelled series, segment and period; 0 where a segment bought nothing.

    A line belongs to the segment of its shopper at the last snapshot before the period starts.
    Lines of shoppers without a snapshot, and periods before the first snapshot, are left out. Where
    a segment returned more units than it bought, units and revenue are 0.
    """
    segment_of = shoppers.select("customer_id", "snapshot", "segment")
    periods = calendar.table().filter(lambda t: t.segments_of.notnull())
    periods = periods.select("period", snapshot="segments_of")
    bought = lines.join(periods, "period").join(segment_of, ["customer_id", "snapshot"])
    bought = bought.semi_join(cells, [*KEYS])
    listed = bought.list_amount.notnull() & (bought.quantity > 0)
    below = (bought.net_amount < bought.list_amount) & (bought.quantity > 0)
    sums = bought.group_by(*KEYS, "segment", "period").agg(
        segment_units=bought.quantity.sum(),
        segment_revenue=bought.net_amount.sum(),
        segment_listed=bought.quantity.sum(where=listed).fill_null(0),
        segment_below=bought.quantity.sum(where=below).fill_null(0),
    )
    segments = segment_of.select("segment").distinct()
    grid = cells.semi_join(periods, "period").select(*KEYS, "period", "event_timestamp", "price")
    joined = grid.cross_join(segments).left_join(sums, [*KEYS, "segment", "period"])
    joined = joined.drop("sku_right", "zone_right", "segment_right", "period_right")
    measures = [name for name in joined.columns if name.startswith("segment_")]
    filled = joined.mutate(**{name: joined[name].fill_null(0) for name in measures})
    return zero_net_returns(filled, "segment_units", "segment_revenue")


def segment_period(cells: ir.Table, calendar: Calendar) -> ir.Table:
    """The units that a segment bought at the series' `price`.

    `price_paid` is the mean price that the segment paid; null if it bought nothing.
    """
    paid = share(cells.segment_revenue, cells.segment_units)
    rows = with_created(cells.mutate(units=cells.segment_units, price_paid=paid), calendar.cutoff)
    when = ("period", "event_timestamp", "created_timestamp")
    return rows.select(*KEYS, "segment", *when, "units", "price", "price_paid")


def sku_segment(cells: ir.Table, calendar: Calendar) -> ir.Table:
    """The last 13 periods of a series in a segment, at the end of each of the last few periods."""
    window = trailing(LONG, *KEYS, "segment")
    totals = {
        name: window_sum(cells[f"segment_{name}"], window)
        for name in ("units", "revenue", "listed", "below")
    }
    known = cells.mutate(**totals)
    known = known.filter(known.period >= calendar.periods[-SEGMENT_SNAPSHOTS:][0])
    known = known.mutate(
        units_13=known.units,
        price_mean_13=share(known.revenue, known.units),
        discount_share_13=share(known.below, known.listed),
    )
    when = ("event_timestamp", "created_timestamp")
    measures = ("units_13", "price_mean_13", "discount_share_13", "sku_segment_at")
    return with_created(known, calendar.cutoff, "sku_segment_at").select(
        *KEYS, "segment", *when, *measures
    )
