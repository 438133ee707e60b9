"""The conditions of each series and period: promotions, stock, competitor and published prices."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from pricebook.config import Shop
from pricebook.features.calendar import Calendar
from pricebook.features.inputs import Tables, before, local_date, period_start, to_series_zone
from pricebook.features.series import KEYS, carry_forward

SHARES = ("display", "mailer", "promotion")
SPAN = ("starts_at", "ends_at")


def context(tables: Tables, series: ir.Table, calendar: Calendar, shop: Shop) -> ir.Table:
    """One row per sku, zone and period.

    Columns: display, mailer, promotion, on_hand_share, competitor_price, published. A missing
    value carries forward from the last period with a stock count or price. If there is none, the
    price is null and the sku counts as on hand. Without promotions the shares are 0.
    """
    cells = series.cross_join(calendar.table().select("period"))
    for measures in (
        promotion_shares(tables.promotions, series, calendar, shop),
        stock_shares(tables.inventory, series, calendar, shop),
        lowest_competitor_prices(tables.competitor_prices, series, calendar, shop),
        published_prices(tables.prices, series, calendar, shop),
    ):
        joined = cells.left_join(measures, [*KEYS, "period"])
        cells = joined.drop("sku_right", "zone_right", "period_right")
    for column in ("on_hand_share", "competitor_price", "published"):
        cells = carry_forward(cells, column)
    filled = {name: cells[name].fill_null(0.0) for name in SHARES}
    return cells.mutate(on_hand_share=cells.on_hand_share.fill_null(1.0), **filled)


def promotion_shares(
    promotions: ir.Table, series: ir.Table, calendar: Calendar, shop: Shop
) -> ir.Table:
    """The share of zones in which the sku was promoted at any time of a period.

    The denominator is the number of zones with any promotion in that period. A promotion without a
    zone applies to all zones. `display` and `mailer` come from the kind; `promotion` is
    any kind. In a shop that prices by zone each share is 0 or 1.
    """
    started = before(promotions, "starts_at", calendar.cutoff)
    promoted = to_series_zone(started.mutate(place=started.zone), series, shop)
    kind = promoted.kind.fill_null("")
    promoted = promoted.mutate(display=kind.contains("display"), mailer=kind.contains("mailer"))
    # Group before the join with periods: a shop has few distinct spans, so the join stays small.
    promoted = promoted.group_by(*KEYS, "place", *SPAN).agg(
        **_any_of(promoted, "display", "mailer")
    )
    running = _by_period(promoted, calendar)
    flags = running.group_by(*KEYS, "place", "period").agg(**_any_of(running, "display", "mailer"))
    flags = flags.mutate(promotion=True, everywhere=flags.place.isnull())
    if shop.by_zone:
        return flags.group_by(*KEYS, "period").agg(
            **{name: flag.cast("float64") for name, flag in _any_of(flags, *SHARES).items()}
        )
    zones = _by_period(started.select(*SPAN, "zone").distinct(), calendar)
    joined = flags.left_join(_count_zones(zones), "period").drop("period_right")
    return joined.group_by(*KEYS, "period").agg(
        **{name: _zone_share(joined, name) for name in SHARES}
    )


def _any_of(table: ir.Table, *names: str) -> dict[str, ir.BooleanScalar]:
    return {name: table[name].any() for name in names}


def _by_period(spans: ir.Table, calendar: Calendar) -> ir.Table:
    """Repeat each row for every whole period that its span from starts_at to ends_at overlaps."""
    distinct = spans.select(*SPAN).distinct()
    periods = calendar.table().select("period", from_="starts_at", until="event_timestamp")
    overlap = [distinct.starts_at < periods.until, distinct.ends_at > periods.from_]
    pairs = distinct.join(periods, overlap).select(*SPAN, "period")
    return spans.join(pairs, [*SPAN])


def _count_zones(zones: ir.Table) -> ir.Table:
    """period, zones: the number of zones in which anything is promoted."""
    distinct = zones.filter(zones.zone.notnull()).select("period", "zone").distinct()
    return distinct.group_by("period").agg(zones=distinct.count())


def _zone_share(flags: ir.Table, name: str) -> ir.FloatingScalar:
    on = flags[name]
    everywhere = (on & flags.everywhere).any()
    zones = on.sum(where=~flags.everywhere).fill_null(0)
    return ibis.ifelse(everywhere, 1.0, zones / flags.zones.max())


def stock_shares(inventory: ir.Table, series: ir.Table, calendar: Calendar, shop: Shop) -> ir.Table:
    """on_hand_share: the share of a period's stock counts above zero."""
    counts = to_series_zone(_observations(inventory, "observed_at", calendar), series, shop)
    return counts.group_by(*KEYS, "period").agg(
        on_hand_share=(counts.on_hand > 0).sum() / counts.count()
    )


def lowest_competitor_prices(
    prices: ir.Table, series: ir.Table, calendar: Calendar, shop: Shop
) -> ir.Table:
    """competitor_price: the lowest public competitor price observed in a period."""
    observed = public_prices(_observations(prices, "observed_at", calendar))
    observed = to_series_zone(observed, series, shop)
    lowest = observed.price.min().cast("float64")
    return observed.group_by(*KEYS, "period").agg(competitor_price=lowest)


def public_prices(competitor_prices: ir.Table) -> ir.Table:
    """Prices that any shopper can see. A price whose `public` is null counts as public."""
    return competitor_prices.filter(competitor_prices.public.fill_null(True))


def published_prices(
    prices: ir.Table, series: ir.Table, calendar: Calendar, shop: Shop
) -> ir.Table:
    """published: the last list price published in a period.

    A shop that does not price by zone gets one price for all zones: the last one, or the lowest of
    those published at the same instant.
    """
    published = to_series_zone(_observations(prices, "effective_from", calendar), series, shop)
    lowest = published.group_by(*KEYS, "period", "effective_from").agg(price=published.price.min())
    return lowest.group_by(*KEYS, "period").agg(
        published=lowest.price.argmax(lowest.effective_from).cast("float64")
    )


def _observations(table: ir.Table, column: str, calendar: Calendar) -> ir.Table:
    """The rows before the end of the last whole period, with their period.

    Rows before the first period get the first period.
    """
    end = calendar.table().event_timestamp.max().as_scalar()
    rows = table.filter(table[column] < end)
    day = local_date(rows[column], calendar.timezone)
    first = ibis.literal(calendar.periods[0])
    return rows.mutate(period=ibis.greatest(period_start(day, calendar.grain), first))
