"""Reads shopper profiles from the online feature store, and writes live features to it.

All of serving's use of Feast is here. A quote must not depend on a store that does not answer, so
every look-up has a deadline. After a failure the store is not asked again for a while; look-ups in
that time fail at once, with the same reason.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as Timeout
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from pricebook.config import Settings
from pricebook.feature_store import (
    online_settings,
    quick_feast_import,
    registry_settings,
    store_folder,
)
from serving.state.cache import TtlCache

if TYPE_CHECKING:
    from feast import FeatureStore

log = logging.getLogger("pricebook.online")

FEATURES = ("shopper:segment", "shopper:consent_personalised")
DEADLINE = 0.25  # seconds a look-up may take
PROFILE_TTL = 300.0  # seconds a profile is cached
MAX_PROFILES = 50_000  # cached
RETRY_AFTER = 2.0  # seconds without look-ups after a failure
NO_OFFLINE_STORE = {"type": "serving.state.no_offline_store.NoOfflineStore"}
KEYS = frozenset({"sku", "zone", "customer_id"})
PROBE_ID = ""  # no customer has this id; looking it up shows whether the store answers


class OnlineStoreError(Exception):
    """The online store does not answer. The message says why, without addresses or secrets."""


class ShopperProfile(NamedTuple):
    """A shopper's stored segment and consent. None: the store has no value."""

    segment: str | None
    consented: bool | None


MISSING = (float("-inf"), ShopperProfile(None, None))


class ShopperStore:
    """Looks shoppers up by customer_id and caches their profiles.

    One thread does all reads: Feast's store is not made for several. Everything else runs on the
    event loop, so the cache needs no lock.
    """

    def __init__(self, settings: Settings) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="pricebook-online")
        self._store = _Store(settings)
        self._check_file = TtlCache(partial(online_file, settings))
        self._problem, self._retry_at = "", 0.0
        # An OrderedDict with a time per entry: cachetools.TTLCache costs four times as much for one
        # id, and twelve times as much for the thousand ids of a batch.
        self._profiles = OrderedDict[str, tuple[float, ShopperProfile]]()

    async def look_up(self, ids: Sequence[str]) -> dict[str, ShopperProfile]:
        """The profiles of these customers. Without ids it only checks that the store is there.

        Raises:
            OnlineStoreError: the store is missing, broken, locked or slow, or was a moment ago.
        """
        if self._problem and time.monotonic() < self._retry_at:
            raise OnlineStoreError(self._problem)
        self._require_file()
        oldest, cached = time.monotonic() - PROFILE_TTL, self._profiles
        profiles = {id_: cached[id_][1] for id_ in ids if cached.get(id_, MISSING)[0] > oldest}
        if missing := [id_ for id_ in ids if id_ not in profiles]:
            profiles |= await self._fetch(missing)
        return profiles

    async def _fetch(self, ids: list[str]) -> dict[str, ShopperProfile]:
        read = asyncio.get_running_loop().run_in_executor(self._thread, self._read, ids)
        try:
            profiles = await asyncio.wait_for(read, DEADLINE)
        except Exception as error:
            raise self._record_failure(error) from error
        self._problem = ""
        self._cache(profiles)
        return profiles

    def _cache(self, profiles: dict[str, ShopperProfile]) -> None:
        now = time.monotonic()
        for id_, profile in profiles.items():
            self._profiles[id_] = (now, profile)
            self._profiles.move_to_end(id_)
        while len(self._profiles) > MAX_PROFILES:
            self._profiles.popitem(last=False)

    def probe(self) -> None:
        """Check, outside any request, whether the store answers.

        It has more time than a request: the first read also imports Feast.
        """
        if self._problem and time.monotonic() < self._retry_at:
            return
        try:
            self._thread.submit(self._read, [PROBE_ID]).result(timeout=30)
        except Exception as error:
            self._record_failure(error)
        else:
            self._problem = ""

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _require_file(self) -> None:
        try:
            self._check_file()
        except OSError as error:
            raise self._record_failure(error) from error

    def _read(self, ids: list[str]) -> dict[str, ShopperProfile]:
        response = self._store.get().get_online_features(
            features=list(FEATURES), entity_rows=[{"customer_id": id_} for id_ in ids]
        )
        columns: dict[str, list[Any]] = response.to_dict()
        rows = zip(ids, columns["segment"], columns["consent_personalised"], strict=True)
        return {id_: ShopperProfile(segment, consented) for id_, segment, consented in rows}

    def _record_failure(self, error: BaseException) -> OnlineStoreError:
        if isinstance(error, OnlineStoreError):
            return error
        problem = _explain(error)
        if problem != self._problem:  # log a problem once, not at every look-up
            log.error("The online store does not answer: %s (%s)", problem, type(error).__name__)
        self._problem, self._retry_at = problem, time.monotonic() + RETRY_AFTER
        if not isinstance(error, Timeout):  # a slow store is still open; the read may yet end
            self._store.drop()
        return OnlineStoreError(problem)


