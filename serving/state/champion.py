"""The bundle in service, and the watch for a newer one."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from pricebook.errors import PricebookError
from serving.http.errors import RequestError
from serving.quotes import bundle as bundles
from serving.quotes.offers import Offers, Signals

log = logging.getLogger("pricebook.champion")

SWITCH = 0.0005  # seconds a thread beside the requests may hold them up; 0.005 by default
Stamp = tuple[int, int]  # of bundle.json: inode and time of change


class Champion:
    """Holds the bundle in service; `refresh` swaps it when the promoted one has changed.

    A request takes `offers` once and keeps it, so a swap drops nothing. A bundle that cannot be
    read, or fails its golden quotes, never serves: the one before stays, and `problem` says why.
    One that is `leaving` with its folder, as a challenger is, serves no longer than that is there.
    """

    def __init__(
        self,
        pointer: Path,
        signals: Signals,
        packed: Path | None = None,
        swapped: Callable[[str], None] = lambda how: None,
        leaving: bool = False,
    ) -> None:
        self.pointer, self._signals, self._swapped = pointer, signals, swapped
        self._leaving = leaving
        self.problem = f"no champion has been promoted: there is no {pointer / 'bundle.json'}"
        self.in_service: Offers | None = None
        self._stamp: Stamp | None = None
        if not self.refresh() and self.in_service is None and packed is not None:
            self._take(packed)

    @property
    def offers(self) -> Offers:
        """The offers of the bundle in service.

        Raises:
            RequestError: 503, there is none.
        """
        found = self.in_service
        if found is None:
            raise RequestError(503, "no_champion", f"Nothing to quote from: {self.problem}.")
        return found

    def refresh(self) -> bool:
        """Swap to the promoted bundle if it is another one than before; whether it was swapped."""
        stamp = self._seen()
        if stamp is None and self._leaving:
            self.in_service = self._stamp = None
        if stamp is None or stamp == self._stamp:
            return False
        self._stamp = stamp
        return self._take(self.pointer, stamp)

    def _seen(self) -> Stamp | None:
        try:
            seen = (self.pointer / "bundle.json").stat()
        except OSError:
            return None
        return seen.st_ino, seen.st_mtime_ns

    def _take(self, folder: Path, stamp: Stamp | None = None) -> bool:
        try:
            bundle = bundles.load(folder)
            bundles.check(bundle)
        except PricebookError as error:
            self.problem = str(error)
            log.error("The bundle in %s does not serve: %s", folder, error)
            self._swapped("refused")
            return False
        if stamp is not None and self._seen() != stamp:
            self._stamp = None  # replaced while it was read: its files may be of two bundles
            return False
        self.in_service, self.problem = Offers(bundle, self._signals), ""
        settle()
        self._swapped("served")
        versions = {name: model.version for name, model in bundle.about.models.items()}
        log.info("Serving %s of %s from %s.", versions, bundle.about.as_of, folder)
        return True


def settle() -> None:
    """Keep the collector from walking what is loaded, and threads from holding up requests.

    The collector's walks and a thread's turns are the tail of the latency.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    sys.setswitchinterval(SWITCH)
