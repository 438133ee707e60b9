"""What surrounds a series in a period: promotions, stock, rivals' and published prices."""

from __future__ import annotations

import ibis
import ibis.expr.types as ir

from pricebook.config import Shop
from pricebook.features.calendar import Calendar
from pricebook.features.inputs import Tables, before, local_date, period_start, to_series_zone
from pricebook.features.series import KEYS, carry_forward

SHARES = ("display", "mailer", "promotion")


def context(tables: Tables, series: ir.Table, calendar: Calendar, shop: Shop) -> ir.Table:
    """display, mailer, promotion, on_hand_share, competitor_price and published of each cell.

    A cell is a sku, zone and period. Without promotions the shares are 0; without stock records a
    sku counts as on hand; prices that nobody published or saw are null. What was last known is
    carried forward.
    """
    cells = series.cross_join(calendar.table().select("period"))
    for found in (
        promotion_shares(tables.promotions, series, calendar, shop),
        stock_shares(tables.inventory, series, calendar, shop),
        rival_prices(tables.competitor_prices, series, calendar, shop),
        published_prices(tables.prices, series, calendar, shop),
    ):
        joined = cells.left_join(found, [*KEYS, "period"])
        cells = joined.drop("sku_right", "zone_right", "period_right")
    for column in ("on_hand_share", "competitor_price", "published"):
        cells = carry_forward(cells, column)
    filled = {name: cells[name].fill_null(0.0) for name in SHARES}
    return cells.mutate(on_hand_share=cells.on_hand_share.fill_null(1.0), **filled)


def promotion_shares(
    promotions: ir.Table, series: ir.Table, calendar: Calendar, shop: Shop
) -> ir.Table:
    """The share of promotion-covered zones in which the sku was promoted at any time of a period.

    A zone is covered in a period if anything is promoted in it; a promotion without a zone is on
    everywhere. `display` and `mailer` are read from the kind, `promotion` is any kind. In a shop
    that prices by zone each share is 0 or 1.
    """
    running = _by_period(before(promotions, "starts_at", calendar.cutoff), calendar)
    wanted = to_series_zone(running.mutate(place=running.zone), series, shop)
    kind = wanted.kind.fill_null("")
    wanted = wanted.mutate(display=kind.contains("display"), mailer=kind.contains("mailer"))
    place = wanted.group_by(*KEYS, "place", "period")
    flags = place.agg(display=lambda t: t.display.any(), mailer=lambda t: t.mailer.any())
    flags = flags.mutate(promotion=True, everywhere=flags.place.isnull())
    if shop.by_zone:
        return flags.group_by(*KEYS, "period").agg(
            **{name: flags[name].any().cast("float64") for name in SHARES}
        )
    joined = flags.left_join(_covered_zones(running), "period").drop("period_right")
    return joined.group_by(*KEYS, "period").agg(
        **{name: _zone_share(joined, name) for name in SHARES}
    )


def _by_period(promotions: ir.Table, calendar: Calendar) -> ir.Table:
    """Each promotion once for each whole period it touches (few distinct spans, many rows)."""
    spans = promotions.select("starts_at", "ends_at").distinct()
    periods = calendar.table().select("period", from_="starts_at", until="event_timestamp")
    spans = spans.join(periods, [spans.starts_at < periods.until, spans.ends_at > periods.from_])
    spans = spans.select("starts_at", "ends_at", "period")
    return promotions.join(spans, ["starts_at", "ends_at"]).select("sku", "zone", "kind", "period")


def _covered_zones(running: ir.Table) -> ir.Table:
    zones = running.filter(running.zone.notnull()).select("period", "zone").distinct()
    return zones.group_by("period").agg(zones=zones.count())


def _zone_share(flags: ir.Table, name: str) -> ir.FloatingScalar:
    on = flags[name]
    everywhere = (on & flags.everywhere).any()
    zones = on.sum(where=~flags.everywhere).fill_null(0)
    return ibis.ifelse(everywhere, 1.0, zones / flags.zones.max())


def stock_shares(inventory: ir.Table, series: ir.Table, calendar: Calendar, shop: Shop) -> ir.Table:
    """on_hand_share: the share of a period's stock counts that found any."""
    counts = to_series_zone(_observed(inventory, "observed_at", calendar), series, shop)
    return counts.group_by(*KEYS, "period").agg(
        on_hand_share=(counts.on_hand > 0).sum() / counts.count()
    )


def rival_prices(rivals: ir.Table, series: ir.Table, calendar: Calendar, shop: Shop) -> ir.Table:
    """competitor_price: the lowest price seen in public at a rival in a period."""
    seen = to_series_zone(public(_observed(rivals, "observed_at", calendar)), series, shop)
    return seen.group_by(*KEYS, "period").agg(competitor_price=seen.price.min().cast("float64"))


def public(rivals: ir.Table) -> ir.Table:
    """Prices any shopper can see; a shop that does not say has only those."""
    return rivals.filter(rivals.public.fill_null(True))


def published_prices(
    prices: ir.Table, series: ir.Table, calendar: Calendar, shop: Shop
) -> ir.Table:
    """published: the list price in force when a period ends, where one was published in it.

    Where zones differ and the shop does not price by zone: the last one, the lowest of equals.
    """
    known = to_series_zone(_observed(prices, "effective_from", calendar), series, shop)
    lowest = known.group_by(*KEYS, "period", "effective_from").agg(price=known.price.min())
    return lowest.group_by(*KEYS, "period").agg(
        published=lowest.price.argmax(lowest.effective_from).cast("float64")
    )


def _observed(table: ir.Table, column: str, calendar: Calendar) -> ir.Table:
    """Rows before the last whole period ends, with their period; older ones count in the first."""
    end = calendar.table().event_timestamp.max().as_scalar()
    known = table.filter(table[column] < end)
    day = local_date(known[column], calendar.timezone)
    first = ibis.literal(calendar.periods[0])
    return known.mutate(period=ibis.greatest(period_start(day, calendar.grain), first))
