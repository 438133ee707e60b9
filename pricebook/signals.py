"""Live signals: what happened in the last hour and day, and what was last told, in memory.

An event counts in the bucket of its own instant, whenever it arrives, and a last value yields only
to one of a later instant. So neither the order of arrival nor a repetition matters, and several
processes that see the same events come to know the same.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import count
from typing import Literal, TypeVar

ANYWHERE = "all"  # the zone of what is told without one; it holds in every zone
AHEAD = 60.0  # seconds an event's clock may be ahead of ours

Kind = Literal["view", "cart", "search", "order", "stock", "competitor_price"]
Place = tuple[str, str]  # sku and zone


class Outcome(StrEnum):
    """What became of an event; all but the first change nothing."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    LATE = "late"
    EARLY = "early"


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in the shop, at an aware instant. Money in minor units.

    `quantity`, `price` and `quote_id` are of an order; `on_hand` of a stock; `competitor`, `price`
    and `public` (any shopper could see it) of a competitor_price.
    """

    event_id: str
    occurred_at: datetime
    kind: Kind
    sku: str | None = None
    zone: str | None = None
    customer_id: str | None = None
    quantity: int | None = None
    price: int | None = None
    quote_id: str | None = None
    on_hand: int | None = None
    competitor: str | None = None
    public: bool = True

    @property
    def place(self) -> Place | None:
        return None if self.sku is None else (self.sku, self.zone or ANYWHERE)


@dataclass(frozen=True, slots=True)
class Span:
    """A window of whole buckets; it moves by one, so it is exact to a bucket."""

    seconds: int  # of a bucket
    buckets: int

    def bucket(self, at: float) -> int:
        return int(at // self.seconds)

    def oldest(self, now: float) -> int:
        """The first bucket inside the window.

        >>> Span(300, 12).oldest(3600.0)
        1
        """
        return self.bucket(now) - self.buckets + 1

    def begins(self, now: float) -> float:
        return float(self.oldest(now) * self.seconds)


DAY = Span(3600, 24)  # the longest: nothing older is known
SPANS = {"hour": Span(300, 12), "day": DAY}
PLURAL = {"view": "views", "cart": "carts", "search": "searches", "order": "orders"}
NAMES = {kind: [f"{many}_{span}" for span in SPANS] for kind, many in PLURAL.items()}
FIGURES = {name: SPANS[name.rpartition("_")[2]] for names in NAMES.values() for name in names}
LAST = ("on_hand", "competitor_price")


class Counts:
    """Events of a sku in a zone, or of a shopper: for each figure, their number by bucket.

    Buckets that are left behind are dropped by making a new dict, so a thread that reads meanwhile
    sees the one or the other.
    """

    __slots__ = ("_buckets", "latest")

    def __init__(self) -> None:
        self._buckets: dict[str, dict[int, int]] = {}
        self.latest = 0.0

    def add(self, kind: str, at: float, now: float) -> None:
        self.latest = max(self.latest, at)
        for name in NAMES[kind]:
            span = FIGURES[name]
            bucket, oldest = span.bucket(at), span.oldest(now)
            if bucket < oldest:
                continue
            buckets = self._buckets.setdefault(name, {})
            buckets[bucket] = buckets.get(bucket, 0) + 1
            if len(buckets) > span.buckets:
                self._buckets[name] = {one: n for one, n in buckets.items() if one >= oldest}

    def figures(self, now: float) -> dict[str, int]:
        """What is inside the windows; a figure that is zero is left out."""
        found = {}
        for name, buckets in list(self._buckets.items()):
            oldest = FIGURES[name].oldest(now)
            if inside := sum(n for one, n in list(buckets.items()) if one >= oldest):
                found[name] = inside
        return found


Told = tuple[float, int]  # when, and the negative of what: the later wins, of equals the lower
STOCK = ""  # where stock is told, among the rivals
NEVER: Told = (float("-inf"), 0)
NOTHING_TOLD: tuple[int, dict[str, Told]] = (0, {})


class EventWindows:
    """Counts and last values, updated by events. Instants are seconds since the epoch.

    Memory is bounded. At most `most` skus (in a zone), and as many shoppers, are held: who is
    longest without an event goes first. At most `most_ids` events are remembered by the hash of
    their id; beyond that the first are forgotten, and whatever is as old as they are is late, so
    that none counts twice. Of a sku at most `RIVALS` competitors are known.

    One thread may write while others read.

    >>> windows = EventWindows()
    >>> at = datetime.fromisoformat("2026-01-05T12:00:00Z")
    >>> view = Event("e1", at, "view", sku="milk", customer_id="ann")
    >>> [str(windows.take(view, at.timestamp())) for _ in range(2)]
    ['accepted', 'duplicate']
    >>> windows.sku("milk", "all", at.timestamp())
    {'views_hour': 1, 'views_day': 1}
    """

    RIVALS = 100

    def __init__(self, most: int = 20_000, most_ids: int = 500_000) -> None:
        self._most, self._most_ids = most, most_ids
        self._seen: dict[int, int] = {}  # hash of an id: the minute of its event
        self._arrived: deque[int] = deque()  # the same hashes, as they came
        self._forgotten = 0  # events up to this minute are late
        self._skus: OrderedDict[Place, Counts] = OrderedDict()
        self._shoppers: OrderedDict[str, Counts] = OrderedDict()
        self._told: OrderedDict[Place, tuple[int, dict[str, Told]]] = OrderedDict()
        self._change = count(1)
        self.latest: dict[str, float] = {}  # kind: when it last occurred

    def judge(self, event: Event, now: float) -> Outcome:
        """Whether an event is to be taken; changes nothing."""
        at = event.occurred_at.timestamp()
        if hash(event.event_id) in self._seen:
            return Outcome.DUPLICATE
        if at > now + AHEAD:
            return Outcome.EARLY
        if DAY.bucket(at) < DAY.oldest(now) or _minute(at) <= self._forgotten:
            return Outcome.LATE
        return Outcome.ACCEPTED

    def take(self, event: Event, now: float) -> Outcome:
        """Let an event count if it is to be taken."""
        outcome = self.judge(event, now)
        if outcome is Outcome.ACCEPTED:
            at = event.occurred_at.timestamp()
            self._remember(event.event_id, at, now)
            self.latest[event.kind] = max(at, self.latest.get(event.kind, at))
            self._count(event, at, now)
            self._learn(event, at)
        return outcome

    def _remember(self, event_id: str, at: float, now: float) -> None:
        mark = hash(event_id)
        self._seen[mark] = _minute(at)
        self._arrived.append(mark)
        while len(self._arrived) > self._most_ids:
            self._forgotten = max(self._forgotten, self._seen.pop(self._arrived.popleft()))
        gone = _minute(DAY.begins(now))
        while self._seen[self._arrived[0]] < gone:
            del self._seen[self._arrived.popleft()]

    def _count(self, event: Event, at: float, now: float) -> None:
        if event.kind not in NAMES:
            return
        if event.place is not None:
            _held(self._skus, event.place, self._most).add(event.kind, at, now)
        if event.customer_id is not None:
            _held(self._shoppers, event.customer_id, self._most).add(event.kind, at, now)

    def _learn(self, event: Event, at: float) -> None:
        match event:
            case Event(kind="stock", place=tuple() as place, on_hand=int() as units):
                self._tell(place, STOCK, (at, -units))
            case Event(
                kind="competitor_price",
                place=tuple() as place,
                competitor=str() as who,
                price=int() as price,
                public=True,
            ):
                self._tell(place, who, (at, -price))

    def _tell(self, place: Place, who: str, told: Told) -> None:
        version, values = self._told.get(place, NOTHING_TOLD)
        before = values.get(who, NEVER)
        if told <= before:
            return
        if who not in values or told[1] != before[1]:
            version = next(self._change)
        values = values | {who: told}
        if len(values) > self.RIVALS + 1:
            del values[min(values.keys() - {STOCK}, key=values.__getitem__)]
        self._told[place] = (version, values)
        self._told.move_to_end(place)
        if len(self._told) > self._most:
            self._told.popitem(last=False)

    def aged(self, now: float) -> list[Place]:
        """Where a last value has left the longest window."""
        since = DAY.begins(now)
        told = ((place, self._told.get(place, NOTHING_TOLD)[1]) for place in list(self._told))
        return [place for place, values in told if any(at < since for at, _ in values.values())]

    def expire(self, now: float, aged: Iterable[Place]) -> None:
        """Drop the last values that have aged in these places, and whom nothing happens to."""
        since = DAY.begins(now)
        for place in aged:
            self._forget(place, since)
        _drop_idle(self._skus, since)
        _drop_idle(self._shoppers, since)

    def _forget(self, place: Place, since: float) -> None:
        values = self._told.get(place, NOTHING_TOLD)[1]
        kept = {who: told for who, told in values.items() if told[0] >= since}
        if kept:
            self._told[place] = (next(self._change), kept)
        else:
            self._told.pop(place, None)

    def version(self, sku: str, zone: str) -> int:
        """Another number whenever another last value holds here; 0 where none ever did."""
        told = self._told
        own, anywhere = told.get((sku, zone)), told.get((sku, ANYWHERE))
        if own is None:
            return 0 if anywhere is None else anywhere[0]
        return own[0] << 64 | (0 if anywhere is None else anywhere[0])

    def on_hand(self, sku: str, zone: str) -> int | None:
        """Units in stock as last told of the zone or of everywhere; None where unknown."""
        return _stock(self._about(sku, zone))

    def competitor_price(self, sku: str, zone: str) -> int | None:
        """The lowest of each competitor's latest public price; None where unknown."""
        return _lowest(self._about(sku, zone))

    def _about(self, sku: str, zone: str) -> list[dict[str, Told]]:
        told = self._told
        found = told.get((sku, zone)), told.get((sku, ANYWHERE))
        return [one[1] for one in found if one is not None]

    def sku(self, sku: str, zone: str, now: float) -> dict[str, int]:
        """Every figure known of a sku in a zone; counts that are zero are left out."""
        counts = self._skus.get((sku, zone))
        found = {} if counts is None else counts.figures(now)
        if told := self._about(sku, zone):
            last = zip(LAST, (_stock(told), _lowest(told)), strict=True)
            found |= {name: value for name, value in last if value is not None}
        return found

    def skus(self) -> list[Place]:
        """Every sku in a zone that something is known of."""
        return list({*self._skus, *self._told})

    def shoppers(self) -> list[str]:
        return list(self._shoppers)

    def shopper(self, customer_id: str, now: float) -> dict[str, int]:
        """Every count of a shopper that is not zero."""
        counts = self._shoppers.get(customer_id)
        return {} if counts is None else counts.figures(now)


def _stock(told: Sequence[Mapping[str, Told]]) -> int | None:
    found = [values[STOCK] for values in told if STOCK in values]
    return -max(found)[1] if found else None


def _lowest(told: Sequence[Mapping[str, Told]]) -> int | None:
    latest: dict[str, Told] = {}
    for values in told:
        for who, value in values.items():
            latest[who] = max(value, latest.get(who, NEVER))
    return min((-value[1] for who, value in latest.items() if who != STOCK), default=None)


K = TypeVar("K")


def _held(held: OrderedDict[K, Counts], key: K, most: int) -> Counts:
    """The counts of a key, now the last to go."""
    counts = held.setdefault(key, Counts())
    held.move_to_end(key)
    if len(held) > most:
        held.popitem(last=False)
    return counts


def _drop_idle(held: OrderedDict[K, Counts], since: float) -> None:
    """Drop those at the front; one that is behind goes when it has come there."""
    while held and next(iter(held.values())).latest < since:
        held.popitem(last=False)


def _minute(at: float) -> int:
    return int(at // 60)
