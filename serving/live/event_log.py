"""The event log: every event taken in, as one JSON line, appended for good and read by all workers.

A worker learns from it what the others took in, and after a restart what it had taken in itself.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from itertools import chain
from pathlib import Path

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from pricebook.signals import Event
from serving.state.daily_log import DailyLog

log = logging.getLogger("pricebook.eventlog")

EVENT = TypeAdapter(Event)


class EventLog:
    """One file a day (UTC), by when events arrived. Lines of one call are written at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unreadable = 0  # lines
        self._journal = DailyLog(folder, "events")

    def append(self, events: Iterable[Event], at: datetime) -> None:
        """Write events that arrived at an instant.

        They begin on a line of their own: a batch that a kill or a full disk cut short must not
        spoil the next.

        Raises:
            OSError: the disk refuses; of what it refused nothing may count.
        """
        lines = (to_json(event, exclude_none=True) + b"\n" for event in events)
        self._journal.append(chain([b"\n"], lines), at)

    def unread(self, since: date) -> Iterator[Event]:
        """What has been appended by anybody since the last call, to the files of `since` and after.

        A last line without its end is left for the next call.
        """
        return filter(None, map(self._parsed, self._journal.unread(since)))

    def _parsed(self, line: bytes) -> Event | None:
        try:
            return EVENT.validate_json(line)
        except ValidationError as error:
            self.unreadable += 1
            why = error.errors(include_input=False)[0]["type"]  # the line may tell of a shopper
            log.error(
                "A line of the event log is not an event: %s. Received: %d bytes", why, len(line)
            )
            return None
