"""Background work of a service process: tasks that run periodically on threads."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

log = logging.getLogger("pricebook.background")


class PeriodicTask(threading.Thread):
    """Calls `task` every `interval` seconds until stopped. An error is logged; the thread goes on."""

    def __init__(self, task: Callable[[], object], interval: float) -> None:
        super().__init__(name="pricebook-background", daemon=True)
        self._task, self._interval, self._stopping = task, interval, threading.Event()

    def run(self) -> None:
        while not self._stopping.wait(self._interval):
            try:
                self._task()
            except Exception:
                log.exception("A background task failed; it will run again.")

    def stop(self) -> None:
        self._stopping.set()
