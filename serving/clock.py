"""The service's clock: the wall's, except that it never goes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

NANO = 1_000_000_000


class MonotonicClock:
    """A clock set back must not let quotes outlive their time, nor expire before they are given.

    While the wall's clock lags behind what was last told, time goes on as the machine counts it.
    """

    def __init__(
        self, wall: Callable[[], int] = time.time_ns, steady: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self._wall, self._steady = wall, steady
        self._ahead = wall() - steady()

    def __call__(self) -> datetime:
        wall, steady = self._wall(), self._steady()  # a pause between them lags, and never leads
        self._ahead = max(self._ahead, wall - steady)
        return datetime.fromtimestamp((self._ahead + steady) / NANO, UTC)
