"""Ways to break what the price service stands on: contexts, in which it is broken."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from benchmarks.serving.home import Shop, become, promote
from benchmarks.serving.servers import MEGABYTE, Server, until

Fault = Callable[[Shop, Server], AbstractContextManager[Any]]

DISK = "128m"
HOUR = 3_600
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def _store(shop: Shop) -> Path:
    return shop.settings.state / "feast" / "online.db"


@contextmanager
def deleted(shop: Shop, _: Server) -> Iterator[None]:
    away = _store(shop).rename(_store(shop).with_suffix(".away"))
    yield
    away.replace(_store(shop))


@contextmanager
def locked(shop: Shop, _: Server) -> Iterator[None]:
    with closing(sqlite3.connect(_store(shop), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def corrupted(shop: Shop, _: Server) -> Iterator[None]:
    """Another file in its place, at once: the store is never gone."""
    store, away, broken = (_store(shop).with_suffix(end) for end in (".db", ".away", ".broken"))
    away.hardlink_to(store)
    broken.write_bytes(b"not a database" * 1_000)
    broken.replace(store)
    yield
    away.replace(store)


@contextmanager
def truncated(shop: Shop, server: Server) -> Iterator[None]:
    """A new champion of other prices whose model is cut short."""
    kept = shop.settings.home / "kept"
    shutil.copytree(shop.settings.bundle, kept)

    def cut(folder: Path) -> None:
        become(2)(folder)
        model = folder / "response.tflite"
        os.truncate(model, model.stat().st_size // 2)

    def restore(folder: Path) -> None:
        shutil.copytree(kept, folder, dirs_exist_ok=True)

    promote(shop.settings, cut)
    until(lambda: server.counted('pricebook_swaps_total{how="refused"}') > 0, server.log.read_text)
    yield
    promote(shop.settings, restore)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A small disk in place of a folder; to mount it takes root."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def full(shop: Shop, _: Server) -> Iterator[None]:
    """The log's disk, by a file that is not the log's."""
    filler = shop.settings.quote_log / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(MEGABYTE))
    yield
    filler.unlink()


@contextmanager
def killed(_: Shop, server: Server) -> Iterator[int]:
    """One of the workers; how many connections it had."""
    worker = server.workers()[0]
    connections = server.connections(worker)
    os.kill(worker, signal.SIGKILL)
    yield connections


def settable(clock: Path) -> dict[str, str]:
    """What lets the wall's clock of a server be set by a file, and leaves its steady one alone."""
    clock.write_text("+0")
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # it is for an old glibc, and slows threads to a third
        "NO_FAKE_STAT": "1",
    }


@contextmanager
def set_back(clock: Path, _: Shop, server: Server) -> Iterator[None]:
    clock.write_text(f"-{HOUR}")
    until(lambda: _behind(server) > HOUR - 60, server.log.read_text)
    yield
    clock.write_text("+0")
    until(lambda: _behind(server) < 60, server.log.read_text)


def _behind(server: Server) -> float:
    """Seconds by which the server's wall clock is behind, as the date of its answers tells."""
    with urlopen(f"http://127.0.0.1:{server.port}/livez") as answer:
        return time.time() - parsedate_to_datetime(answer.headers["date"]).timestamp()
