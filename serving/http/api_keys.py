"""The guard at the door: whose key it is, what it may ask for, and how fast."""

from __future__ import annotations

import logging
import math
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache

from ledger import open_ledger
from ledger.keys import Key, Keys, Refused, load
from pricebook.config import Settings
from pricebook.errors import LedgerError
from serving.http.errors import RequestError

log = logging.getLogger("pricebook.guard")

ANYONE = "anyone"  # asks while no key was ever issued
BURST = 1.0  # seconds at its rate that a key may be ahead
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
WHY = {
    Refused.MALFORMED: "The header is not `Authorization: Bearer pb_<id>_<secret>`.",
    Refused.UNKNOWN: "Nobody was issued this API key.",
    Refused.EXPIRED: "This API key has expired.",
    Refused.REVOKED: "This API key was revoked.",
}


@dataclass(slots=True)
class Bucket:
    """A token bucket: full at first, it holds `BURST` seconds of the rate, and one at least.

    A batch is let in where a single one would be, and what it takes beyond the bucket is paid off
    before the next: it neither has to be small nor to wait for a quiet second. A cost of 0 asks
    only whether nothing is owed. A clock set back earns nothing and owes nothing.
    """

    level: float = math.inf
    seen: datetime = LONG_AGO

    def take(self, cost: float, rate: float, now: datetime) -> float:
        """Seconds to wait until the cost can be paid; 0 where it has been."""
        holds = max(1.0, rate * BURST)
        earned = max(0.0, (now - self.seen).total_seconds()) * rate
        self.level, self.seen = min(holds, self.level + earned), now
        lacks = min(cost, 1.0) - self.level
        if lacks > 0:
            return lacks / rate
        self.level -= cost
        return 0.0


class ApiKeyAuth:
    """Knows the keys in memory; `refresh` reads them again, and sees which have expired since.

    Each worker keeps its own buckets.

    While no key was ever issued it is `open`: the service listens on loopback unless told
    otherwise. While the keys could not yet be read, it lets nobody in.
    """

    def __init__(self, load: Callable[[], Keys], clock: Callable[[], datetime]) -> None:
        self._load, self._clock = load, clock
        self._keys: Keys | None = None
        self._standing: dict[bytes, Key] = {}  # by Authorization header, as of the last refresh
        self._buckets: defaultdict[str, Bucket] = defaultdict(Bucket)
        self.refresh()

    @property
    def open(self) -> bool:
        """Whether whoever reaches the service is answered."""
        return self._keys is not None and not self._keys.by_id

    def refresh(self) -> None:
        """Read the keys again; those known stay where the ledger cannot be read."""
        was_open = self.open
        try:
            self._keys = self._load()
        except LedgerError as error:
            log.error("The keys known so far stay: %s", error)
        self._standing = {}
        if self.open != was_open:
            log.warning("API keys are %s.", "not asked for: none was issued" if self.open else "on")

    def allow(self, authorization: bytes | None, scope: str, cost: int = 1) -> str:
        """The name of the key in an Authorization header that may ask for this now.

        Raises:
            RequestError: 401 without a key that counts, 403 where its scopes lack this one, 429 where
                it asks too fast, and 503 while the keys could not be read.
        """
        if self._keys is None:
            raise RequestError(503, "no_keys", "The API keys could not be read; the log says why.")
        if not self._keys.by_id:
            return ANYONE
        key = self._standing.get(authorization or b"")
        if key is None:
            key = _known(self._keys, authorization, self._clock())
            self._standing[authorization or b""] = key
        if scope not in key.grant.scopes:
            raise RequestError(403, "wrong_scope", f"This API key is not for {scope}.", scope)
        if key.grant.per_second is not None:
            self._pay(key, cost, key.grant.per_second, self._clock())
        return key.grant.name

    def _pay(self, key: Key, cost: int, rate: float, now: datetime) -> None:
        if wait := self._buckets[key.id].take(cost, rate, now):
            detail = f"This API key is good for {rate:g} a second. Ask again in {wait:.3g} s."
            headers = {"Retry-After": str(math.ceil(wait))}
            raise RequestError(429, "too_fast", detail, cost, headers)


def keys_in(settings: Settings) -> Callable[[], Keys]:
    """Reads the keys of a ledger that is opened when first it can be."""
    opened = cache(open_ledger)
    return lambda: load(opened(settings.ledger))


def _known(keys: Keys, authorization: bytes | None, now: datetime) -> Key:
    if authorization is None:
        raise _unauthorized("no_key", "The request has no API key in its Authorization header.")
    scheme, _, text = authorization.decode("latin-1").partition(" ")
    told = keys.find(text.strip(), now) if scheme.lower() == "bearer" else Refused.MALFORMED
    if isinstance(told, Key):
        return told
    raise _unauthorized(f"{told}_key", WHY[told])


def _unauthorized(error: str, detail: str) -> RequestError:
    return RequestError(401, error, detail, headers={"WWW-Authenticate": "Bearer"})
