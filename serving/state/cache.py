"""Looks at the disk, repeated no more often than a request could tell."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Generic, TypeVar

GOOD_FOR = 0.01  # seconds

T = TypeVar("T")


class TtlCache(Generic[T]):
    """What `look` found, looked at again where that is older than `good_for` seconds.

    A look that raises is repeated the next time.
    """

    def __init__(self, look: Callable[[], T], good_for: float = GOOD_FOR) -> None:
        self._look, self._good_for = look, good_for
        self._found: T
        self._until = float("-inf")

    def __call__(self) -> T:
        now = time.monotonic()
        if now >= self._until:
            self._found, self._until = self._look(), now + self._good_for
        return self._found
