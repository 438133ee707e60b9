"""Shoppers: what their own orders say about them, and how segments of them buy each sku.

No demographic, and nothing from `customers.attributes`, is ever read here.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from pricebook.features.calendar import Calendar
from pricebook.features.series import KEYS, LONG, share, stamped, total, trailing

TOP_CATEGORIES = 5
SEGMENT_SNAPSHOTS = 4  # of sku_segment: the last few periods


def observed(
    lines: ir.Table, products: ir.Table, customers: ir.Table, calendar: Calendar
) -> ir.Table:
    """Each shopper seen so far, at each snapshot; `habits` gives them a segment.

    recency_days since the last order; over the last 13 weeks (months, if those are the periods), of
    which `days` were observed: orders_13, spend_13 in minor units, basket_mean (spend an order),
    discount_affinity (units bought `below` list among those `listed`, null if unknown),
    top_categories by spend with their shares of it.
    """
    own = lines.filter(lines.customer_id.notnull())
    known = _seen(own, calendar)
    for found in (_recent(own, calendar), _top_categories(own, products, calendar)):
        joined = known.left_join(found, ["customer_id", "snapshot"])
        known = joined.drop("customer_id_right", "snapshot_right")
    counts = ("orders_13", "spend_13", "listed", "below")
    known = known.mutate(**{name: known[name].fill_null(0) for name in counts})
    known = known.mutate(
        basket_mean=share(known.spend_13, known.orders_13),
        discount_affinity=share(known.below, known.listed),
    )
    consent = customers.select("customer_id", "consent_personalised")
    return known.left_join(consent, "customer_id").drop("customer_id_right")


def shopper(people: ir.Table, calendar: Calendar) -> ir.Table:
    """What is known of each shopper at each snapshot, their segment included."""
    return stamped(people, calendar.cutoff, "shopper_at").select(*SHOPPER_COLUMNS)


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


def _seen(own: ir.Table, calendar: Calendar) -> ir.Table:
    """customer_id, snapshot, event_timestamp, days, recency_days from the first order on."""
    spans = own.select("customer_id", "date").distinct().join(calendar.next_snapshots(), "date")
    last = spans.group_by("customer_id", "snapshot").agg(last_date=spans.date.max())
    first = last.group_by("customer_id").agg(since=last.snapshot.min())
    grid = first.cross_join(calendar.snapshot_table())
    grid = grid.filter(grid.snapshot >= grid.since).drop("since")
    seen = grid.left_join(last, ["customer_id", "snapshot"])
    seen = seen.drop("customer_id_right", "snapshot_right")
    before = ibis.window(group_by="customer_id", order_by="snapshot", preceding=None, following=0)
    seen = seen.mutate(last_date=seen.last_date.max().over(before))
    return seen.mutate(recency_days=seen.snapshot.delta(seen.last_date, unit="day")).drop(
        "last_date"
    )


def _recent(own: ir.Table, calendar: Calendar) -> ir.Table:
    visits = own.group_by("customer_id", "order_id", "date").agg(
        spend=own.net_amount.sum(),
        listed=own.quantity.sum(where=own.list_amount.notnull()).fill_null(0),
        below=own.quantity.sum(where=own.net_amount < own.list_amount).fill_null(0),
    )
    inside = visits.join(calendar.windows(), "date")
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
    each = ibis.window(group_by=["customer_id", "snapshot"])
    ranked = ibis.window(
        group_by=["customer_id", "snapshot"], order_by=[ibis.desc("spend"), "category"]
    )
    spent = spent.mutate(rank=ibis.row_number().over(ranked), total=spent.spend.sum().over(each))
    top = spent.filter((spent.rank < TOP_CATEGORIES) & (spent.spend > 0))
    return top.group_by("customer_id", "snapshot").agg(
        top_categories=top.category.collect(order_by=top["rank"]),
        top_category_shares=(top.spend / top.total).collect(order_by=top["rank"]),
    )


def segment_panel(
    lines: ir.Table, cells: ir.Table, people: ir.Table, calendar: Calendar
) -> ir.Table:
    """Each modelled series by segment and period, with 0 where a segment bought none.

    A line belongs to the segment its shopper was in at the last snapshot before the period starts;
    lines of shoppers not seen by then, and periods before the first snapshot, are left out.
    """
    named = people.select("customer_id", "snapshot", "segment")
    periods = calendar.table().filter(lambda t: t.segments_of.notnull())
    periods = periods.select("period", snapshot="segments_of")
    bought = lines.join(periods, "period").join(named, ["customer_id", "snapshot"])
    bought = bought.semi_join(cells, [*KEYS]).group_by(*KEYS, "segment", "period")
    sums = bought.agg(
        segment_units=lambda t: t.quantity.sum(),
        segment_revenue=lambda t: t.net_amount.sum(),
        segment_listed=lambda t: t.quantity.sum(where=t.list_amount.notnull()).fill_null(0),
        segment_below=lambda t: t.quantity.sum(where=t.net_amount < t.list_amount).fill_null(0),
    )
    segments = named.select("segment").distinct()
    grid = cells.semi_join(periods, "period").select(*KEYS, "period", "event_timestamp", "price")
    joined = grid.cross_join(segments).left_join(sums, [*KEYS, "segment", "period"])
    joined = joined.drop("sku_right", "zone_right", "segment_right", "period_right")
    measures = [name for name in joined.columns if name.startswith("segment_")]
    return joined.mutate(**{name: joined[name].fill_null(0) for name in measures})


def segment_period(cells: ir.Table, calendar: Calendar) -> ir.Table:
    """units a segment bought at the series' `price`; `price_paid` is its own mean, null if none."""
    paid = share(cells.segment_revenue, cells.segment_units)
    stamped_cells = stamped(
        cells.mutate(units=cells.segment_units, price_paid=paid), calendar.cutoff
    )
    when = ("period", "event_timestamp", "created_timestamp")
    return stamped_cells.select(*KEYS, "segment", *when, "units", "price", "price_paid")


def sku_segment(cells: ir.Table, calendar: Calendar) -> ir.Table:
    """A series in a segment over the last 13 periods, at the end of each of the last few."""
    window = trailing(LONG, *KEYS, "segment")
    totals = {
        name: total(cells[f"segment_{name}"], window)
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
    return stamped(known, calendar.cutoff, "sku_segment_at").select(
        *KEYS, "segment", *when, *measures
    )
