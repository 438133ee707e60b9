"""Lines of the quote log: written for every quote, and read to learn the quotes of other workers.

A line is a JSON object with the quote, its private fields and the inputs of the decision. The keys
belong to the format of the log. They do not follow the names in the code.
"""

from __future__ import annotations

import logging
from datetime import datetime

from pydantic_core import from_json

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
) -> bytes:
    """The line of a new quote.

    Args:
        shadow_price: what the challenger would have quoted; None if it was not asked.
        live: the live features of the sku and the shopper as JSON.
    """
    offer, shadow = quote.offer, b"null" if shadow_price is None else b"%d" % shadow_price
    # `log_json` closes the object of the quote.
    fields = b"%b,%b,%b" % (quote.json, offer.public_json, offer.log_json)
    context = b'"shopper":%b,"quantity":%d' % (shopper.json, request.quantity)
    return b'{"quote":{%b,%b,"shadow":%b,"heard":%b}\n' % (fields, context, shadow, live)


def read_lock(line: bytes, now: datetime) -> tuple[Key, LockedQuote] | None:
    """The price lock in a line of the log.

    None if there is none: the quote is anonymous, has expired or fell back to the list price, or
    the line is an order or is not readable.
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


def _parse(line: bytes, now: datetime) -> tuple[Key, LockedQuote] | None:
    entry = from_json(line)
    quote, shopper = entry["quote"], entry["shopper"]
    # The rest of the quote is its offer, which is the same in many quotes.
    quote_id = quote.pop("quote_id").encode()
    issued_at = datetime.fromisoformat(quote.pop("issued_at"))
    expires_at = datetime.fromisoformat(quote.pop("expires_at"))
    rules = {reason["rule"] for reason in quote["reasons"]}
    if now >= expires_at or not FALLBACKS.isdisjoint(rules):
        return None
    validity = Validity.from_instant(issued_at, round((expires_at - issued_at).total_seconds()))
    key = (shopper["customer_id"], quote["sku"], quote["zone"], shopper["asked"])
    return key, LockedQuote(quote_id, from_log(quote), validity)
