"""Tables to features, as Ibis expressions: point-in-time, pure, and out of core on any backend.

Every function takes tables and returns a table expression, but for `learn_habits`, which asks for a
sample; nothing here reads or writes a file.
A feature row carries `event_timestamp`, the instant from which it is known, and uses only rows
before it. Money is in minor units; a unit price is a float in minor units.

    calendar    which periods are whole, and when shoppers are looked at
    inputs      the canonical tables as one shop's order lines
    series      sku_period (the panel) and sku (what is known of a sku at the end of a period)
    context     promotions, stock, rivals and published prices per series and period
    shoppers    what a shopper's orders say; shopper, segment_period and sku_segment
    habits      segments: shoppers with like habits
    book        price_book, every sellable sku
"""

from pricebook.features.book import Book, price_book
from pricebook.features.calendar import Calendar, whole_periods
from pricebook.features.context import context
from pricebook.features.habits import learn_habits, with_segment
from pricebook.features.inputs import Tables, complete, dated, empty, sold, trading_days
from pricebook.features.series import modelled, panel, period_sales, sku, sku_period
from pricebook.features.shoppers import (
    observed,
    segment_panel,
    segment_period,
    shopper,
    sku_segment,
)

__all__ = [
    "Book",
    "Calendar",
    "Tables",
    "complete",
    "context",
    "dated",
    "empty",
    "learn_habits",
    "modelled",
    "observed",
    "panel",
    "period_sales",
    "price_book",
    "segment_panel",
    "segment_period",
    "shopper",
    "sku",
    "sku_period",
    "sku_segment",
    "sold",
    "trading_days",
    "whole_periods",
    "with_segment",
]
