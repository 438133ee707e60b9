"""The quote log: every quote as one JSON line, with what it was decided from, appended for good."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from datetime import date, datetime
from pathlib import Path


class Journal:
    """Appends to one file a day (UTC). Lines of one call are written at once, and stay together."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._day: date | None = None
        self._descriptor = -1

    def append(self, lines: Iterable[bytes], at: datetime) -> None:
        """Write the lines of an instant; each ends in a newline.

        Raises:
            OSError: the disk refuses.
        """
        if at.date() != self._day:
            self._open(at.date())
        text = b"".join(lines)
        if os.write(self._descriptor, text) < len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))

    def _open(self, day: date) -> None:
        path = self.folder / f"quotes-{day:%Y-%m-%d}.jsonl"
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        self._day = day
