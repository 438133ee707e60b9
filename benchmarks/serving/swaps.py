"""Measure how soon the service swaps to a new champion under load."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from benchmarks.report import Bar, Row
from benchmarks.serving.home import Shop, promote, with_version
from benchmarks.serving.servers import BackgroundLoad, Client, Server, run_service
from benchmarks.serving.speed import plan

SWAPS = 5
FIRST = "sku-00000"
PAUSE = 0.7  # seconds; not a multiple of the check interval of the service, so phases vary


def swaps(shop: Shop) -> tuple[list[Row], list[Bar]]:
    with run_service(shop) as server:
        quotes = BackgroundLoad.start(plan(server, shop, keep_quotes=True))
        time.sleep(2)
        swap_times = list(_swap(server, shop))
        load = quotes.stop()
    mixed = sum(
        not _matches(quote["list_price"], quote["model_version"]) for quote in load["quotes"]
    )
    rows: list[Row] = [
        {"measurement": "quotes during the swaps", "per second": load["per second"]}
        | {name: load[name] for name in ("p99 ms", "worst ms")},
        *({"measurement": f"swap to champion {n}, seconds", "figure": s} for n, s in swap_times),
    ]
    return rows, [
        Bar("slowest swap, seconds", max(seconds for _, seconds in swap_times), 2),
        Bar("failed requests during the swaps", failures(load), 0),
        Bar("quotes with the price of another model", mixed, 0),
    ]


def _swap(server: Server, shop: Shop) -> Iterator[tuple[int, float]]:
    """The seconds from a promotion to the first quote. The last promotion is a rollback."""
    client = Client(server, shop)
    for version in (*range(2, SWAPS + 2), SWAPS):
        promote(shop.settings, with_version(version))
        start = time.perf_counter()
        while client.post("/quote", {"sku": FIRST})["model_version"] != str(version):
            if time.perf_counter() - start > 20:
                raise RuntimeError(f"The service did not swap to the champion. Received: {version}")
            time.sleep(0.005)
        yield version, time.perf_counter() - start
        time.sleep(PAUSE)


def _matches(list_price: int, version: str) -> bool:
    """Whether the list price and the model version are of the same bundle."""
    return list_price % 10 == (9 if version == "1" else int(version))


def failures(load: dict[str, Any]) -> int:
    """The number of requests without a response of status 200."""
    errors = sum(count for status, count in load["statuses"].items() if status != "200")
    return int(errors + load["lost"])
