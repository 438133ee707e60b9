"""Background work of a service process: tasks that run periodically, each on its own thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger("pricebook.background")

SLOWDOWN = 1.25  # factor of the interval after each run that found nothing to do


class PeriodicTask(threading.Thread):
    """Calls `task` every `interval` seconds until stopped.

    A task that returns True did some work. After each call that returns anything else the interval
    grows, up to `idle_interval` seconds, and it is reset after a call that did work. So a task is
    frequent while its work arrives and rare in an idle service, where waking up the thread costs
    ten times as much as the check itself. Without `idle_interval` the interval is constant.

    An exception is logged, and the thread goes on. Each task has its own thread because some tasks
    block for seconds (a slow database, loading a bundle) and must not delay the others.
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
        """Ask the thread to end after the current call."""
        self._stopping.set()
