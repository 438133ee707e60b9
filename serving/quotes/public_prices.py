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
from pricebook.pricing.arms import CHAMPION
from pricebook.pricing.prior_price import counts
from pricebook.pricing.quote import Offer
from serving.state.daily_log import DailyLog

log = logging.getLogger("pricebook.public_prices")


class PublicPrices:
    """The public prices of this home, in memory.

    The event loop's thread records changes, and a background thread reads those of other workers.
    They take turns by a lock. Quotes read without it, because reading one key of a dict is atomic.

    Args:
        folder: of the record (`ledger.public_prices`). None: nothing is written, which is for a
            quoter without a home.

    Attributes:
        versions: for each sku and zone a number that changes with its public prices. All numbers
            come from one counter, so none is ever used twice.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._log = None if folder is None else DailyLog(folder, record.STEM)
        self._through, prices = (None, {}) if folder is None else record.read_summary(folder)
        self._prices: record.PublicPrices = prices
        self._counter = count(1)
        self.versions: dict[Place, int] = {}
        self._lock = threading.Lock()

    def get(self, place: Place) -> PublicPrice | None:
        """The public prices of a sku and zone; None if there was no quote."""
        return self._prices.get(place)

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
                self.versions[change.place] = next(self._counter)


def is_new(offer: Offer, known: PublicPrice | None, fallback: bool) -> bool:
    """Whether a quote of this offer, to an anonymous shopper at least, changes the public price.

    Args:
        fallback: whether it is at list price because something failed. The first price that was
            decided is recorded even if it is the same.
    """
    if known is not None and known.price == offer.price:
        return known.fallback and not fallback and offer.arm == CHAMPION
    current = None if known is None else known.price
    return counts(offer.arm, offer.personalised, True, offer.price, current)
