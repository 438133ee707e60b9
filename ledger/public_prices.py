"""The record of public prices: one line for each change, and a summary of the older lines.

The service appends a line when it first quotes a public price that differs from the one before, so
that it need not read the quote log of months at each start. All workers append to the same file of
a day. So all read the changes in the same order, and agree. `pipelines.reports.public_prices`
writes the summary, and can write it again from the quote log, which remains the source of truth.

The record is in the ledger package because the service and the stages read and write it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic_core import from_json, to_json

from pricebook.events import Place
from pricebook.files import atomic_path
from pricebook.pricing.prior_price import PriceHistory, Span

log = logging.getLogger("pricebook.public_prices")

STEM = "changes"  # of the files, changes-<day>.jsonl
SUMMARY = "summary.json"


@dataclass(frozen=True, slots=True)
class Change:
    """A public price that was first quoted at an instant.

    Attributes:
        fallback: whether it is the list price because something failed.
        earlier: the history of the sku before its first quote, if it was on the market.
    """

    sku: str
    zone: str
    price: int
    at: datetime
    fallback: bool = False
    earlier: PriceHistory | None = None

    @property
    def place(self) -> Place:
        return self.sku, self.zone

    def line(self) -> bytes:
        """This change as a line of the record."""
        fields: dict[str, Any] = {"sku": self.sku, "zone": self.zone, "price": self.price}
        fields |= {"from": self.at}
        if self.fallback:
            fields["fallback"] = True
        if self.earlier is not None:
            fields["earlier"] = _history_fields(self.earlier)
        return to_json(fields) + b"\n"


@dataclass(frozen=True, slots=True)
class PublicPrice:
    """The public prices of a sku in a zone, as recorded.

    Attributes:
        fallback: whether the current price is the list price because something failed.
        decided: the last price that is not such a fallback; None if there is none.
    """

    history: PriceHistory
    fallback: bool = False
    decided: int | None = None

    @property
    def price(self) -> int:
        """The current public price."""
        return self.history.price


PublicPrices = dict[Place, PublicPrice]


def with_change(previous: PublicPrice | None, change: Change) -> PublicPrice:
    """The public prices of a sku after a change."""
    history = change.earlier if previous is None else previous.history
    if history is None:
        history = PriceHistory.starting(change.price, change.at)
    decided = None if previous is None else previous.decided
    return PublicPrice(
        history.changed(change.price, change.at),
        change.fallback,
        decided if change.fallback else change.price,
    )


def read_line(line: bytes) -> Change | None:
    """The change in a line of the record; None, with an error in the log, if it is damaged."""
    try:
        fields = from_json(line)
        earlier = fields.get("earlier")
        return Change(
            fields["sku"],
            fields["zone"],
            fields["price"],
            datetime.fromisoformat(fields["from"]),
            fields.get("fallback", False),
            None if earlier is None else _history(earlier),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        log.error("A line of the record of public prices is damaged. Received: %r", error)
        return None


def read_summary(folder: Path) -> tuple[datetime | None, PublicPrices]:
    """The instant up to which the summary covers the record, and its public prices.

    None and no prices if there is no summary, or, with an error in the log, if it is damaged.
    """
    try:
        summary = from_json((folder / SUMMARY).read_bytes())
        rows = {(row["sku"], row["zone"]): _public_price(row) for row in summary["prices"]}
        return datetime.fromisoformat(summary["through"]), rows
    except FileNotFoundError:
        return None, {}
    except (ValueError, KeyError, TypeError) as error:
        log.error("%s is damaged. Received: %r", folder / SUMMARY, error)
        return None, {}


def write_summary(folder: Path, through: datetime, prices: Mapping[Place, PublicPrice]) -> None:
    """Replace the summary. It covers the record up to and including an instant."""
    rows = [
        {
            "sku": sku,
            "zone": zone,
            "fallback": public.fallback,
            "decided": public.decided,
            **_history_fields(public.history),
        }
        for (sku, zone), public in sorted(prices.items())
    ]
    with atomic_path(folder / SUMMARY) as partial:
        partial.write_bytes(to_json({"through": through, "prices": rows}))


def read_record(folder: Path) -> PublicPrices:
    """All recorded public prices: the summary, and the changes after it."""
    through, prices = read_summary(folder)
    for change in read_changes(change_files(folder, through)):
        add(prices, change, through)
    return prices


def read_changes(files: Iterable[Path]) -> Iterator[Change]:
    """The changes in files of the record, in the order they were appended."""
    for path in files:
        with path.open("rb") as file:
            yield from filter(None, map(read_line, filter(bytes.strip, file)))


def change_files(folder: Path, through: datetime | None) -> list[Path]:
    """The files with changes after an instant, in the order of time. None: all files."""
    first = "" if through is None else f"{STEM}-{through.date()}"
    return sorted(path for path in folder.glob(f"{STEM}-*.jsonl") if path.name >= first)


def add(prices: PublicPrices, change: Change, through: datetime | None = None) -> bool:
    """Add a change that the summary does not cover. Returns whether it does not."""
    if through is not None and change.at <= through:
        return False
    prices[change.place] = with_change(prices.get(change.place), change)
    return True


def _history_fields(history: PriceHistory) -> dict[str, Any]:
    return {"since": history.since, "spans": history.spans}


def _history(fields: Mapping[str, Any]) -> PriceHistory:
    spans = tuple(
        Span(price, datetime.fromisoformat(start), end and datetime.fromisoformat(end))
        for price, start, end in fields["spans"]
    )
    return PriceHistory(datetime.fromisoformat(fields["since"]), spans)


def _public_price(row: Mapping[str, Any]) -> PublicPrice:
    return PublicPrice(_history(row), row["fallback"], row["decided"])
