"""Lines of the quote log: written for every quote, and read to learn the quotes of other workers.

A line is a JSON object with the quote, its private fields and the inputs of the decision. The keys
belong to the format of the log. They do not follow the names in the code.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from pricebook.pricing.budget import Issued
from pricebook.pricing.personal import Expectation
from pricebook.pricing.quote import FALLBACKS
from serving.http.schemas import QuoteRequest
from serving.quotes.batch import KnownShopper
from serving.quotes.locks import Key, LockedQuote, Validity
from serving.quotes.offers import from_log

log = logging.getLogger("pricebook.locks")


def log_line(
    quote: LockedQuote,
    request: QuoteRequest,
    shopper: KnownShopper,
    shadow_price: int | None,
    live: bytes,
    worker: str = "",
) -> bytes:
    """The line of a new quote.

    Args:
        shadow_price: what the challenger would have quoted; None if it was not asked.
        live: the live features of the sku and the shopper as JSON.
        worker: the label of the worker's part of the caps (`pricebook.pricing.budget`).
    """
    offer, shadow = quote.offer, b"null" if shadow_price is None else b"%d" % shadow_price
    # `log_json` closes the object of the quote.
    fields = b"%b,%b,%b" % (quote.json, offer.public_json, offer.log_json)
    context = b'"shopper":%b,"quantity":%d,"worker":"%b"' % (
        shopper.json,
        request.quantity,
        worker.encode(),
    )
    return b'{"quote":{%b,%b,"shadow":%b,"heard":%b}\n' % (fields, context, shadow, live)


@dataclass(frozen=True, slots=True)
class LoggedQuote:
    """What a line of the log says about a quote to a named shopper.

    Attributes:
        lock: the price lock; None if the quote has expired or fell back to the list price.
        issued: what the quote counts in the account of personal offers.
        worker: the label of the worker that issued it; empty in lines of earlier versions.
    """

    lock: tuple[Key, LockedQuote] | None
    issued: Issued
    worker: str


def read_quote(line: bytes, now: datetime) -> LoggedQuote | None:
    """Read a line of the log.

    None if the quote is anonymous, or the line is an order or is not readable.
    """
    # Two quick checks of the text avoid parsing most lines of a busy log.
    if line.startswith(b'{"order"') or b'"customer_id":null' in line:
        return None
    try:
        return _parse(line, now)
    except (ValueError, KeyError, TypeError) as error:
        # The line itself is not logged: it may name a shopper.
        log.error(
            "A line of the quote log is not a quote (%s). Received: %d bytes",
            type(error).__name__,
            len(line),
        )
        return None


def _parse(line: bytes, now: datetime) -> LoggedQuote:
    entry = from_json(line)
    quote, shopper = entry["quote"], entry["shopper"]
    # The rest of the quote is its offer, which is the same in many quotes.
    quote_id = quote.pop("quote_id").encode()
    issued_at = datetime.fromisoformat(quote.pop("issued_at"))
    expires_at = datetime.fromisoformat(quote.pop("expires_at"))
    rules = {reason["rule"] for reason in quote["reasons"]}
    lock = None
    if now < expires_at and FALLBACKS.isdisjoint(rules):
        validity = Validity.from_instant(issued_at, round((expires_at - issued_at).total_seconds()))
        key = (shopper["customer_id"], quote["sku"], quote["zone"], shopper["asked"])
        lock = key, LockedQuote(quote_id, from_log(quote), validity)
    return LoggedQuote(lock, _issued(entry, issued_at), entry.get("worker", ""))


def _issued(entry: dict[str, Any], issued_at: datetime) -> Issued:
    """What a quote counts. Earlier versions logged no expectation, so their offers count 0."""
    expected = entry.get("personal")
    return Issued.from_offer(
        issued_at.date(),
        entry["shopper"]["customer_id"],
        entry["quote"]["price"],
        entry["quantity"],
        expected and Expectation(**expected),
    )