class LiveViews:
    """Writes the live feature views of the store. For use by one thread."""

    def __init__(self, settings: Settings) -> None:
        self._store = _Store(settings)

    def write(self, view: str, rows: Sequence[Mapping[str, Any]], at: datetime) -> None:
        """Push rows of a live view: its keys, and its features as of an instant.

        Raises:
            OnlineStoreError: the store is missing, broken or locked, or lacks the view.
        """
        try:
            self._push(view, rows, at)
        except Exception as error:
            self._store.drop()
            raise OnlineStoreError(_explain(error)) from error

    def _push(self, view: str, rows: Sequence[Mapping[str, Any]], at: datetime) -> None:
        import pandas as pd

        store = self._store.get()
        frame = pd.DataFrame(rows)
        frame = frame.astype({name: "Int64" for name in frame if name not in KEYS})
        times = dict.fromkeys((f"{view}_at", "event_timestamp", "created_timestamp"), at)
        store.push(f"{view}_push", frame.assign(**times))


class _Store:
    """The feature store: opened at first use, and again when its file was replaced."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._store: FeatureStore | None = None
        self._file: tuple[int, int] | None = None

    def get(self) -> FeatureStore:
        file = online_file(self._settings)
        if self._store is None or file != self._file:
            self._store, self._file = _open(self._settings), file
        return self._store

    def drop(self) -> None:
        """Forget the open store, so that the next use opens it again."""
        self._store = None


def online_file(settings: Settings) -> tuple[int, int] | None:
    """Device and inode of the store's SQLite file; they change when it is replaced.

    None if the store is on Redis.

    Raises:
        OSError: the file is missing.
    """
    if settings.redis_url:
        return None
    status = (store_folder(settings) / "online.db").stat()
    return status.st_dev, status.st_ino


def _explain(error: BaseException) -> str:
    """The problem in words that may go into a quote's reasons."""
    if isinstance(error, Timeout):
        return "the online store is slow or locked"
    if isinstance(error, FileNotFoundError):
        return "the online store is gone"
    if type(error).__name__ == "PushSourceNotFoundException":
        return "the feature registry has no live views; run `pricebook materialize`"
    return "the online store cannot be read"


def _open(settings: Settings) -> FeatureStore:
    """Open the home's store as `materialize` left it. A missing store is not created.

    Raises:
        FileNotFoundError: the home has no feature registry.
    """
    with _block_import("torch"), quick_feast_import():
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
def _block_import(name: str) -> Iterator[None]:
    """Make a module look absent. Feast imports torch where it is installed, which costs 200 MB."""
    modules: dict[str, Any] = sys.modules
    if name in modules:
        yield
        return
    modules[name] = None  # Python raises ImportError for a None entry
    try:
        yield
    finally:
        del modules[name]
