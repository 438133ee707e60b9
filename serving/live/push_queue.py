"""Figures on their way to the online store: of all workers of a home one pushes, for all."""

from __future__ import annotations

import fcntl
import logging
import time
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import Any

from pricebook.config import Settings
from pricebook.signals import FIGURES, LAST, Event, EventWindows, Place
from serving.state.online_store import LiveViews, OnlineStoreError

log = logging.getLogger("pricebook.pushes")

BATCH = 200  # keys of a view pushed at once; meanwhile other threads get little of the interpreter
REST = 9  # times as long as a push took, so that it takes a tenth of a core, whatever the load
LONGEST_REST = 1.0  # seconds; the first push also loads Feast
RETRY = 2.0  # seconds until a store that failed is tried again
MOST = 50_000  # keys of a view that may wait; beyond it a key waits until it is touched again


class PushQueue:
    """Keys whose figures changed wait here; each push takes the figures as they are by then.

    Who holds the lock file pushes. Who gets it, at first or because its holder died, pushes
    everything: it cannot know what the store has missed.
    """

    def __init__(
        self, settings: Settings, windows: EventWindows, clock: Callable[[], datetime]
    ) -> None:
        self._windows, self._clock = windows, clock
        self._views = LiveViews(settings)
        self._lock = (settings.state / "events" / "pushing.lock").open("w")
        self.leads, self._rests_until = False, 0.0
        self._skus: dict[Place, None] = {}
        self._shoppers: dict[str, None] = {}
        self.problem = ""
        self.pushed, self.failures = 0, 0  # rows; pushes

    def close(self) -> None:
        self._lock.close()

    @property
    def waiting(self) -> int:
        return len(self._skus) + len(self._shoppers)

    def touch(self, event: Event) -> None:
        if not self.leads:
            return
        if event.place is not None and len(self._skus) < MOST:
            self._skus[event.place] = None
        if event.customer_id is not None and len(self._shoppers) < MOST:
            self._shoppers[event.customer_id] = None

    def push(self) -> bool:
        """Push a batch of each view, unless another worker pushes or this one has to pause.

        Returns whether there were keys to push.
        """
        began = time.monotonic()
        if began < self._rests_until or not self._lead():
            return self.waiting > 0
        worked = self.waiting > 0
        try:
            self._push("sku_live", self._skus, self._sku)
            self._push("shopper_live", self._shoppers, self._shopper)
            self.problem = ""
        except OnlineStoreError as error:
            self._failed(str(error))
        ended = time.monotonic()
        rest = RETRY if self.problem else min(LONGEST_REST, REST * (ended - began))
        self._rests_until = ended + rest
        return worked

    def _lead(self) -> bool:
        if not self.leads:
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            self.leads = True
            self._skus |= dict.fromkeys(self._windows.skus())
            self._shoppers |= dict.fromkeys(self._windows.shoppers())
        return True

    def _push(
        self, view: str, waiting: dict[Any, None], row: Callable[..., dict[str, Any]]
    ) -> None:
        keys = list(islice(waiting, BATCH))
        if not keys:
            return
        for key in keys:
            del waiting[key]
        now = self._clock()
        try:
            self._views.write(view, [row(key, now) for key in keys], now)
        except OnlineStoreError:
            waiting |= dict.fromkeys(keys)
            raise
        self.pushed += len(keys)

    def _failed(self, why: str) -> None:
        if why != self.problem:
            log.error("Live figures wait to be pushed: %s", why)
        self.problem = why
        self.failures += 1

    def _sku(self, place: Place, now: datetime) -> dict[str, Any]:
        known = self._windows.sku(*place, now.timestamp())
        keys = dict(zip(("sku", "zone"), place, strict=True))
        return keys | dict.fromkeys(FIGURES, 0) | dict.fromkeys(LAST) | known

    def _shopper(self, customer_id: str, now: datetime) -> dict[str, Any]:
        known = self._windows.shopper(customer_id, now.timestamp())
        return {"customer_id": customer_id} | dict.fromkeys(FIGURES, 0) | known
