"""Append-only log of JSON lines: one file a day (UTC), which other processes follow."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from pathlib import Path

REPLAY_LIMIT = 2**28  # bytes at the end of a file that are read when it is opened the first time
SETTLED = 1_000_000_000  # nanoseconds without a change after which a folder listing is reused


class DailyLog:
    """Appends lines to `<stem>-<day>[.<writer>].jsonl` and reads what has been appended.

    With a `writer` each process writes its own file, and `unread` returns the lines of all
    other processes. Without one all processes append to the same file, and `unread` returns every
    line, those of this process included.
    """

    def __init__(self, folder: Path, stem: str, writer: str = "") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._stem = folder, stem
        self._suffix = f".{writer}.jsonl" if writer else ".jsonl"
        self._has_own_file = bool(writer)
        self._day: date | None = None
        self._descriptor = -1
        self._torn = False  # the last write failed, so its line may lack its newline
        self._offsets: dict[Path, int] = {}  # bytes of each file that were read
        self._files: list[Path] = []
        self._listed: tuple[int, date] | None = None  # folder's time of change, `since`

    def append(self, lines: Iterable[bytes], at: datetime) -> None:
        """Append lines to the file of the instant's day, in one write. Each ends in a newline.

        One write with O_APPEND is not interleaved with those of other processes.

        Raises:
            OSError: the disk refuses the write.
        """
        if at.date() != self._day:
            self._open(at.date())
        try:
            self._write(b"".join(lines))
        except OSError:
            self._day, self._torn = None, True  # open the file again at the next call
            raise
        self._torn = False

    def unread(self, since: date) -> Iterator[bytes]:
        """Lines appended since the last call to the files of day `since` and later.

        Empty lines are skipped. A last line without a newline is still being written, so it is left
        for the next call.
        """
        for path in self._list_files(since):
            yield from (line for line in self._read_lines(path) if line != b"\n")

    def _write(self, lines: bytes) -> None:
        # After a failed write, begin on a new line: the torn one must not spoil the next.
        text = b"\n" + lines if self._torn else lines
        if os.write(self._descriptor, text) < len(text):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.folder))

    def _list_files(self, since: date) -> list[Path]:
        """The files to read. The folder is listed again only after it has changed.

        This runs up to 50 times a second, and the folder grows by a few files a day.
        """
        try:
            changed = self.folder.stat().st_mtime_ns
        except FileNotFoundError:
            return []
        if self._listed != (changed, since):
            first = f"{self._stem}-{since}"
            files = sorted(self.folder.glob(f"{self._stem}-*.jsonl"))
            self._files = [file for file in files if file.name >= first and not self._is_own(file)]
            # The folder's time of change is only as exact as the kernel's tick. A file created
            # within the same tick as this listing would never be seen, so reuse the listing only
            # if the folder had not changed for a while before it.
            settled = time.time_ns() - changed > SETTLED
            self._listed = (changed, since) if settled else None
        return self._files

    def _is_own(self, file: Path) -> bool:
        return self._has_own_file and file.name.endswith(self._suffix)

    def _read_lines(self, path: Path) -> Iterator[bytes]:
        size = path.stat().st_size
        offset = self._offsets.setdefault(path, max(0, size - REPLAY_LIMIT))
        if offset == size:
            return
        with path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                # Advance before the yield: a line that the caller cannot read is not read twice.
                self._offsets[path] += len(line)
                yield line

    def _open(self, day: date) -> None:
        path = self.folder / f"{self._stem}-{day}{self._suffix}"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = descriptor
        self._day = day
