"""What a shopper was quoted stands until it expires: who holds which quote, in memory."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from pydantic_core import from_json, to_json

from serving.quotes.offers import FALLBACKS, RenderedOffer, remade

log = logging.getLogger("pricebook.locks")

ENDS = ("issued", "expires")

MOST = 100_000  # quotes held; a shop has fewer named shoppers asking within a quote's life

Key = tuple[str, str, str, bool | None]  # customer_id, sku, zone, the consent asked with


@dataclass(frozen=True, slots=True)
class Validity:
    """From when to when quotes stand, to the second, and how that is told and signed in JSON.

    It is one for all that are given in a second, for there are many.
    """

    issued_at: datetime
    expires_at: datetime
    told: bytes
    signed: bytes

    @classmethod
    def of(cls, now: datetime, seconds: int) -> Validity:
        return _life(int(now.timestamp()), seconds)


class LockedQuote(NamedTuple):
    """A quote as given, without its signature."""

    quote_id: bytes
    ready: RenderedOffer
    life: Validity


@lru_cache(maxsize=1024)
def _life(second: int, seconds: int) -> Validity:
    issued_at, expires_at = (datetime.fromtimestamp(at, UTC) for at in (second, second + seconds))
    issued, expires = to_json(issued_at), to_json(expires_at)
    told = b'"issued_at":%b,"expires_at":%b' % (issued, expires)
    return Validity(issued_at, expires_at, told, b"%b,%b" % (issued, expires))


def learnt(line: bytes, now: datetime) -> tuple[Key, LockedQuote] | None:
    """What a line of the quote log says a named shopper holds; None where it is nothing now.

    The log of another worker, or of one that was killed, so that a shopper is told the same by all.
    """
    if line.startswith(b'{"order"') or b'"customer_id":null' in line:
        return None
    try:
        entry = from_json(line)
        quote, shopper = entry["quote"], entry["shopper"]
        issued_at, expires_at = (datetime.fromisoformat(quote.pop(f"{end}_at")) for end in ENDS)
        life = Validity.of(issued_at, round((expires_at - issued_at).total_seconds()))
        if now >= life.expires_at or FALLBACKS.intersection(r["rule"] for r in quote["reasons"]):
            return None
        key = (shopper["customer_id"], quote["sku"], quote["zone"], shopper["asked"])
        return key, LockedQuote(quote.pop("quote_id").encode(), remade(quote), life)
    except (ValueError, KeyError, TypeError) as error:
        why = type(error).__name__  # the line itself may name a shopper
        log.error("A line of the quote log is not a quote (%s). Received: %d bytes", why, len(line))
        return None


class PriceLocks:
    """Quotes in the order they were given; the oldest are let go when there are too many.

    Requests and the watch, which learns from other workers, hold quotes in threads of their own.
    """

    def __init__(self, most: int = MOST, dropped: Callable[[], None] = lambda: None) -> None:
        self._held = OrderedDict[Key, LockedQuote]()
        self._most, self._dropped = most, dropped
        self._changing = threading.Lock()

    def __len__(self) -> int:
        return len(self._held)

    def held(self, key: Key | None, now: datetime) -> LockedQuote | None:
        """The quote that still stands, or None; there is none for who has no name."""
        held = self._held.get(key) if key is not None else None
        return held if held is not None and now < held.life.expires_at else None

    def hold(self, given: Iterable[tuple[Key | None, LockedQuote]]) -> None:
        with self._changing:
            for key, held in given:
                if key is not None:
                    self._held[key] = held
                    self._held.move_to_end(key)
                    self._let_go(held.life.issued_at)

    def learn(self, key: Key, held: LockedQuote, now: datetime) -> None:
        """Hold what another worker gave, unless an earlier one stands: so all come to agree.

        Of the same second that with the lower id is: ids begin with the instant.
        """
        standing = self.held(key, now)
        if standing is None or _order(held) < _order(standing):
            self.hold([(key, held)])

    def _let_go(self, now: datetime) -> None:
        """The two oldest at most, so that no request pays for many."""
        for _ in range(2):
            oldest = next(iter(self._held.values()))
            expired = oldest.life.expires_at <= now
            if not expired and len(self._held) <= self._most:
                return
            if not expired:
                self._dropped()
            self._held.popitem(last=False)


def _order(held: LockedQuote) -> tuple[datetime, bytes]:
    return held.life.issued_at, held.quote_id
