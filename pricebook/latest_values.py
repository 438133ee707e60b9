"""The latest stock and competitor prices, from events in memory.

A value is replaced only by a newer one. So the order of arrival and repeated events do not matter:
all processes that read the same events have the same values.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import count
from typing import NamedTuple

from pricebook.events import ALL_ZONES, Event, Place

VALUE_FEATURES = ("on_hand", "competitor_price")
MAX_COMPETITORS = 100  # of a sku


class Observation(NamedTuple):
    """A value and the time it was observed.

    The sign of the value is changed, so that the greater of two observations is the newer one and,
    at the same time, the one with the lower value. So processes agree in whatever order they read.
    """

    at: float
    negative: int


# The latest observation of each source: of a competitor its price, of STOCK the units in stock.
Observations = Mapping[str, Observation]
STOCK = ""
NEVER = Observation(float("-inf"), 0)
NO_OBSERVATIONS: tuple[int, Observations] = (0, {})


class LatestValues:
    """The latest values of each sku and zone. Instants are in seconds since the epoch.

    It holds at most `max_places` skus (in a zone). The one that was not updated for the longest
    time is dropped first.

    One thread may write while others read, without a lock: a sku's observations are replaced by a
    new dict, never changed in place.
    """

    def __init__(self, max_places: int) -> None:
        self._max_places = max_places
        # The version and observations of each place. All versions come from one counter, so that
        # none is ever used twice.
        self._values: OrderedDict[Place, tuple[int, Observations]] = OrderedDict()
        self._versions = count(1)

    def __len__(self) -> int:
        return len(self._values)

    def update(self, event: Event, at: float) -> None:
        """Take the value of a stock event or of a public competitor price."""
        match event:
            case Event(kind="stock", place=tuple() as place, on_hand=int() as units):
                self._observe(place, STOCK, Observation(at, -units))
            case Event(
                kind="competitor_price",
                place=tuple() as place,
                competitor=str() as competitor,
                price=int() as price,
                public=True,
            ):
                self._observe(place, competitor, Observation(at, -price))

    def _observe(self, place: Place, source: str, new: Observation) -> None:
        version, observations = self._values.get(place, NO_OBSERVATIONS)
        previous = observations.get(source, NEVER)
        if new <= previous:
            return
        if source not in observations or new.negative != previous.negative:
            version = next(self._versions)
        updated = {**observations, source: new}
        if len(updated) > MAX_COMPETITORS + 1:
            del updated[min(updated.keys() - {STOCK}, key=updated.__getitem__)]
        self._values[place] = (version, updated)
        self._values.move_to_end(place)
        if len(self._values) > self._max_places:
            self._values.popitem(last=False)

    def version(self, sku: str, zone: str) -> int:
        """A number that changes whenever a value of this sku changes; 0 if it has no value.

        It combines the version of the zone with the version of events without a zone.
        """
        values = self._values
        in_zone, in_all = values.get((sku, zone)), values.get((sku, ALL_ZONES))
        if in_zone is None:
            return 0 if in_all is None else in_all[0]
        return in_zone[0] << 64 | (0 if in_all is None else in_all[0])

    def on_hand(self, sku: str, zone: str) -> int | None:
        """Units in stock; None if unknown."""
        return _on_hand(self._applicable(sku, zone))

    def competitor_price(self, sku: str, zone: str) -> int | None:
        """The lowest of the competitors' latest public prices; None if unknown."""
        return _lowest_price(self._applicable(sku, zone))

    def features(self, sku: str, zone: str) -> dict[str, int]:
        """The known values, by the name of the feature."""
        features: dict[str, int] = {}
        if observations := self._applicable(sku, zone):
            if (units := _on_hand(observations)) is not None:
                features["on_hand"] = units
            if (price := _lowest_price(observations)) is not None:
                features["competitor_price"] = price
        return features

    def places(self) -> list[Place]:
        return list(self._values)

    def expired_places(self, start: float) -> list[Place]:
        """The places with an observation older than `start`. For any thread: it only reads."""
        return [
            place
            for place in self.places()
            if any(observation.at < start for observation in self._at(place).values())
        ]

    def drop_expired(self, places: Iterable[Place], start: float) -> None:
        """Drop the observations older than `start` in these places."""
        for place in places:
            recent = {name: value for name, value in self._at(place).items() if value.at >= start}
            if recent:
                self._values[place] = (next(self._versions), recent)
            else:
                self._values.pop(place, None)

    def _at(self, place: Place) -> Observations:
        return self._values.get(place, NO_OBSERVATIONS)[1]

    def _applicable(self, sku: str, zone: str) -> list[Observations]:
        """The observations in a zone, and those without a zone.

        An event without a zone applies to every zone without a newer event. So the functions below
        take the newer of the two for each source.
        """
        values = self._values
        pair = values.get((sku, zone)), values.get((sku, ALL_ZONES))
        return [versioned[1] for versioned in pair if versioned is not None]


def _on_hand(applicable: Sequence[Observations]) -> int | None:
    observed = [observations[STOCK] for observations in applicable if STOCK in observations]
    return -max(observed).negative if observed else None


def _lowest_price(applicable: Sequence[Observations]) -> int | None:
    latest: dict[str, Observation] = {}
    for observations in applicable:
        for source, observation in observations.items():
            latest[source] = max(observation, latest.get(source, NEVER))
    prices = (-latest[source].negative for source in latest if source != STOCK)
    return min(prices, default=None)
