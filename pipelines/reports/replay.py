"""Past quotes: read them from the quote log, and decide them again with the recorded model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pricebook.config import Quote as Limits
from pricebook.config import Settings
from pricebook.errors import ServiceError
from pricebook.files import read_json
from pricebook.pricing.arms import Arm
from pricebook.pricing.decision import Listings
from pricebook.pricing.quote import UNDECIDED, Offer, Terms, offers

KIND = ("department", "category", "product_type")
Entry = dict[str, Any]


@dataclass(frozen=True)
class Past:
    """A quote as the log has it, and the orders that name it."""

    entry: Entry
    orders: list[Entry]


def past(quote_id: str, settings: Settings) -> Past:
    """Find a quote in the log.

    Raises:
        ServiceError: the log does not hold it.
    """
    lines = [entry for entry in log_entries(settings.quote_log) if _named(entry) == quote_id]
    quotes = [entry for entry in lines if "quote" in entry]
    if not quotes:
        files = len(list(settings.quote_log.glob("quotes-*.jsonl")))
        raise ServiceError(f"No quote of this id in {files} files of the log. Received: {quote_id}")
    sold = {entry["order"]["event_id"]: entry["order"] for entry in lines if "order" in entry}
    return Past(quotes[0], list(sold.values()))


def decided_anew(entry: Entry, settings: Settings) -> Offer | None:
    """What the recorded model decides from the logged features; None where nothing was decided.

    Raises:
        ServiceError: the bundle that decided is not kept any more.
    """
    if UNDECIDED.intersection(reason["rule"] for reason in entry["quote"]["reasons"]):
        return None
    if "terms" not in entry:
        raise ServiceError(
            "This quote was logged before its terms were, and cannot be decided anew. Received: "
            f"{entry['quote']['quote_id']}"
        )
    folder = settings.bundles / entry["verdict"]
    if not folder.is_dir():
        raise ServiceError(f"What decided this quote is not kept any more. Received: {folder}")
    limits = Limits.model_validate(read_json(folder / "bundle.json")["quote"])
    on = entry["terms"]
    terms = Terms(on["segment"], on["because"], Arm(on["arm"], on["share"], on["draw"]))
    return offers([terms], _listings(entry["features"]), limits, _Demand.of(entry, folder))[0]


@dataclass(frozen=True)
class _Demand:
    """The recorded response model, asked about one sku."""

    runtime: Any
    labels: dict[str, str]

    @classmethod
    def of(cls, entry: Entry, folder: Path) -> _Demand:
        import pandas as pd

        from models.runtime import ResponseRuntime

        book = pd.read_parquet(folder / "price_book.parquet", columns=["sku", "zone", *KIND])
        of = entry["features"]
        row = book[(book["sku"] == of["sku"]) & (book["zone"].fillna("all") == of["zone"])].iloc[0]
        return cls(ResponseRuntime.load(folder), {name: row[name] or "" for name in KIND})

    def __call__(self, listings: Listings, segments: Any, ratios: Any) -> Any:
        from models.runtime import Series

        asked = zip(listings.sku, listings.zone, segments, strict=True)
        series = [Series(sku, zone, segment, **self.labels) for sku, zone, segment in asked]
        return self.runtime.demand_ratio(series, ratios)


def _listings(features: Entry) -> Listings:
    """One row, as it was; what was not known is null in the log."""
    kinds: dict[str, Any] = {"sku": object, "zone": object, "list_price": np.int64}
    kinds |= {"cost_assumed": np.bool_, "modelled": np.bool_}
    return Listings(
        **{
            name: np.array([np.nan if value is None else value], kinds.get(name, np.float64))
            for name, value in features.items()
        }
    )


def log_entries(folder: Path) -> Iterator[Entry]:
    for path in sorted(folder.glob("quotes-*.jsonl")):
        with path.open() as file:
            yield from filter(None, map(_parsed, file))


def _parsed(line: str) -> Entry | None:
    """None where a kill or a full disk cut the line short."""
    try:
        entry: Entry = json.loads(line)
    except ValueError:
        return None
    return entry


def _named(entry: Entry) -> str:
    return str((entry.get("quote") or entry["order"])["quote_id"])
