"""Background work of a service process: tasks that run periodically, each on its own thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger("pricebook.background")

SLOWDOWN = 1.25  # the interval grows by this factor after each run without work


class PeriodicTask(threading.Thread):
    """Calls `task` every `interval` seconds until stopped.

    `task` returns True if it did some work. After each other result the interval grows, up to
    `idle_interval` seconds. After a result of True it is `interval` again. So a task runs often
    while there is work, and rarely in an idle service, where waking up the thread costs ten times
    as much as the check itself. Without `idle_interval` the interval is constant.

    An exception is logged, and the thread continues. Each task has its own thread, because some
    tasks block for seconds (a slow database, loading a bundle) and must not delay the others.
    """

    def __init__(
        self, task: Callable[[], object], interval: float, idle_interval: float = 0.0
    ) -> None:
        super().__init__(name="pricebook-background", daemon=True)
        self._task, self._interval = task, interval
        self._longest = max(interval, idle_interval)
        self._stopping = threading.Event()

    def run(self) -> None:
        interval = self._interval
        # Event.wait doubles as a sleep that stop() ends at once.
        while not self._stopping.wait(interval):
            worked = self._run_task()
            interval = self._interval if worked else min(self._longest, interval * SLOWDOWN)

    def _run_task(self) -> bool:
        try:
            return self._task() is True
        except Exception:
            log.exception("A background task failed. It will run again.")
            return False

    def stop(self) -> None:
        """End the thread after the current call. Does not wait for it."""
        self._stopping.set()
