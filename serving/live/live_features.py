"""The live features of one worker: events are added, and quotes read the features from memory.

`add` counts events at once. Two background threads do the rest: one reads the events of other
workers from the event log, the other pushes features to the online store.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from pricebook.config import Settings
from pricebook.events import Event
from pricebook.signals import EventWindows, Outcome
from serving.live.event_log import EventLog
from serving.live.push_queue import PushQueue
from serving.state.background import PeriodicTask

READ_INTERVAL = 0.02  # seconds between reads of the event log while events arrive
READ_IDLE_INTERVAL = 0.09  # while none arrive; docs/service.md promises ten times a second
PUSH_INTERVAL = 0.1
PUSH_IDLE_INTERVAL = 1.0
EXPIRE_INTERVAL = 60.0
MAX_LOCKED = 200  # events added while holding the lock; then requests get a turn


@dataclass(frozen=True)
class EventCounts:
    """The numbers of events by outcome."""

    accepted: int = 0
    duplicate: int = 0
    late: int = 0
    early: int = 0


def _utc_now() -> datetime:
    return datetime.now(UTC)


class LiveFeatures:
    """Live features from the events that all workers of this home receive.

    Any thread may read `windows`, without a lock and without access to the disk. Two threads change
    it: the event loop's in `add`, and a background thread in `catch_up`. They take turns by a lock.

    Args:
        on_orders: called with the new orders that name their quote, after they are counted. Only
            the worker that received the orders calls it.
    """

    def __init__(
        self,
        settings: Settings,
        on_orders: Callable[[Sequence[Event], datetime], None] = lambda orders, now: None,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._on_orders, self._clock = on_orders, clock
        self._log = EventLog(settings.state / "events")
        self.windows, self._lock = EventWindows(), threading.Lock()
        self._expired_at = 0.0
        self.push_queue = PushQueue(settings, self.windows, clock)
        self._tasks = [
            PeriodicTask(self.catch_up, READ_INTERVAL, READ_IDLE_INTERVAL),
            PeriodicTask(self.push_queue.push, PUSH_INTERVAL, PUSH_IDLE_INTERVAL),
        ]

    def start(self) -> None:
        """Read the events of the last day from the log, then start the background threads."""
        self.catch_up()
        for task in self._tasks:
            task.start()

    def stop(self) -> None:
        """Stop the background threads, and let another worker push."""
        for task in self._tasks:
            task.stop()
        for task in self._tasks:
            task.join(timeout=1)
        self.push_queue.close()

    @property
    def unreadable(self) -> int:
        """The number of lines of the event log that are not events."""
        return self._log.unreadable

    def add(self, events: Sequence[Event], now: datetime) -> EventCounts:
        """Write the accepted events to the log, then count them.

        Raises:
            OSError: the log cannot be written. No event is counted, so all may be sent again.
        """
        with self._lock:
            accepted, outcomes = self._classify(events, now.timestamp())
            if accepted:
                # First log, then count. An event that is counted but not logged would be unknown
                # to the other workers, and lost at a restart.
                self._log.append(accepted, now)
                self._count(accepted, now)
        if orders := [event for event in accepted if event.quote_id is not None]:
            self._on_orders(orders, now)
        return EventCounts(**outcomes)

    def _classify(self, events: Sequence[Event], now: float) -> tuple[list[Event], dict[str, int]]:
        """The accepted events, and the numbers of events by outcome."""
        accepted: dict[str, Event] = {}
        outcomes: Counter[str] = Counter()
        for event in events:
            repeated = event.event_id in accepted  # within this batch
            outcome = Outcome.DUPLICATE if repeated else self.windows.classify(event, now)
            outcomes[outcome] += 1
            if outcome is Outcome.ACCEPTED:
                accepted[event.event_id] = event
        return list(accepted.values()), dict(outcomes)

    def _count(self, events: Iterable[Event], now: datetime) -> None:
        for event in events:
            if self.windows.add(event, now.timestamp()) is Outcome.ACCEPTED:
                self.push_queue.add(event)

    def catch_up(self) -> bool:
        """Count new events in the log: those of other workers, and its own before a restart.

        Returns whether there were any lines to read. The log also has the events that this worker
        has just counted; their ids are known, so they have no effect.
        """
        now, worked = self._clock(), False
        unread = self._log.unread(now.date() - timedelta(days=1))
        while events := list(islice(unread, MAX_LOCKED)):
            worked = True
            with self._lock:
                self._count(events, now)
        self._expire(now.timestamp())
        return worked

    def _expire(self, now: float) -> None:
        """Drop old features, at most once a minute."""
        if now - self._expired_at > EXPIRE_INTERVAL:
            self._expired_at = now
            # Looking through all values takes long, so it is done before the lock is taken.
            places = self.windows.expired_places(now)
            with self._lock:
                self.windows.expire(now, places)

    def staleness(self, now: datetime) -> dict[str, float]:
        """Seconds since the latest event of each kind. Kinds without an event are left out."""
        latest = self.windows.latest.copy()
        return {kind: max(0.0, now.timestamp() - at) for kind, at in latest.items()}
