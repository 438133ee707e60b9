"""The event log: every event taken in, as one JSON line, appended for good and read by all workers.

A worker learns from it what the others took in, and after a restart what it had taken in itself.
"""

from __future__ import annotations

import errno
import logging
import os
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from pricebook.signals import Event

log = logging.getLogger("pricebook.eventlog")

REPLAYED = 2**28  # bytes at the end of a file that are read when it is first seen
EVENT = TypeAdapter(Event)


class EventLog:
    """One file a day (UTC), by when events arrived. Lines of one call are written at once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.unreadable = 0  # lines
        self._read: dict[Path, int] = {}  # bytes of each file

    def append(self, events: Iterable[Event], at: datetime) -> None:
        """Write events that arrived at an instant.

        They begin on a line of their own: a batch that a kill or a full disk cut short must not
        spoil the next.

        Raises:
            OSError: the disk refuses; of what it refused nothing may count.
        """
        text = b"\n" + b"".join(to_json(event, exclude_none=True) + b"\n" for event in events)
        path = self.folder / f"events-{at:%Y-%m-%d}.jsonl"
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        try:
            if os.write(descriptor, text) < len(text):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        finally:
            os.close(descriptor)

    def unread(self, since: date) -> Iterator[Event]:
        """What has been appended by anybody since the last call, to the files of `since` and after.

        A last line without its end is left for the next call.
        """
        for path in sorted(self.folder.glob("events-*.jsonl")):
            if path.name >= f"events-{since}":
                yield from filter(None, map(self._parsed, self._lines(path)))

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

    def _parsed(self, line: bytes) -> Event | None:
        if line == b"\n":
            return None
        try:
            return EVENT.validate_json(line)
        except ValidationError:
            self.unreadable += 1
            log.error("A line of the event log is not an event. Received: %r", line[:200])
            return None
