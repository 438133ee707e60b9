"""The event log: every accepted event as a JSON line, appended by any worker and read by all.

A worker reads in it the events that other workers received and, after a restart, its own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from itertools import chain
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from pricebook.events import Event
from serving.state.daily_log import DailyLog

log = logging.getLogger("pricebook.eventlog")

EVENT = TypeAdapter(Event)


class EventLog:
    """One file per day (UTC) of arrival. Each batch is written in one call.

    Attributes:
        unreadable: the number of lines read that are not events.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unreadable = 0
        self._daily_log = DailyLog(folder, "events")

    def append(self, events: Iterable[Event], at: datetime) -> None:
        """Write events that arrived at an instant.

        Raises:
            OSError: the disk refuses the write. None of these events may count.
        """
        lines = (to_json(event, exclude_none=True) + b"\n" for event in events)
        # A killed worker or a full disk may have left half a line at the end of the file. A newline
        # first keeps that half from spoiling the first event of this batch.
        self._daily_log.append(chain([b"\n"], lines), at)

    def unread(self, since: date) -> Iterator[Event]:
        """Events appended by any worker since the last call, from the files of `since` and later.

        A last line without a newline is still being written, so it is left for the next call.
        """
        return filter(None, map(self._parse, self._daily_log.unread(since)))

    def _parse(self, line: bytes) -> Event | None:
        try:
            return EVENT.validate_json(line)
        except ValidationError as error:
            self.unreadable += 1
            # The line itself is not logged: it may name a shopper.
            problem = error.errors(include_input=False)[0]["type"]
            log.error(
                "A line of the event log is not an event: %s. Received: %d bytes",
                problem,
                len(line),
            )
            return None
