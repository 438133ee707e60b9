"""Live signals of one worker: events in, figures out, all in memory.

`take` lets events count at once. Two threads do the rest: one reads in the event log what other
workers took in; the other pushes figures to the online store, which no quote waits for.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from pricebook.config import Settings
from pricebook.signals import Event, EventWindows, Outcome
from serving.live.event_log import EventLog
from serving.live.push_queue import PushQueue
from serving.state.background import PeriodicTask

READ_INTERVAL = 0.02  # seconds between reads of the event log while events arrive
READ_IDLE_INTERVAL = 0.09  # while none arrive; docs/service.md promises ten times a second
PUSH_INTERVAL = 0.1
PUSH_IDLE_INTERVAL = 1.0
EXPIRE_EVERY = 60.0
SLICE = 200  # events let count before anybody else is let in


@dataclass(frozen=True)
class Taken:
    """How many events counted, and how many changed nothing, by why."""

    accepted: int = 0
    duplicate: int = 0
    late: int = 0
    early: int = 0


def _now() -> datetime:
    return datetime.now(UTC)


class LiveFeatures:
    """What happens in the shop, as far as any worker of this home has been told.

    `bought` is handed the orders that name their quote, in the worker that takes them in, once they
    count. What is asked needs neither a lock nor a disk.
    """

    def __init__(
        self,
        settings: Settings,
        bought: Callable[[Sequence[Event], datetime], None] = lambda orders, now: None,
        clock: Callable[[], datetime] = _now,
    ) -> None:
        self._bought, self._clock = bought, clock
        self._log = EventLog(settings.state / "events")
        self.windows, self._lock = EventWindows(), threading.Lock()
        self._expired = 0.0
        self.pushes = PushQueue(settings, self.windows, clock)
        self._watches = [
            PeriodicTask(self.catch_up, READ_INTERVAL, READ_IDLE_INTERVAL),
            PeriodicTask(self.pushes.push, PUSH_INTERVAL, PUSH_IDLE_INTERVAL),
        ]

    def start(self) -> None:
        """Learn what was taken in before, then keep up with it."""
        self.catch_up()
        for watch in self._watches:
            watch.start()

    def stop(self) -> None:
        for watch in self._watches:
            watch.stop()
        for watch in self._watches:
            watch.join(timeout=1)
        self.pushes.close()

    @property
    def unreadable(self) -> int:
        """Lines of the event log that were no events."""
        return self._log.unreadable

    def take(self, events: Sequence[Event], now: datetime) -> Taken:
        """Log the events that are new and in time, and let them count.

        Raises:
            OSError: the log refuses them; none counts, and all may be sent again.
        """
        with self._lock:
            fresh, outcomes = self._judged(events, now.timestamp())
            if fresh:
                self._log.append(fresh, now)
                self._let_count(fresh, now)
        if orders := [event for event in fresh if event.quote_id is not None]:
            self._bought(orders, now)
        return Taken(**outcomes)

    def _judged(self, events: Sequence[Event], now: float) -> tuple[list[Event], dict[str, int]]:
        fresh: dict[str, Event] = {}
        outcomes: Counter[str] = Counter()
        for event in events:
            known = event.event_id in fresh
            outcome = Outcome.DUPLICATE if known else self.windows.judge(event, now)
            outcomes[outcome] += 1
            if outcome is Outcome.ACCEPTED:
                fresh[event.event_id] = event
        return list(fresh.values()), dict(outcomes)

    def _let_count(self, events: Iterable[Event], now: datetime) -> None:
        for event in events:
            if self.windows.take(event, now.timestamp()) is Outcome.ACCEPTED:
                self.pushes.touch(event)

    def catch_up(self) -> bool:
        """Count the events that the log has of other workers, and of this one before a restart.

        Returns whether there were any.
        """
        now, worked = self._clock(), False
        unread = self._log.unread(now.date() - timedelta(days=1))
        while some := list(islice(unread, SLICE)):
            worked = True
            with self._lock:
                self._let_count(some, now)
        self._expire(now.timestamp())
        return worked

    def _expire(self, now: float) -> None:
        if now - self._expired > EXPIRE_EVERY:
            self._expired, aged = now, self.windows.aged(now)
            with self._lock:
                self.windows.expire(now, aged)

    def staleness(self, now: datetime) -> dict[str, float]:
        """Seconds since the last event of each kind there was any of."""
        latest = self.windows.latest.copy()
        return {kind: max(0.0, now.timestamp() - at) for kind, at in latest.items()}
