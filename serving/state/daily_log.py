"""Logs of lines: appended for good, a file a day (UTC), read by whoever keeps up with them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from pathlib import Path

REPLAYED = 2**28  # bytes at the end of a file that are read when it is first seen


class DailyLog:
    """Appends lines to `<stem>-<day>[.<writer>].jsonl`; those of one call are written at once.

    With a writer the file is that process' own, and `unread` tells what all others wrote; without
    one all write to the same, and it tells everything.
    """

    def __init__(self, folder: Path, stem: str, writer: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._stem = folder, stem
        self._ending = f".{writer}.jsonl" if writer else ".jsonl"
        self._own = bool(writer)
        self._day: date | None = None
        self._descriptor = -1
        self._torn = False  # the last line may lack its end
        self._read: dict[Path, int] = {}  # bytes of each file

    def append(self, lines: Iterable[bytes], at: datetime) -> None:
        """Write the lines of an instant; each ends in a newline.

        Raises:
            OSError: the disk refuses.
        """
        if at.date() != self._day:
            self._open(at.date())
        try:
            self._write(b"".join(lines))
        except OSError:
            self._day, self._torn = None, True  # whatever is there then is opened anew
            raise
        self._torn = False

    def unread(self, since: date) -> Iterator[bytes]:
        """Lines appended since the last call, to the files of `since` and after; no empty ones.

        A last line without its end is left for the next call.
        """
        for path in sorted(self.folder.glob(f"{self._stem}-*.jsonl")):
            mine = self._own and path.name.endswith(self._ending)
            if path.name >= f"{self._stem}-{since}" and not mine:
                yield from (line for line in self._lines(path) if line != b"\n")

    def _write(self, lines: bytes) -> None:
        text = b"\n" + lines if self._torn else lines
        if os.write(self._descriptor, text) < len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))

    def _lines(self, path: Path) -> Iterator[bytes]:
        size = path.stat().st_size
        read = self._read.setdefault(path, max(0, size - REPLAYED))
        if read == size:
            return
        with path.open("rb") as file:
            file.seek(read)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                self._read[path] += len(line)
                yield line

    def _open(self, day: date) -> None:
        path = self.folder / f"{self._stem}-{day}{self._ending}"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._day = day
