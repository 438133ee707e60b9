"""Measure the speed of /quote, compared with empty endpoints, and the memory of a worker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from statistics import median
from typing import Any

from benchmarks.report import Bar, Row
from benchmarks.serving.home import Shop, events, quote_requests
from benchmarks.serving.load import Plan
from benchmarks.serving.servers import Client, Server, run_load, run_server, run_service

ROUNDS, SECONDS, WARM = 3, 6.0, 20_000
QUOTES = 200_000
OURS, BENTOML, FASTAPI = "ours, /quote", "BentoML, empty", "FastAPI, empty"
RATIOS = (
    ("BentoML", BENTOML, 2.0),
    ("FastAPI", FASTAPI, 0.5),
    ("FastAPI (stretch target)", FASTAPI, 0.8),
)
FIGURES = ("per second", "p50 ms", "p99 ms")


def plan(server: Server, shop: Shop, **options: Any) -> Plan:
    """Requests for quotes of all skus, half of them for known shoppers."""
    bodies = [json.dumps(request) for request in quote_requests(20_000)]
    return Plan(server.port, "/quote", bodies, f"Bearer {shop.key}", **options)


@contextmanager
def warm_service(shop: Shop) -> Iterator[Server]:
    """The service after some load: it has received events and cached offers."""
    with run_service(shop) as server:
        client = Client(server, shop)
        for seed in range(5):
            batch = list(events(1_000, datetime.now(UTC), seed))
            client.post("/events", {"items": batch})
        run_load(plan(server, shop, requests=WARM))
        yield server


def speed(shop: Shop) -> tuple[list[Row], list[Bar]]:
    """Load the servers in turns, so that other load affects all. Returns medians of the rounds."""
    home = shop.settings.home
    fastapi = ["uvicorn", "benchmarks.serving.anchor_fastapi:app", "--loop", "uvloop"]
    fastapi += ["--http", "httptools", "--no-access-log", "--log-level", "warning"]
    bentoml = ["bentoml", "serve", "benchmarks.serving.anchor_bentoml:Empty"]
    with ExitStack() as stack:
        servers = {
            FASTAPI: stack.enter_context(run_server(fastapi, "/openapi.json", home)),
            BENTOML: stack.enter_context(
                run_server(bentoml, "/readyz", home, BENTOML_HOME=str(home / "bentoml"))
            ),
            OURS: stack.enter_context(warm_service(shop)),
        }
        rounds = [
            {
                name: _measure(plan(server, shop, seconds=SECONDS))
                for name, server in servers.items()
            }
            for _ in range(ROUNDS)
        ]
    return _rows(rounds), _bars(rounds)


def _measure(plan: Plan) -> dict[str, Any]:
    result = run_load(plan)
    if set(result["statuses"]) != {"200"}:
        raise RuntimeError(f"Some requests failed. Received: {result['statuses']}")
    return result


def _rows(rounds: list[dict[str, Any]]) -> list[Row]:
    return [
        {"measurement": name}
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
            Bar(
                f"/quote, requests per second, ours / {name}",
                ratio("per second", anchor),
                bar,
                False,
            )
            for name, anchor, bar in RATIOS
        ),
        Bar(
            "/quote, p99 ms at 8 connections",
            median(measured[OURS]["p99 ms"] for measured in rounds),
            10,
        ),
        Bar("/quote, p99, ours / FastAPI", ratio("p99 ms", FASTAPI), 3),
    ]


def memory(shop: Shop) -> tuple[list[Row], list[Bar]]:
    """The memory of a worker with full caches, and after 200,000 more quotes."""
    with warm_service(shop) as server:
        run_load(plan(server, shop, requests=QUOTES))
        before = server.megabytes()
        run_load(plan(server, shop, requests=QUOTES))
        after = server.megabytes()
    return [
        {"measurement": "memory of a worker, MB", "figure": after},
        {"measurement": f"growth over {QUOTES:,} quotes, MB", "figure": after - before},
    ], [
        Bar("memory of a worker, MB", after, 300),
        Bar(f"growth over {QUOTES:,} quotes, MB", after - before, 3),
    ]
