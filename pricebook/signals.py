"""Live features, computed from events in memory.

There are two kinds: counts of the events of the last hour and day, and the latest stock and
competitor prices. An event counts in the time bucket in which it occurred, whenever it arrives. So
the order of arrival and repeated events do not matter: all processes that read the same events
compute the same features.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from pricebook.carts import Carts
from pricebook.events import Event, Place
from pricebook.latest_values import LatestValues

MAX_AHEAD = 60.0  # seconds that an event may be dated in the future, because clocks differ


class Outcome(StrEnum):
    """What becomes of an event. Only an accepted event has an effect."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    LATE = "late"
    EARLY = "early"


@dataclass(frozen=True, slots=True)
class Window:
    """A sliding time window that consists of whole buckets, so it is exact to one bucket.

    Attributes:
        seconds: the length of a bucket.
        buckets: the number of buckets.
    """

    seconds: int
    buckets: int

    def bucket(self, at: float) -> int:
        """The number of the bucket that contains an instant."""
        return int(at // self.seconds)

    def first_bucket(self, now: float) -> int:
        """The number of the oldest bucket in the window.

        >>> Window(300, 12).first_bucket(3600.0)
        1
        """
        return self.bucket(now) - self.buckets + 1

    def start(self, now: float) -> float:
        """The instant at which the window begins."""
        return float(self.first_bucket(now) * self.seconds)


DAY = Window(3600, 24)  # the longest window; everything older is forgotten
WINDOWS = {"hour": Window(300, 12), "day": DAY}
PLURAL = {"view": "views", "cart": "carts", "search": "searches", "order": "orders"}
# The features that an event of a kind counts in, such as views_hour, and their windows.
FEATURES_OF_KIND = {kind: [f"{plural}_{w}" for w in WINDOWS] for kind, plural in PLURAL.items()}
COUNT_FEATURES = {
    f"{p}_{name}": window for p in PLURAL.values() for name, window in WINDOWS.items()
}


class Counts:
    """Counts of the events of one sku in a zone, or of one shopper, by feature and bucket."""

    __slots__ = ("_buckets", "latest")

    def __init__(self) -> None:
        self._buckets: dict[str, dict[int, int]] = {}
        self.latest = 0.0  # time of the latest event

    def add(self, kind: str, at: float, now: float) -> None:
        """Count an event of time `at` in the windows that it falls into."""
        self.latest = max(self.latest, at)
        for name in FEATURES_OF_KIND[kind]:
            window = COUNT_FEATURES[name]
            bucket, first = window.bucket(at), window.first_bucket(now)
            if bucket < first:
                continue
            counts = self._buckets.setdefault(name, {})
            counts[bucket] = counts.get(bucket, 0) + 1
            if len(counts) > window.buckets:
                # A new dict, because another thread may be reading the old one.
                self._buckets[name] = {b: n for b, n in counts.items() if b >= first}

    def features(self, now: float) -> dict[str, int]:
        """The number of events in each window. Features that are zero are left out."""
        features = {}
        # The dicts are copied, because another thread may add to them during the iteration.
        for name, counts in list(self._buckets.items()):
            first = COUNT_FEATURES[name].first_bucket(now)
            if total := sum(n for bucket, n in list(counts.items()) if bucket >= first):
                features[name] = total
        return features


class EventWindows:
    """The live features of all skus and shoppers. Instants are in seconds since the epoch.

    Memory is bounded:

    - Features are kept for `max_keys` skus (in a zone) and as many shoppers. The one without an
      event for the longest time is dropped first.
    - `max_ids` event ids are remembered, as hashes, to detect duplicates. If more events arrive in
      a day, the first ids are forgotten. Events that are as old as a forgotten one count as late,
      because they could be duplicates.

    One thread may write while others read, without a lock.

    >>> from datetime import datetime
    >>> windows = EventWindows()
    >>> at = datetime.fromisoformat("2026-01-05T12:00:00Z")
    >>> view = Event("e1", at, "view", sku="milk", customer_id="ann")
    >>> [str(windows.add(view, at.timestamp())) for _ in range(2)]
    ['accepted', 'duplicate']
    >>> windows.sku_features("milk", "all", at.timestamp())
    {'views_hour': 1, 'views_day': 1}

    Attributes:
        values: the latest stock and competitor prices.
        carts: when shoppers last put skus into the cart, and ordered them.
        latest: the time of the latest event of each kind.
    """

    def __init__(self, max_keys: int = 20_000, max_ids: int = 500_000) -> None:
        self.values = LatestValues(max_keys)
        self.carts = Carts()
        self.latest: dict[str, float] = {}
        self._max_keys, self._max_ids = max_keys, max_ids
        self._minutes: dict[int, int] = {}  # hash of an event's id: the minute of the event
        self._arrivals: deque[int] = deque()  # the same hashes, in order of arrival
        self._forgotten_minute = 0  # events up to this minute are late
        self._skus: OrderedDict[Place, Counts] = OrderedDict()
        self._shoppers: OrderedDict[str, Counts] = OrderedDict()

    def classify(self, event: Event, now: float) -> Outcome:
        """What `add` would return for an event. Changes nothing."""
        at = event.occurred_at.timestamp()
        if hash(event.event_id) in self._minutes:
            return Outcome.DUPLICATE
        if at > now + MAX_AHEAD:
            return Outcome.EARLY
        if DAY.bucket(at) < DAY.first_bucket(now) or _minute(at) <= self._forgotten_minute:
            return Outcome.LATE
        return Outcome.ACCEPTED

    def add(self, event: Event, now: float) -> Outcome:
        """Update the features with an event, if it is accepted."""
        outcome = self.classify(event, now)
        if outcome is Outcome.ACCEPTED:
            at = event.occurred_at.timestamp()
            self._remember_id(event.event_id, at, now)
            self.latest[event.kind] = max(at, self.latest.get(event.kind, at))
            self._count(event, at, now)
            self.values.update(event, at)
            self.carts.add(event)
        return outcome

    def _remember_id(self, event_id: str, at: float, now: float) -> None:
        key = hash(event_id)
        self._minutes[key] = _minute(at)
        self._arrivals.append(key)
        while len(self._arrivals) > self._max_ids:
            forgotten = self._minutes.pop(self._arrivals.popleft())
            self._forgotten_minute = max(self._forgotten_minute, forgotten)
        first_minute = _minute(DAY.start(now))
        while self._minutes[self._arrivals[0]] < first_minute:
            del self._minutes[self._arrivals.popleft()]

    def _count(self, event: Event, at: float, now: float) -> None:
        if event.kind not in FEATURES_OF_KIND:
            return
        if event.place is not None:
            _counts_of(self._skus, event.place, self._max_keys).add(event.kind, at, now)
        if event.customer_id is not None:
            _counts_of(self._shoppers, event.customer_id, self._max_keys).add(event.kind, at, now)

    def expired_places(self, now: float) -> list[Place]:
        """The places with a value that is older than a day. For any thread: it only reads."""
        return self.values.expired_places(DAY.start(now))

    def expire(self, now: float, places: Iterable[Place]) -> None:
        """Drop the old values in these places, and skus and shoppers without a recent event."""
        start = DAY.start(now)
        self.values.drop_expired(places, start)
        _drop_idle(self._skus, start)
        _drop_idle(self._shoppers, start)

    def sku_features(self, sku: str, zone: str, now: float) -> dict[str, int]:
        """The features of a sku in a zone. Counts of zero and unknown values are left out."""
        counts = self._skus.get((sku, zone))
        features = {} if counts is None else counts.features(now)
        if values := self.values.features(sku, zone):
            features |= values
        return features

    def shopper_features(self, customer_id: str, now: float) -> dict[str, int]:
        """The features of a shopper. Counts of zero are left out."""
        counts = self._shoppers.get(customer_id)
        return {} if counts is None else counts.features(now)

    def skus(self) -> list[Place]:
        """All skus (in a zone) with features."""
        return list({*self._skus, *self.values.places()})

    def shoppers(self) -> list[str]:
        """All shoppers with features."""
        return list(self._shoppers)


K = TypeVar("K")


def _counts_of(counts: OrderedDict[K, Counts], key: K, max_keys: int) -> Counts:
    """The counts of a key. The key becomes the last to be dropped."""
    counts_of_key = counts.setdefault(key, Counts())
    counts.move_to_end(key)
    if len(counts) > max_keys:
        counts.popitem(last=False)
    return counts_of_key


def _drop_idle(counts: OrderedDict[K, Counts], start: float) -> None:
    """Drop keys without a recent event from the front, up to the first that has one.

    The order is that of arrival, so an idle key may be further back. It is dropped when it reaches
    the front.
    """
    while counts and next(iter(counts.values())).latest < start:
        counts.popitem(last=False)


def _minute(at: float) -> int:
    return int(at // 60)
