"""The service's clock: it follows the machine's clock, but never goes back."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime

NANO = 1_000_000_000  # nanoseconds in a second


class MonotonicClock:
    """Returns the time in UTC, never earlier than a time it returned before.

    If somebody sets the machine's clock back, a quote must neither stay valid for too long nor be
    dated before the quotes that preceded it. While the wall clock is behind the last time returned,
    time advances at the rate of the machine's monotonic counter.
    """

    def __init__(
        self,
        wall_clock: Callable[[], int] = time.time_ns,
        counter: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._wall_clock, self._counter = wall_clock, counter
        self._offset = wall_clock() - counter()

    def __call__(self) -> datetime:
        # The wall clock is read first: if the thread is paused between the two reads, the offset is
        # too small, and this clock is late until the next call. In the other order it would be too
        # large, and this clock would stay ahead of the wall clock for good.
        wall, count = self._wall_clock(), self._counter()
        self._offset = max(self._offset, wall - count)
        return datetime.fromtimestamp((self._offset + count) / NANO, UTC)
