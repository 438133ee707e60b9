"""The only Feast door in serving: the online store is asked of shoppers, and told live figures.

A shopper's price must not hang on a store that does not answer: every look-up has a deadline, a
store that failed is left alone for a while, and whoever asks meanwhile is told why at once.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Late
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pricebook.config import Settings
from pricebook.feature_store import online_settings, registry_settings, store_folder
from serving.state.cache import TtlCache

if TYPE_CHECKING:
    from feast import FeatureStore

log = logging.getLogger("pricebook.online")

FEATURES = ("shopper:segment", "shopper:consent_personalised")
DEADLINE = 0.25  # seconds a look-up may take
FRESH = 300.0  # seconds that what is known of a shopper is good for
MOST = 50_000  # shoppers remembered
REST = 2.0  # seconds a store that failed is left alone
NO_OFFLINE_STORE = {"type": "serving.state.no_offline_store.NoOfflineStore"}
KEYS = frozenset({"sku", "zone", "customer_id"})
NOBODY = ""  # a customer nobody is; asking for it shows whether the store answers


class Unreachable(Exception):
    """The online store does not answer; the message says why, without addresses or secrets."""


class ShopperProfile(NamedTuple):
    """What is known of a shopper; None where nothing is."""

    segment: str | None
    consented: bool | None


NEVER = (float("-inf"), ShopperProfile(None, None))


class ShopperStore:
    """Looks shoppers up by customer_id, one thread at a time, and remembers them for a while."""

    def __init__(self, settings: Settings) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pricebook-online")
        self._store = _Store(settings)
        self._file = TtlCache(partial(online_file, settings))
        self._why, self._rested_at = "", 0.0
        self._known = OrderedDict[str, tuple[float, ShopperProfile]]()

    async def look_up(self, ids: Sequence[str]) -> dict[str, ShopperProfile]:
        """What is known of these customers; with no ids, only whether the store is there.

        Raises:
            Unreachable: the store is gone, broken, locked or late, or was a moment ago.
        """
        if self._why and time.monotonic() < self._rested_at:
            raise Unreachable(self._why)
        self._require_file()
        since = time.monotonic() - FRESH
        found = {one: self._known[one][1] for one in ids if self._known.get(one, NEVER)[0] > since}
        if missing := [one for one in ids if one not in found]:
            found |= await self._looked_up(missing)
        return found

    async def _looked_up(self, ids: list[str]) -> dict[str, ShopperProfile]:
        asked = asyncio.get_running_loop().run_in_executor(self._thread, self._read, ids)
        try:
            found = await asyncio.wait_for(asked, DEADLINE)
        except Exception as error:
            raise self._failed(error) from error
        self._why = ""
        self._remember(found)
        return found

    def _remember(self, found: dict[str, ShopperProfile]) -> None:
        now = time.monotonic()
        for one, known in found.items():
            self._known[one] = (now, known)
            self._known.move_to_end(one)
        while len(self._known) > MOST:
            self._known.popitem(last=False)

    def probe(self) -> None:
        """Find out, outside any request, whether the store answers."""
        if self._why and time.monotonic() < self._rested_at:
            return
        try:
            self._thread.submit(self._read, [NOBODY]).result(timeout=30)
        except Exception as error:
            self._failed(error)
        else:
            self._why = ""

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _require_file(self) -> None:
        try:
            self._file()
        except OSError as error:
            raise self._failed(error) from error

    def _read(self, ids: list[str]) -> dict[str, ShopperProfile]:
        answer = self._store.opened().get_online_features(
            features=list(FEATURES), entity_rows=[{"customer_id": one} for one in ids]
        )
        columns: dict[str, list[Any]] = answer.to_dict()
        rows = zip(ids, columns["segment"], columns["consent_personalised"], strict=True)
        return {one: ShopperProfile(segment, consented) for one, segment, consented in rows}

    def _failed(self, error: BaseException) -> Unreachable:
        if isinstance(error, Unreachable):
            return error
        why = _in_words(error)
        if why != self._why:
            log.error("The online store does not answer: %s (%s)", why, type(error).__name__)
        self._why, self._rested_at = why, time.monotonic() + REST
        if not isinstance(error, Late):
            self._store.drop()
        return Unreachable(why)


class LiveViews:
    """The live views of the store, to be written to by one thread."""

    def __init__(self, settings: Settings) -> None:
        self._store = _Store(settings)

    def write(self, view: str, rows: Sequence[Mapping[str, Any]], at: datetime) -> None:
        """Push rows of a live view: its keys, and its figures as they are at an instant.

        Raises:
            Unreachable: the store is gone, broken or locked, or was never told of the view.
        """
        try:
            self._push(view, rows, at)
        except Exception as error:
            self._store.drop()
            raise Unreachable(_in_words(error)) from error

    def _push(self, view: str, rows: Sequence[Mapping[str, Any]], at: datetime) -> None:
        import pandas as pd

        store = self._store.opened()
        frame = pd.DataFrame(rows)
        frame = frame.astype({name: "Int64" for name in frame if name not in KEYS})
        times = dict.fromkeys((f"{view}_at", "event_timestamp", "created_timestamp"), at)
        store.push(f"{view}_push", frame.assign(**times))


class _Store:
    """The feature store, opened when first it is needed, and anew where its file is another one."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: FeatureStore | None = None
        self._file: tuple[int, int] | None = None

    def opened(self) -> FeatureStore:
        file = online_file(self._settings)
        if self._store is None or file != self._file:
            self._store, self._file = _open(self._settings), file
        return self._store

    def drop(self) -> None:
        self._store = None


def online_file(settings: Settings) -> tuple[int, int] | None:
    """Which SQLite file the store is, None where it is none; another has to be opened anew.

    Raises:
        OSError: it is gone.
    """
    if settings.redis_url:
        return None
    seen = (store_folder(settings) / "online.db").stat()
    return seen.st_dev, seen.st_ino


def _in_words(error: BaseException) -> str:
    if isinstance(error, Late):
        return "the online store is late or locked"
    if isinstance(error, FileNotFoundError):
        return "the online store is gone"
    if type(error).__name__ == "PushSourceNotFoundException":
        return "the feature registry has no live views; run `pricebook materialize`"
    return "the online store cannot be read"


def _open(settings: Settings) -> FeatureStore:
    """The home's store, as materialized; nothing is created where there is none."""
    with _sparing("torch"):
        from feast import FeatureStore
        from feast.repo_config import RepoConfig

    registry = registry_settings(settings)
    if not settings.feast_registry_url and not (store_folder(settings) / "registry.db").exists():
        raise FileNotFoundError("no feature registry")
    config = RepoConfig(
        project="pricebook",
        provider="local",
        registry=registry,
        online_store=online_settings(settings),
        offline_store=NO_OFFLINE_STORE,
        entity_key_serialization_version=3,
        repo_path=store_folder(settings),
    )
    return FeatureStore(config=config)


@contextmanager
def _sparing(name: str) -> Iterator[None]:
    """Feast loads this where it is installed, some 200 MB, for tensors that no price is."""
    modules: dict[str, Any] = sys.modules
    if name in modules:
        yield
        return
    modules[name] = None
    try:
        yield
    finally:
        del modules[name]
