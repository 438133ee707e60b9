"""The bundle in service, and its replacement while requests are answered."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Callable
from pathlib import Path

from pricebook.errors import PricebookError
from pricebook.latest_values import LatestValues
from serving.http.errors import RequestError
from serving.quotes import bundle as bundles
from serving.quotes.offers import Offers
from serving.quotes.public_prices import PublicPrices

log = logging.getLogger("pricebook.champion")

SWITCH_INTERVAL = 0.0005  # seconds; Python's default is 0.005
Stamp = tuple[int, int]  # inode and modification time of bundle.json


class Champion:
    """Holds the bundle in service. `refresh` swaps it when the folder holds another bundle.

    A request reads `offers` once and keeps the object, so a swap interrupts no request. A bundle
    that cannot be read, or fails its golden quotes, is never served: the one before stays in
    service, and `problem` says why. With `unload_when_removed` the bundle is taken out of service
    when its folder is removed; a challenger is used like this.

    `public_prices` are those of the home, shared by its bundles. Without them each bundle keeps its
    own, in memory.

    `packed_bundle` is the folder of the bundle inside the Bento, used while no champion has been
    promoted in this home. `on_swap` is called with "served" or "refused".
    """

    def __init__(
        self,
        folder: Path,
        latest_values: LatestValues,
        packed_bundle: Path | None = None,
        on_swap: Callable[[str], None] = lambda outcome: None,
        unload_when_removed: bool = False,
        public_prices: PublicPrices | None = None,
    ) -> None:
        self.folder, self._latest_values, self._on_swap = folder, latest_values, on_swap
        self._public_prices = public_prices
        self._unload_when_removed = unload_when_removed
        self.problem = f"no champion has been promoted: there is no {folder / 'bundle.json'}"
        # Written by the background thread and read by requests. Each is one attribute that is
        # replaced as a whole, so no lock is needed.
        self.in_service: Offers | None = None
        self._stamp: Stamp | None = None
        if not self.refresh() and self.in_service is None and packed_bundle is not None:
            self._load(packed_bundle)

    @property
    def offers(self) -> Offers:
        """The offers of the bundle in service.

        Raises:
            RequestError: 503, no bundle is in service.
        """
        offers = self.in_service
        if offers is None:
            raise RequestError(503, "no_champion", f"Nothing to quote from: {self.problem}.")
        return offers

    def refresh(self) -> bool:
        """Load the bundle in the folder if it has changed. Returns whether it is now in service."""
        stamp = self._read_stamp()
        if stamp is None and self._unload_when_removed:
            self.in_service = self._stamp = None
        if stamp is None or stamp == self._stamp:
            return False
        self._stamp = stamp
        return self._load(self.folder, stamp)

    def _read_stamp(self) -> Stamp | None:
        try:
            status = (self.folder / "bundle.json").stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    def _load(self, folder: Path, stamp: Stamp | None = None) -> bool:
        try:
            bundle = bundles.load(folder)
            bundles.check(bundle)
        except PricebookError as error:
            self.problem = str(error)
            log.error("The bundle in %s is not served: %s", folder, error)
            self._on_swap("refused")
            return False
        if stamp is not None and self._read_stamp() != stamp:
            # The folder was replaced while it was read, so the files may be of two bundles.
            self._stamp = None
            return False
        self.in_service, self.problem = Offers(bundle, self._latest_values, self._public_prices), ""
        tune_process()
        self._on_swap("served")
        versions = {name: model.version for name, model in bundle.manifest.models.items()}
        log.info("Serving %s of %s from %s.", versions, bundle.manifest.as_of, folder)
        return True


def tune_process() -> None:
    """Reduce the tail of the latency: rarer garbage collection and shorter turns of threads.

    A full collection walks every object on the heap, about 100 ms with a large bundle loaded.
    `freeze` exempts what is loaded now, and the threshold makes collections of the rest rare.
    `unfreeze` comes first so that a replaced bundle is freed. The switch interval is how long a
    background thread may hold the interpreter while a request waits for it.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    sys.setswitchinterval(SWITCH_INTERVAL)
