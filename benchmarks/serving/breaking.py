"""Faults of what the price service depends on, as context managers."""

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

from benchmarks.serving.home import Shop, promote, with_version
from benchmarks.serving.servers import MEGABYTE, Server, wait_until

Fault = Callable[[Shop, Server], AbstractContextManager[Any]]

DISK = "128m"
HOUR = 3_600
FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"), None)


def _store(shop: Shop) -> Path:
    return shop.settings.state / "feast" / "online.db"


@contextmanager
def delete_store(shop: Shop, _: Server) -> Iterator[None]:
    away = _store(shop).rename(_store(shop).with_suffix(".away"))
    yield
    away.replace(_store(shop))


@contextmanager
def lock_store(shop: Shop, _: Server) -> Iterator[None]:
    with closing(sqlite3.connect(_store(shop), isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        yield
        other.execute("ROLLBACK")


@contextmanager
def corrupt_store(shop: Shop, _: Server) -> Iterator[None]:
    """Replace the store by a file that is not a database, in one step."""
    store, away, broken = (_store(shop).with_suffix(end) for end in (".db", ".away", ".broken"))
    away.hardlink_to(store)
    broken.write_bytes(b"not a database" * 1_000)
    broken.replace(store)
    yield
    away.replace(store)


@contextmanager
def truncate_model(shop: Shop, server: Server) -> Iterator[None]:
    """Promote a champion with other prices whose model file is truncated."""
    backup = shop.settings.home / "backup"
    shutil.copytree(shop.settings.bundle, backup)

    def cut(folder: Path) -> None:
        with_version(2)(folder)
        model = folder / "response.tflite"
        os.truncate(model, model.stat().st_size // 2)

    def restore(folder: Path) -> None:
        shutil.copytree(backup, folder, dirs_exist_ok=True)

    promote(shop.settings, cut)
    wait_until(
        lambda: server.counted('pricebook_swaps_total{how="refused"}') > 0, server.log.read_text
    )
    yield
    promote(shop.settings, restore)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """Mount a small disk over a folder. This needs root."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


@contextmanager
def fill_disk(shop: Shop, _: Server) -> Iterator[None]:
    """Fill the disk of the log with another file."""
    filler = shop.settings.quote_log / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(MEGABYTE))
    yield
    filler.unlink()


@contextmanager
def kill_worker(_: Shop, server: Server) -> Iterator[int]:
    """Kill one of the workers. Yields the number of its connections."""
    worker = server.workers()[0]
    connections = server.connections(worker)
    os.kill(worker, signal.SIGKILL)
    yield connections


def settable_clock(clock: Path) -> dict[str, str]:
    """Environment variables that let a file set the wall clock of a server.

    Its monotonic clock is not affected.
    """
    clock.write_text("+0")
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_FORCE_MONOTONIC_FIX": "0",  # only for old glibc; slows threads down
        "NO_FAKE_STAT": "1",
    }


@contextmanager
def set_clock_back(clock: Path, _: Shop, server: Server) -> Iterator[None]:
    clock.write_text(f"-{HOUR}")
    wait_until(lambda: _behind(server) > HOUR - 60, server.log.read_text)
    yield
    clock.write_text("+0")
    wait_until(lambda: _behind(server) < 60, server.log.read_text)


def _behind(server: Server) -> float:
    """Seconds by which the server's wall clock is behind, by the date header of a response."""
    with urlopen(f"http://127.0.0.1:{server.port}/livez") as response:
        return time.time() - parsedate_to_datetime(response.headers["date"]).timestamp()
