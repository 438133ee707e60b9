"""The public prices of each sku: recorded when they change, and known to every worker."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from datetime import date, datetime
from itertools import count
from pathlib import Path

from ledger import public_prices as record
from ledger.public_prices import Change, PublicPrice
from pricebook.events import Place
from serving.state.daily_log import DailyLog

log = logging.getLogger("pricebook.public_prices")


class PublicPrices:
    """The public prices of this home, in memory.

    The event loop's thread records changes, and a background thread reads those of other workers.
    They take turns by a lock. Quotes read without it, because reading one key of a dict is atomic.

    Args:
        folder: of the record (`ledger.public_prices`). None: nothing is written, which is for a
            quoter without a home.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._log = None if folder is None else DailyLog(folder, record.STEM)
        self._through, prices = (None, {}) if folder is None else record.read_summary(folder)
        self._prices: record.PublicPrices = prices
        # All versions come from one counter, so that none is ever used twice.
        self._counter = count(1)
        self._versions: dict[Place, int] = {}
        self._lock = threading.Lock()

    def get(self, place: Place) -> PublicPrice | None:
        """The public prices of a sku and zone; None if there was no quote."""
        return self._prices.get(place)

    def version(self, place: Place) -> int:
        """A number that changes whenever the public price of this sku and zone changes."""
        return self._versions.get(place, 0)

    def add(self, changes: Sequence[Change], at: datetime) -> None:
        """Record changes, and read them back after those that other workers recorded before.

        If the disk refuses them, they are not known either. They are tried again at the next quote.
        """
        if self._log is None:
            with self._lock:
                self._apply(changes)
            return
        with self._lock:
            try:
                self._log.append([change.line() for change in changes], at)
            except OSError as error:
                log.error("%d public prices could not be recorded: %s", len(changes), error)
                return
            self._read()

    def catch_up(self) -> bool:
        """Read the changes that other workers recorded, and at the start all of them.

        Returns whether there were any.
        """
        with self._lock:
            return self._read()

    def _read(self) -> bool:
        if self._log is None:
            return False
        since = date.min if self._through is None else self._through.date()
        changes = [change for line in self._log.unread(since) if (change := record.read_line(line))]
        self._apply(changes)
        return bool(changes)

    def _apply(self, changes: Sequence[Change]) -> None:
        for change in changes:
            before = self._prices.get(change.place)
            if record.add(self._prices, change, self._through) and (
                self._prices[change.place] != before
            ):
                self._versions[change.place] = next(self._counter)
