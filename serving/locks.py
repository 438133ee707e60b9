"""What a shopper was quoted stands until it expires: who holds which quote, in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from serving.offers import Ready

MOST = 100_000  # quotes held; a shop has fewer named shoppers asking within a quote's life

Key = tuple[str, str, str, bool | None]  # customer_id, sku, zone, the consent asked with


@dataclass(frozen=True, slots=True)
class Life:
    """From when to when quotes stand, and how it is told in JSON; one for all given at once."""

    issued_at: datetime
    expires_at: datetime
    told: bytes

    @classmethod
    def of(cls, issued_at: datetime, seconds: int) -> Life:
        ends = issued_at + timedelta(seconds=seconds)
        told = f'"issued_at":"{issued_at.isoformat()}","expires_at":"{ends.isoformat()}"'
        return cls(issued_at, ends, told.encode())


@dataclass(frozen=True, slots=True)
class Held:
    """A quote as given, without its signature."""

    quote_id: str
    ready: Ready
    life: Life


class Locks:
    """Quotes in the order they were given; the oldest are let go when there are too many."""

    def __init__(self, most: int = MOST, dropped: Callable[[], None] = lambda: None) -> None:
        self._held: dict[Key, Held] = {}
        self._most, self._dropped = most, dropped

    def __len__(self) -> int:
        return len(self._held)

    def held(self, key: Key | None, now: datetime) -> Held | None:
        """The quote that still stands, or None; there is none for who has no name."""
        held = self._held.get(key) if key is not None else None
        return held if held is not None and now < held.life.expires_at else None

    def hold(self, key: Key | None, held: Held) -> None:
        if key is None:
            return
        self._held.pop(key, None)
        self._held[key] = held
        self._let_go(held.life.issued_at)

    def _let_go(self, now: datetime) -> None:
        """The two oldest at most, so that no request pays for many."""
        for _ in range(2):
            key = next(iter(self._held))
            expired = self._held[key].life.expires_at <= now
            if not expired and len(self._held) <= self._most:
                return
            if not expired:
                self._dropped()
            del self._held[key]
