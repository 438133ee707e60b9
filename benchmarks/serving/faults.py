"""What breaks under load: no 5xx, and every quote that falls back says why."""

from __future__ import annotations

import itertools
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks.report import Bar, Row
from benchmarks.serving.home import Shop, become, promote
from benchmarks.serving.load import Plan
from benchmarks.serving.servers import Client, Loading, Server, loaded, pricebook, until
from benchmarks.serving.speed import plan
from serving.clock import NANO, Clock

HOLD = 4.0  # seconds a fault lasts
Fault = Callable[[Shop, Server], Any]  # makes a context in which it is broken


def faults(shop: Shop) -> tuple[list[Row], list[Bar]]:
    rows, unsaid = list[Row](), 0
    with pricebook(shop) as server:
        for name, fault in STORES.items():
            row = _broken(f"online store {name}", shop, server, fault)
            unsaid += row["said why"] == 0
            rows.append(row)
        rows.append(_broken("model file truncated", shop, server, truncated))
        refused = server.counted('pricebook_swaps_total{how="refused"}')
    log_row, unlogged = _disk_full(shop)
    rows += [log_row, _killed(shop), _clock_set_back()]
    return rows, [
        Bar("faults, answers of 5xx", sum(row["5xx"] for row in rows), 0),
        Bar("store faults in which no quote said why", unsaid, 0),
        Bar("bundles refused, of one truncated", refused, 1, at_most=False),
        Bar("quotes neither in the log of a full disk nor counted", unlogged, 0),
        Bar("quotes that went back in time, or outlived it", rows[-1]["wrong"], 0),
    ]


def _row(name: str, found: dict[str, Any], rule: str = "online_store") -> dict[str, Any]:
    said = sum(count for *_, why, _, count in found["told"] if why == rule)
    bad = sum(count for status, count in found["statuses"].items() if status >= "500")
    return {
        "measured": name,
        "a second": found["a second"],
        "p99 ms": found["p99 ms"],
        "5xx": bad,
        "lost": found["lost"],
        "said why": said,
    }


def _broken(name: str, shop: Shop, server: Server, fault: Fault) -> dict[str, Any]:
    """The load's quotes while it lasts; at the end all is as it was, and quotes say so."""
    with fault(shop, server):
        load = Loading.begun(_strangers(server, shop, name))
        time.sleep(HOLD)
        found = load.stopped()
    client = Client(server, shop)
    until(lambda: _first_rule(client) != "online_store", server.log.read_text)
    return _row(name, found)


def _strangers(server: Server, shop: Shop, name: str) -> Plan:
    """Half of who asks is named, and nobody of them is remembered from before."""
    asked = plan(server, shop, told=True)
    return replace(asked, bodies=[one.replace("shopper-", f"{name} ") for one in asked.bodies])


def _first_rule(client: Client) -> str:
    return str(client.post("/quote", {"sku": "sku-00001"})["reasons"][0]["rule"])


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
def corrupted(shop: Shop, server: Server) -> Iterator[None]:
    with deleted(shop, server):
        _store(shop).write_bytes(b"not a database" * 1_000)
        yield


@contextmanager
def truncated(shop: Shop, server: Server) -> Iterator[None]:
    """A new champion whose model is cut short; the one before goes on serving."""
    model = (shop.settings.bundle / "response.tflite").read_bytes()

    def changed(version: int, size: int) -> Callable[[Path], None]:
        def change(folder: Path) -> None:
            become(version)(folder)
            (folder / "response.tflite").write_bytes(model[:size])

        return change

    promote(shop.settings, changed(2, len(model) // 2))
    until(lambda: "does not serve" in server.log.read_text(), server.log.read_text)
    yield
    if Client(server, shop).post("/quote", {"sku": "sku-00001"})["model_version"] != "1":
        raise RuntimeError("A truncated model does not serve. Received: another version")
    promote(shop.settings, changed(3, len(model)))


STORES: dict[str, Fault] = {"deleted": deleted, "locked": locked, "corrupted": corrupted}


def _disk_full(shop: Shop) -> tuple[dict[str, Any], float]:
    """The log's disk fills up; and how many quotes are neither in it nor counted in /metrics."""
    log = shop.settings.quote_log
    with small_disk(log), pricebook(shop) as server:
        asked = plan(server, shop, told=True, seconds=HOLD)
        anonymous = [body for body in asked.bodies if "customer_id" not in body]
        found = loaded(replace(asked, bodies=anonymous))
        unlogged = server.counted("pricebook_unlogged_quotes_total")
        written = sum(file.read_bytes().count(b"\n") for file in log.iterdir())
        given = found["statuses"].get("200", 0)
    return _row("disk full for the log", found), abs(given - written - unlogged)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 64 kB in place of a folder; to mount it takes root."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def _killed(shop: Shop) -> dict[str, Any]:
    """One of two workers; what was asked of it in that moment is lost, and nothing else."""
    with pricebook(shop, workers=2) as server:
        until(lambda: len(server.workers()) == 2, server.log.read_text)
        load = Loading.begun(plan(server, shop, told=True))
        time.sleep(1)
        killed = server.workers()[0]
        os.kill(killed, signal.SIGKILL)
        began = time.monotonic()
        until(lambda: _returned(server, killed), server.log.read_text)
        back = time.monotonic() - began
        time.sleep(HOLD)
        found = load.stopped()
    return _row("a worker of two killed", found) | {"seconds until it returns": back}


def _returned(server: Server, killed: int) -> bool:
    workers = server.workers()
    return len(workers) == 2 and killed not in workers


def _clock_set_back() -> dict[str, Any]:
    """An hour back, in process: the service's own clock over a wall's that is set back."""
    wall, steady = [10**9 * NANO], [0]
    clock, told = Clock(lambda: wall[0], lambda: steady[0]), list[datetime]()
    for second in range(60):
        wall[0] += NANO - (3600 * NANO if second == 30 else 0)
        steady[0] += NANO
        told.append(clock())
    apart = [b - a for a, b in itertools.pairwise(told)]
    wrong = sum(one != timedelta(seconds=1) for one in apart)
    return {"measured": "clock set back an hour (in process)", "5xx": 0, "wrong": wrong}
