"""In-memory price locks: a shopper's quote stays valid until it expires."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import NamedTuple

from pydantic_core import to_json

from serving.quotes.offers import RenderedOffer

MAX_LOCKS = 100_000  # more than the named shoppers that request a price within a quote's validity

Key = tuple[str, str, str, bool | None]  # customer_id, sku, zone, consent of the request


@dataclass(frozen=True, slots=True)
class Validity:
    """When quotes were issued and when they expire, in whole seconds, and the same as JSON.

    All quotes of a second share one object, which saves memory and rendering the JSON again.

    Attributes:
        json: the two fields of the reply, without braces.
        signed_json: the two values of the signed array, without brackets.
    """

    issued_at: datetime
    expires_at: datetime
    json: bytes
    signed_json: bytes

    @classmethod
    def from_instant(cls, now: datetime, ttl_seconds: int) -> Validity:
        """The validity of a quote that is issued now."""
        return _validity(int(now.timestamp()), ttl_seconds)


@lru_cache(maxsize=1024)
def _validity(second: int, ttl_seconds: int) -> Validity:
    issued_at = datetime.fromtimestamp(second, UTC)
    expires_at = datetime.fromtimestamp(second + ttl_seconds, UTC)
    issued, expires = to_json(issued_at), to_json(expires_at)
    fields = b'"issued_at":%b,"expires_at":%b' % (issued, expires)
    return Validity(issued_at, expires_at, fields, b"%b,%b" % (issued, expires))


class LockedQuote(NamedTuple):
    """An issued quote without its signature. The reply is signed again whenever it is sent."""

    quote_id: bytes
    offer: RenderedOffer
    validity: Validity

    @property
    def json(self) -> bytes:
        """The quote's id, issued_at and expires_at as JSON fields, without braces."""
        return b'"quote_id":"%b",%b' % (self.quote_id, self.validity.json)


class PriceLocks:
    """The valid quotes of named shoppers, in the order they were added.

    At most `max_locks` are held. If there are more, the oldest are dropped before they expire, and
    `on_drop` is called for each of them.

    Two threads write: the event loop's, when it issues quotes, and the background thread that reads
    the quotes of other workers. They take turns by a lock. Requests read without it, because
    reading one key of a dict is atomic.
    """

    def __init__(
        self, max_locks: int = MAX_LOCKS, on_drop: Callable[[], None] = lambda: None
    ) -> None:
        self._quotes = OrderedDict[Key, LockedQuote]()
        self._max_locks, self._on_drop = max_locks, on_drop
        self._write_lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._quotes)

    def get(self, key: Key | None, now: datetime) -> LockedQuote | None:
        """The valid quote of a key, or None. An anonymous shopper has no key and no price lock."""
        quote = self._quotes.get(key) if key is not None else None
        return quote if quote is not None and now < quote.validity.expires_at else None

    def add(self, quotes: Iterable[tuple[Key | None, LockedQuote]]) -> None:
        """Lock quotes that were issued now. They replace earlier quotes of the same key."""
        with self._write_lock:
            for key, quote in quotes:
                if key is not None:
                    self._quotes[key] = quote
                    self._quotes.move_to_end(key)
                    self._drop_oldest(quote.validity.issued_at)

    def merge(self, key: Key, quote: LockedQuote, now: datetime) -> None:
        """Lock a quote that another worker issued, unless an earlier one is valid.

        Of two quotes of the same second the one with the lower id is earlier. Every worker applies
        this rule to the same quotes, so all end up with the same one.
        """
        current = self.get(key, now)
        if current is None or _order(quote) < _order(current):
            self.add([(key, quote)])

    def _drop_oldest(self, now: datetime) -> None:
        """Drop up to two quotes that have expired or are too many.

        Each added quote drops at most two. So the number shrinks over time, and no request has to
        wait while thousands of quotes that expired together are dropped.
        """
        for _ in range(2):
            oldest = next(iter(self._quotes.values()))
            expired = oldest.validity.expires_at <= now
            if not expired and len(self._quotes) <= self._max_locks:
                return
            if not expired:
                self._on_drop()
            self._quotes.popitem(last=False)


def _order(quote: LockedQuote) -> tuple[datetime, bytes]:
    return quote.validity.issued_at, quote.quote_id
