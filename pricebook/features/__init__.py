"""Features: Ibis expressions over the canonical tables, point in time, on any Ibis backend.

Every function takes tables and returns a table expression; `learn_segments` also runs a query.
Nothing here reads or writes a file. A feature row has `event_timestamp`, the instant from which it
is known, and uses only data from before that instant. Money is in minor units; a unit price is a
float in minor units.

    calendar    which periods are whole, and the days of shopper snapshots
    inputs      the canonical tables as the order lines of one shop
    series      sku_period (the panel), and sku (the state of a series at the end of each period)
    halves      units and price in two halves of the sales, to measure how reliable a price is
    context     promotions, stock, competitor and published prices for each series and period
    shoppers    shopper, segment_period and sku_segment, from what shoppers bought
    habits      segments: groups of shoppers with similar purchase habits
    book        price_book, every sku that can be sold
"""

from pricebook.features.book import BookInputs, price_book
from pricebook.features.calendar import Calendar, whole_periods
from pricebook.features.context import context
from pricebook.features.habits import learn_segments, with_segment
from pricebook.features.halves import half_period, halved_by
from pricebook.features.inputs import (
    Tables,
    empty_table,
    exclude_departments,
    order_lines,
    trading_days,
    with_all_columns,
)
from pricebook.features.series import (
    modelled_series,
    most_periods,
    net_returns,
    panel,
    period_sales,
    sku,
    sku_period,
)
from pricebook.features.shoppers import (
    segment_panel,
    segment_period,
    shopper,
    shopper_snapshots,
    sku_segment,
)

__all__ = [
    "BookInputs",
    "Calendar",
    "Tables",
    "context",
    "empty_table",
    "exclude_departments",
    "half_period",
    "halved_by",
    "learn_segments",
    "modelled_series",
    "most_periods",
    "net_returns",
    "order_lines",
    "panel",
    "period_sales",
    "price_book",
    "segment_panel",
    "segment_period",
    "shopper",
    "shopper_snapshots",
    "sku",
    "sku_period",
    "sku_segment",
    "trading_days",
    "whole_periods",
    "with_all_columns",
    "with_segment",
]
