"""The bundle in service, and its replacement while requests are answered.

It is the champion's bundle. Until there is a champion it is the price list, a bundle without
models, so that the shop gets list prices.
"""

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
from serving.quotes.bundle import Bundle
from serving.quotes.offers import Offers
from serving.quotes.public_prices import PublicPrices

log = logging.getLogger("pricebook.champion")

SWITCH_INTERVAL = 0.0005  # seconds; Python's default is 0.005
NOTHING_TO_SERVE = (
    "there is neither a champion nor a price book. Run `refresh` in Airflow, or `pricebook "
    "ingest`, `validate`, `featurize` and `materialize`. Received: no {path}"
)
Stamp = tuple[int, int]  # inode and modification time of bundle.json


class BundleFolder:
    """A folder that holds a bundle, and which bundle in it was read last."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: Stamp | None = None

    def changed(self) -> bool:
        """Whether the folder holds a bundle other than the one read last. It counts as read now."""
        stamp = self.stamp()
        if stamp in (None, self._read):
            return False
        self._read = stamp
        return True

    def stamp(self) -> Stamp | None:
        """What distinguishes the bundle in the folder from others; None if there is no bundle."""
        try:
            status = (self.path / "bundle.json").stat()
        except OSError:
            return None
        return status.st_ino, status.st_mtime_ns

    def replaced(self) -> bool:
        """Whether the folder was replaced since `changed`. Then the files are read once more."""
        if self.stamp() == self._read:
            return False
        self.forget()
        return True

    def forget(self) -> None:
        """Let the bundle in the folder count as changed."""
        self._read = None


class Champion:
    """Holds the bundle in service. `refresh` swaps it when the folder holds another bundle.

    A request reads `offers` once and keeps the object, so a swap interrupts no request. A bundle
    that cannot be read, or fails its golden quotes, is never served: the one before stays in
    service, and `problem` says why. With `unload_when_removed` the bundle is taken out of service
    when its folder is removed; a challenger is used like this.

    `public_prices` are those of the home, shared by its bundles. Without them each bundle keeps its
    own, in memory.

    `packed_bundle` is the folder of the bundle inside the Bento, used while no champion has been
    promoted in this home. `price_list` is the folder of the price list, used while neither can be
    served; the first champion replaces it. `on_swap` is called with "served" or "refused".
    """

    def __init__(
        self,
        folder: Path,
        latest_values: LatestValues,
        packed_bundle: Path | None = None,
        on_swap: Callable[[str], None] = lambda outcome: None,
        unload_when_removed: bool = False,
        price_list: Path | None = None,
        public_prices: PublicPrices | None = None,
    ) -> None:
        self._champion = BundleFolder(folder)
        self._price_list = None if price_list is None else BundleFolder(price_list)
        self._latest_values, self._on_swap = latest_values, on_swap
        self._public_prices = public_prices
        self._unload_when_removed = unload_when_removed
        self.problem = NOTHING_TO_SERVE.format(path=folder / "bundle.json")
        # Written by the background thread and read by requests. Each is one attribute that is
        # replaced as a whole, so no lock is needed.
        self.in_service: Offers | None = None
        if not self._refresh_champion() and packed_bundle is not None:
            self._load_if_changed(BundleFolder(packed_bundle))
        self._refresh_price_list()

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

    @property
    def has_models(self) -> bool:
        """Whether the bundle in service has models. The price list has none."""
        offers = self.in_service
        return offers is not None and bool(offers.bundle.manifest.models)

    def refresh(self) -> bool:
        """Load the champion's bundle if it has changed, or the price list while there is none.

        Returns whether another bundle is now in service.
        """
        return self._refresh_champion() or self._refresh_price_list()

    def _refresh_champion(self) -> bool:
        if self._unload_when_removed and self._champion.stamp() is None:
            self.in_service = None
            self._champion.forget()
        return self._load_if_changed(self._champion)

    def _refresh_price_list(self) -> bool:
        if self._price_list is None or self.has_models:
            return False
        return self._load_if_changed(self._price_list)

    def _load_if_changed(self, folder: BundleFolder) -> bool:
        """Put the bundle of a folder in service, unless it was read before or must not serve."""
        if not folder.changed():
            return False
        try:
            bundle = bundles.load(folder.path)
            bundles.check(bundle)
        except PricebookError as error:
            self.problem = str(error)
            log.error("The bundle in %s is not served: %s", folder.path, error)
            self._on_swap("refused")
            if self._price_list is not None and folder is self._champion:
                self._price_list.forget()  # its quotes give another reason now
            return False
        if folder.replaced():  # the files may be of two bundles
            return False
        why = self._why_list_price(bundle)
        self.in_service = Offers(bundle, self._latest_values, why, self._public_prices)
        self.problem = ""
        tune_process()
        self._on_swap("served")
        versions = {name: model.version for name, model in bundle.manifest.models.items()}
        contents = f"list prices, because {why}," if why else versions
        log.info("Serving %s of %s from %s.", contents, bundle.manifest.as_of, folder.path)
        return True

    def _why_list_price(self, bundle: Bundle) -> str:
        """Why every price of this bundle is the list price; empty if it has models."""
        if bundle.manifest.models:
            return ""
        unusable = self._champion.stamp() is not None
        return "the champion cannot be served" if unusable else bundle.manifest.why


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
