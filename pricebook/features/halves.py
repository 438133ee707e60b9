"""Halves: units and price of each series and period in two halves of the shop's sales.

The price of a period is a mean of what a few shoppers paid. How much the two halves agree tells how
reliable it is (`models.prices.reliability`). Models read the halves only for training.
"""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from pricebook.config import Shop
from pricebook.features.calendar import Calendar
from pricebook.features.series import KEYS, with_created

MIN_UNITS_TO_SPLIT = 20  # stores or shoppers; with fewer of them, halves are uneven


def halved_by(lines: ir.Table, shop: Shop) -> str:
    """The column of `order_lines` whose values are divided into halves; runs a query.

    Stores (`place`), where the shop prices the same in all of them: shoppers of one store share its
    prices, so they would share its errors. Otherwise shoppers, otherwise orders.
    """
    counts = lines.agg(place=lines.place.nunique(), customer_id=lines.customer_id.nunique())
    counted = counts.to_pyarrow().to_pylist()[0]
    names = ("customer_id",) if shop.by_zone else ("place", "customer_id")
    return next((name for name in names if counted[name] >= MIN_UNITS_TO_SPLIT), "order_id")


def half_period(lines: ir.Table, series: ir.Table, calendar: Calendar, by: str) -> ir.Table:
    """One row per modelled series and whole period with sales: units_a, price_a, units_b, price_b.

    A half is a hash of the value of `by`, so it is the same in every run and for every sku. A line
    without such a value goes by its order. A price is null, and units are 0, where a half sold
    nothing, or returned more than it sold.
    """
    key = ibis.coalesce(lines[by], lines.order_id)
    is_a = (ibis.literal("half:") + key).hexdigest("md5").substr(0, 1) < "8"
    sums = lines.mutate(is_a=is_a).semi_join(series, [*KEYS]).group_by(*KEYS, "period")
    halves = sums.agg(
        units_a=lambda t: t.quantity.sum(where=t.is_a),
        revenue_a=lambda t: t.net_amount.sum(where=t.is_a),
        units_b=lambda t: t.quantity.sum(where=~t.is_a),
        revenue_b=lambda t: t.net_amount.sum(where=~t.is_a),
    )
    halves = halves.mutate(**_measures(halves, "a"), **_measures(halves, "b"))
    periods = calendar.table().select("period", "event_timestamp")
    known = halves.join(periods, "period")
    columns = ("units_a", "price_a", "units_b", "price_b")
    return with_created(known, calendar.cutoff).select(
        *KEYS, "period", "event_timestamp", "created_timestamp", *columns
    )


def _measures(halves: ir.Table, half: str) -> dict[str, ir.Value]:
    units, revenue = halves[f"units_{half}"], halves[f"revenue_{half}"]
    sold = (units > 0) & (revenue > 0)
    return {
        f"units_{half}": ibis.ifelse(sold, units, 0),
        f"price_{half}": ibis.ifelse(sold, revenue / units, None),
    }
