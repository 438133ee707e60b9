"""Pushes live features to the online store. One worker of a home pushes for all of them."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import Any

from pricebook.config import Settings
from pricebook.events import Event, Place
from pricebook.latest_values import VALUE_FEATURES
from pricebook.signals import COUNT_FEATURES, EventWindows
from serving.state.online_store import LiveViews, OnlineStoreError

log = logging.getLogger("pricebook.pushes")

BATCH = 200  # keys of a view in one push; other threads get little time while it runs
PAUSE_FACTOR = 9  # a pause of 9 times the duration of the push limits pushing to 10 % of a core
MAX_PAUSE = 1.0  # seconds; the first push takes long, because it imports Feast
RETRY_PAUSE = 2.0  # seconds after a failed push
MAX_WAITING = 50_000  # keys of a view; further keys are skipped until their next event


class PushQueue:
    """The skus and shoppers whose features have changed since they were last pushed.

    The queue holds keys, not features: a push reads the features at that time, so a key with many
    events is pushed once.

    The worker that holds the lock file pushes. The operating system releases the lock when the
    worker ends, even if it is killed, and another worker takes over. That one pushes everything it
    has, because it cannot know what the store has missed.

    Threads: `add` runs on the event loop's thread or the thread that reads the event log, `push` on
    its own thread. No lock is needed, because each operation on a dict is atomic, and a key is
    removed before its features are read: an event that comes later adds the key again.

    Attributes:
        is_leader: whether this worker pushes.
        pushed: the number of rows pushed.
        failures: the number of failed pushes.
        problem: why the last push failed; empty if it succeeded.
    """

    def __init__(
        self, settings: Settings, windows: EventWindows, clock: Callable[[], datetime]
    ) -> None:
        self._windows, self._clock = windows, clock
        self._views = LiveViews(settings)
        self._lock_file = (settings.state / "events" / "pushing.lock").open("w")
        self.is_leader = False
        self._paused_until = 0.0
        # A dict as an ordered set: the keys that have waited for the longest time are first.
        self._skus: dict[Place, None] = {}
        self._shoppers: dict[str, None] = {}
        self.pushed, self.failures, self.problem = 0, 0, ""

    def close(self) -> None:
        """Release the lock file, so that another worker can push."""
        self._lock_file.close()

    @property
    def waiting(self) -> int:
        """The number of keys that wait to be pushed."""
        return len(self._skus) + len(self._shoppers)

    def add(self, event: Event) -> None:
        """Put the sku and the shopper of an event into the queue."""
        if not self.is_leader:
            return
        if event.place is not None and len(self._skus) < MAX_WAITING:
            self._skus[event.place] = None
        if event.customer_id is not None and len(self._shoppers) < MAX_WAITING:
            self._shoppers[event.customer_id] = None

    def push(self) -> bool:
        """Push a batch of each view, unless another worker pushes or this one has to pause.

        Returns whether there were keys to push.
        """
        began = time.monotonic()
        if began < self._paused_until or not self._lead():
            return self.waiting > 0
        worked = self.waiting > 0
        try:
            self._push("sku_live", self._skus, self._sku_row)
            self._push("shopper_live", self._shoppers, self._shopper_row)
            self.problem = ""
        except OnlineStoreError as error:
            self._record_failure(str(error))
        ended = time.monotonic()
        pause = RETRY_PAUSE if self.problem else min(MAX_PAUSE, PAUSE_FACTOR * (ended - began))
        self._paused_until = ended + pause
        return worked

    def _lead(self) -> bool:
        """Whether this worker pushes. Takes the lock file if no worker holds it."""
        if not self.is_leader:
            try:
                fcntl.flock(self._lock_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            # First lead, then list the keys: an event in between is in the queue either way.
            self.is_leader = True
            self._skus |= dict.fromkeys(self._windows.skus())
            self._shoppers |= dict.fromkeys(self._windows.shoppers())
        return True

    def _push(self, view: str, queue: dict[Any, None], row: Callable[..., dict[str, Any]]) -> None:
        keys = list(islice(queue, BATCH))
        if not keys:
            return
        for key in keys:
            del queue[key]
        now = self._clock()
        try:
            self._views.write(view, [row(key, now) for key in keys], now)
        except OnlineStoreError:
            queue |= dict.fromkeys(keys)
            raise
        self.pushed += len(keys)

    def _record_failure(self, problem: str) -> None:
        if problem != self.problem:  # log a problem once, not at every push
            log.error("Live features wait to be pushed: %s", problem)
        self.problem = problem
        self.failures += 1

    def _sku_row(self, place: Place, now: datetime) -> dict[str, Any]:
        sku, zone = place
        empty = dict.fromkeys(COUNT_FEATURES, 0) | dict.fromkeys(VALUE_FEATURES)
        features = self._windows.sku_features(sku, zone, now.timestamp())
        return {"sku": sku, "zone": zone, **empty, **features}

    def _shopper_row(self, customer_id: str, now: datetime) -> dict[str, Any]:
        empty = dict.fromkeys(COUNT_FEATURES, 0)
        features = self._windows.shopper_features(customer_id, now.timestamp())
        return {"customer_id": customer_id, **empty, **features}
