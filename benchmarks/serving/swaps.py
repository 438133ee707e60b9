"""The champion swapped five times under load, and rolled back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from benchmarks.report import Bar, Row
from benchmarks.serving.home import Shop, become, promote
from benchmarks.serving.servers import Client, Loading, Server, pricebook
from benchmarks.serving.speed import plan

SWAPS = 5
FIRST = "sku-00000"
APART = 0.7  # seconds; no multiple of it is the watch's, so it is met at any moment


def swaps(shop: Shop) -> tuple[list[Row], list[Bar]]:
    with pricebook(shop) as server:
        quotes = Loading.begun(plan(server, shop, keep_quotes=True))
        time.sleep(2)
        took = list(_swapped(server, shop))
        load = quotes.stopped()
    mixed = sum(not _whole(quote["list_price"], quote["model_version"]) for quote in load["quotes"])
    rows: list[Row] = [
        {"measured": "quotes while champions swap", "a second": load["a second"]}
        | {name: load[name] for name in ("p99 ms", "worst ms")},
        *({"measured": f"swap to champion {n}, seconds", "figure": s} for n, s in took),
    ]
    return rows, [
        Bar("a swap, slowest, seconds", max(seconds for _, seconds in took), 2),
        Bar("requests that failed while champions swap", failures(load), 0),
        Bar("quotes of one model at another's price", mixed, 0),
    ]


def _swapped(server: Server, shop: Shop) -> Iterator[tuple[int, float]]:
    """Seconds from a champion's folder to its first quote; the last is the one before, again."""
    client = Client(server, shop)
    for version in (*range(2, SWAPS + 2), SWAPS):
        promote(shop.settings, become(version))
        began = time.perf_counter()
        while client.post("/quote", {"sku": FIRST})["model_version"] != str(version):
            if time.perf_counter() - began > 20:
                raise RuntimeError(f"A champion comes to serve. Received: {version}")
            time.sleep(0.005)
        yield version, time.perf_counter() - began
        time.sleep(APART)


def _whole(list_price: int, version: str) -> bool:
    """Whether the list price is of the bundle whose model is named."""
    return list_price % 10 == (9 if version == "1" else int(version))


def failures(load: dict[str, Any]) -> int:
    """Requests answered otherwise than with 200, or not at all."""
    answered = sum(load["statuses"].values())
    with suppress(KeyError):
        answered -= load["statuses"]["200"]
    return int(answered + load["lost"])
