"""/quote beside endpoints that do nothing, and what a worker's memory does meanwhile."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from statistics import median
from typing import Any

from benchmarks.report import Bar, Row
from benchmarks.serving.home import Shop, asks, events
from benchmarks.serving.load import Plan
from benchmarks.serving.servers import Client, Server, loaded, pricebook, served

ROUNDS, SECONDS, WARM = 3, 6.0, 20_000
QUOTES = 200_000
OURS, BENTOML, FASTAPI = "ours, /quote", "BentoML, empty", "FastAPI, empty"
RATIOS = (("BentoML", BENTOML, 2.0), ("FastAPI", FASTAPI, 0.5), ("FastAPI, stretch", FASTAPI, 0.8))
FIGURES = ("a second", "p50 ms", "p99 ms")


def plan(server: Server, shop: Shop, **more: Any) -> Plan:
    """Quotes for anybody, of every sku."""
    bodies = [json.dumps(request) for request in asks(20_000)]
    return Plan(server.port, "/quote", bodies, f"Bearer {shop.key}", **more)


@contextmanager
def busy(shop: Shop) -> Iterator[Server]:
    """The service after some hours of a shop: events were told, and offers were made."""
    with pricebook(shop) as server:
        client = Client(server, shop)
        for seed in range(5):
            batch = list(events(1_000, datetime.now(UTC), seed))
            client.post("/events", {"items": batch})
        loaded(plan(server, shop, requests=WARM))
        yield server


def speed(shop: Shop) -> tuple[list[Row], list[Bar]]:
    """Each in turn, so that what else the machine does meets all; medians of the rounds."""
    home = shop.settings.home
    fastapi = ["uvicorn", "benchmarks.serving.anchor_fastapi:app", "--loop", "uvloop"]
    fastapi += ["--http", "httptools", "--no-access-log", "--log-level", "warning"]
    bentoml = ["bentoml", "serve", "benchmarks.serving.anchor_bentoml:Empty"]
    with ExitStack() as stack:
        servers = {
            FASTAPI: stack.enter_context(served(fastapi, "/openapi.json", home)),
            BENTOML: stack.enter_context(
                served(bentoml, "/readyz", home, BENTOML_HOME=str(home / "bentoml"))
            ),
            OURS: stack.enter_context(busy(shop)),
        }
        rounds = [
            {
                name: _measured(plan(server, shop, seconds=SECONDS))
                for name, server in servers.items()
            }
            for _ in range(ROUNDS)
        ]
    return _rows(rounds), _bars(rounds)


def _measured(plan: Plan) -> dict[str, Any]:
    result = loaded(plan)
    if set(result["statuses"]) != {"200"}:
        raise RuntimeError(f"Every request is answered. Received: {result['statuses']}")
    return result


def _rows(rounds: list[dict[str, Any]]) -> list[Row]:
    return [
        {"measured": name}
        | {figure: median(measured[name][figure] for measured in rounds) for figure in FIGURES}
        for name in rounds[0]
    ]


def _bars(rounds: list[dict[str, Any]]) -> list[Bar]:
    def ratio(figure: str, anchor: str) -> float:
        return float(
            median(measured[OURS][figure] / measured[anchor][figure] for measured in rounds)
        )

    return [
        *(
            Bar(f"/quote, requests a second over {name}'s", ratio("a second", anchor), bar, False)
            for name, anchor, bar in RATIOS
        ),
        Bar(
            "/quote, p99 ms at 8 connections",
            median(measured[OURS]["p99 ms"] for measured in rounds),
            10,
        ),
        Bar("/quote, p99 over FastAPI's", ratio("p99 ms", FASTAPI), 3),
    ]


def memory(shop: Shop) -> tuple[list[Row], list[Bar]]:
    """The one worker's, once what it keeps in mind is as large as it gets, and 200,000 on."""
    with busy(shop) as server:
        loaded(plan(server, shop, requests=QUOTES))
        before = server.megabytes()
        loaded(plan(server, shop, requests=QUOTES))
        after = server.megabytes()
    return [
        {"measured": "a worker's memory, MB", "figure": after},
        {"measured": f"more after {QUOTES:,} quotes, MB", "figure": after - before},
    ], [
        Bar("a worker's memory, MB", after, 300),
        Bar(f"its growth over {QUOTES:,} quotes, MB", after - before, 3),
    ]
