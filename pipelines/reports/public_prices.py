"""The public prices that the service quoted: the last one of each sku, and their whole record.

The service records each change of a public price (`ledger.public_prices`). The quote log is the
source of truth: `rebuild` reads the record from it again.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time
from heapq import merge
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ledger import public_prices as record
from ledger.public_prices import Change, PublicPrices
from pipelines.reports.replay import Entry, read_entries
from pricebook.config import Settings
from pricebook.events import ALL_ZONES, Place
from pricebook.pricing.prior_price import PriceHistory, counts
from pricebook.pricing.quote import FALLBACKS

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("pricebook.public_prices")

OPEN_DAYS = 2  # the last days of the record, to which a worker may still append


def last_public_prices(book: pd.DataFrame, settings: Settings) -> pd.Series[Any]:
    """The last public price of each row of the price book that was decided; null without a quote.

    A list price that was quoted because something failed does not count.
    """
    import pandas as pd

    prepare(settings)
    prices = record.read_record(settings.public_prices)
    places = zip(book["sku"], book["zone"].fillna(ALL_ZONES), strict=True)
    decided = [prices[place].decided if place in prices else None for place in places]
    return pd.Series(decided, book.index, dtype="Int64")


def prepare(settings: Settings) -> None:
    """Build the record from the quote log if there is none, as in a home of an earlier version."""
    if not any(settings.public_prices.glob("*.json*")):
        rebuild(settings)


def summarise(settings: Settings) -> None:
    """Move the record's complete days into its summary, which a worker reads faster."""
    folder = settings.public_prices
    through, prices = record.read_summary(folder)
    complete = record.change_files(folder, through)[:-OPEN_DAYS]
    if not complete:
        return
    for change in record.read_changes(complete):
        record.add(prices, change, through)
    day = date.fromisoformat(complete[-1].stem.removeprefix(f"{record.STEM}-"))
    end = datetime.combine(day, time.max, UTC)
    record.write_summary(folder, end, prices)
    log.info("%s: %s public prices through %s.", folder / record.SUMMARY, len(prices), day)


def rebuild(settings: Settings) -> PublicPrices:
    """Write the summary again from the quote log, and return its prices."""
    prices: PublicPrices = {}
    last, first_days = None, _first_days(settings)
    for entry in _in_order(settings.quote_log):
        last = _instant(entry)
        if change := _change(entry, prices):
            if change.place not in prices:
                change = replace(change, earlier=_earlier(entry, first_days.get(change.place)))
            record.add(prices, change)
    if last is not None:
        record.write_summary(settings.public_prices, last, prices)
        log.info("%s public prices were built from the quote log.", len(prices))
    return prices


def _in_order(folder: Path) -> Iterator[Entry]:
    """The quotes of all workers in the order of time. Each worker has one file a day."""
    files = sorted(folder.glob("quotes-*.jsonl"))
    for _, of_day in groupby(files, key=lambda path: path.name.partition(".")[0]):
        quotes = ((entry for entry in read_entries(file) if "quote" in entry) for file in of_day)
        yield from merge(*quotes, key=_instant)


def _instant(entry: Entry) -> datetime:
    return datetime.fromisoformat(entry["quote"]["issued_at"])


def _change(entry: Entry, prices: PublicPrices) -> Change | None:
    """The change of a public price by a quote; None if it does not change it."""
    quote = entry["quote"]
    place = quote["sku"], quote["zone"]
    public = prices.get(place)
    fallback = any(reason["rule"] in FALLBACKS for reason in quote["reasons"])
    price, current = quote["price"], None if public is None else public.price
    if public is not None and price == current and not (public.fallback and not fallback):
        return None
    anonymous = entry["shopper"]["customer_id"] is None
    if not counts(quote["arm"], quote["personalised"], anonymous, price, current):
        return None
    return Change(*place, price, _instant(entry), fallback)


def _earlier(entry: Entry, first_day: date | None) -> PriceHistory | None:
    """The public prices before the first quote: the prior price that this quote had."""
    quote = entry["quote"]
    if quote["lowest_30d"] is None:
        return None
    return PriceHistory.before_quotes(min(quote["lowest_30d"], quote["list_price"]), first_day)


def _first_days(settings: Settings) -> dict[Place, date]:
    """The first day of each sku on the market, as far as the features of this home say it."""
    import pyarrow.parquet as pq

    path = settings.features / "price_book.parquet"
    if not path.exists() or "sold_since" not in pq.read_schema(path).names:
        return {}
    rows = pq.read_table(path, columns=["sku", "zone", "sold_since"]).to_pylist()
    first = ((row["sku"], row["zone"], row["sold_since"]) for row in rows)
    return {(sku, zone or ALL_ZONES): day for sku, zone, day in first if day is not None}
