"""Past quotes: find them in the quote log, and decide them again with the recorded model."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pricebook.config import Quote as Limits
from pricebook.config import Settings
from pricebook.errors import ServiceError
from pricebook.files import read_json
from pricebook.money import Floats
from pricebook.pricing.arms import Arm
from pricebook.pricing.decision import Listings
from pricebook.pricing.quote import UNDECIDED, Offer, Terms, offers

if TYPE_CHECKING:
    from models.runtime import ResponseRuntime

LABELS = ("department", "category", "product_type")
Entry = dict[str, Any]  # a line of the quote log


@dataclass(frozen=True)
class LoggedQuote:
    """A quote in the log, and the orders that name it."""

    entry: Entry
    orders: list[Entry]


def find_quote(quote_id: str, settings: Settings) -> LoggedQuote:
    """Find a quote and its orders in the quote log.

    Raises:
        ServiceError: the log does not contain the quote.
    """
    entries = [entry for entry in log_entries(settings.quote_log) if _quote_id(entry) == quote_id]
    quotes = [entry for entry in entries if "quote" in entry]
    if not quotes:
        files = len(list(settings.quote_log.glob("quotes-*.jsonl")))
        raise ServiceError(
            f"No quote has this id in the quote log ({files} files). Received: {quote_id}"
        )
    # An order that was logged twice counts once.
    orders = {entry["order"]["event_id"]: entry["order"] for entry in entries if "order" in entry}
    return LoggedQuote(quotes[0], list(orders.values()))


def decide_again(entry: Entry, settings: Settings) -> Offer | None:
    """What the recorded model decides from the logged features.

    None if nothing was decided, because the quote fell back to the list price.

    Raises:
        ServiceError: the bundle of the quote has been deleted, or the quote was logged without its
            terms by an earlier version.
    """
    quote = entry["quote"]
    if not UNDECIDED.isdisjoint(reason["rule"] for reason in quote["reasons"]):
        return None
    if "terms" not in entry:
        raise ServiceError(
            "An earlier version logged this quote without its terms, so it cannot be decided again."
            f" Received: {quote['quote_id']}"
        )
    folder = settings.bundles / entry["verdict"]
    if not folder.is_dir():
        detail = "The bundle of this quote has been deleted; only the latest are kept."
        raise ServiceError(f"{detail} Received: {folder}")
    limits = Limits.model_validate(read_json(folder / "bundle.json")["quote"])
    demand = _LoggedDemand.from_entry(entry, folder)
    return offers([_terms(entry["terms"])], _listings(entry["features"]), limits, demand)[0]


def _terms(logged: Entry) -> Terms:
    arm = Arm(logged["arm"], logged["share"], logged["draw"])
    # Earlier versions had no purposes, budget and caps.
    purpose, withheld = logged.get("purpose", ""), logged.get("withheld", "")
    return Terms(logged["segment"], logged["because"], arm, purpose, withheld)


@dataclass(frozen=True)
class _LoggedDemand:
    """The response model of a logged quote, for its sku; a `DemandRatio`."""

    runtime: ResponseRuntime
    labels: dict[str, str]

    @classmethod
    def from_entry(cls, entry: Entry, folder: Path) -> _LoggedDemand:
        """Load the model, and the labels of the quote's sku, from the folder of a bundle."""
        import pandas as pd

        from models.runtime import ResponseRuntime

        book = pd.read_parquet(folder / "price_book.parquet", columns=["sku", "zone", *LABELS])
        sku, zone = entry["features"]["sku"], entry["features"]["zone"]
        row = book[(book["sku"] == sku) & (book["zone"].fillna("all") == zone)].iloc[0]
        return cls(ResponseRuntime.load(folder), {name: row[name] or "" for name in LABELS})

    def __call__(self, listings: Listings, segments: Sequence[str], ratios: Floats) -> Floats:
        from models.runtime import Series

        keys = zip(listings.sku, listings.zone, segments, strict=True)
        series = [Series(sku, zone, segment, **self.labels) for sku, zone, segment in keys]
        return self.runtime.demand_ratio(series, ratios)


def _listings(features: Entry) -> Listings:
    """The logged features as listings with one row. A feature that was unknown is null there."""
    dtypes: dict[str, Any] = {
        "sku": object,
        "zone": object,
        "list_price": np.int64,
        "cost_assumed": np.bool_,
        "modelled": np.bool_,
    }
    return Listings(
        **{
            name: np.array([np.nan if value is None else value], dtypes.get(name, np.float64))
            for name, value in features.items()
        }
    )


def log_entries(folder: Path) -> Iterator[Entry]:
    """All quotes and orders in the quote log. Truncated lines are skipped."""
    for path in sorted(folder.glob("quotes-*.jsonl")):
        yield from read_entries(path)


def read_entries(path: Path) -> Iterator[Entry]:
    """The quotes and orders in one file of the quote log. Truncated lines are skipped."""
    with path.open() as file:
        yield from filter(None, map(_parse, file))


def _parse(line: str) -> Entry | None:
    """None for a line that a killed worker or a full disk has truncated."""
    try:
        entry: Entry = json.loads(line)
    except ValueError:
        return None
    return entry


def _quote_id(entry: Entry) -> str:
    return str((entry.get("quote") or entry["order"])["quote_id"])
