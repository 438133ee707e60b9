"""Measure how soon an event changes a quote, under a load of events and quotes."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import numpy as np

from benchmarks.report import Bar, Row
from benchmarks.serving.home import Shop, events
from benchmarks.serving.load import Plan
from benchmarks.serving.servers import BackgroundLoad, Client, Server, run_service
from benchmarks.serving.speed import plan

TRIES, BATCH, EVERY = 30, 50, 0.05
SECONDS = 40.0  # for which events are prepared
LONGEST = 5.0  # seconds to wait for a changed quote


def live(shop: Shop) -> tuple[list[Row], list[Bar]]:
    with run_service(shop) as server:
        quotes = BackgroundLoad.start(plan(server, shop, connections=4))
        event_load = BackgroundLoad.start(_event_plan(server, shop))
        time.sleep(2)
        waits = list(_waits(Client(server, shop)))
        events_sent, quotes_sent = event_load.stop(), quotes.stop()
    p50, worst = np.percentile(waits, [50, 100]).tolist()
    rows: list[Row] = [
        {"measurement": "from an event to the changed quote", "p50 ms": p50, "worst ms": worst},
        {"measurement": "events", "per second": BATCH * events_sent["per second"]},
        {
            "measurement": "quotes",
            "per second": quotes_sent["per second"],
            "p99 ms": quotes_sent["p99 ms"],
        },
    ]
    failed = sum(
        n for load in (events_sent, quotes_sent) for s, n in load["statuses"].items() if s != "200"
    )
    rate = BATCH * events_sent["per second"]
    return rows, [
        Bar("from an event to the changed quote, worst ms", worst, 200),
        Bar("events per second", rate, 950, at_most=False),
        Bar("failed requests", failed, 0),
    ]


def _event_plan(server: Server, shop: Shop) -> Plan:
    """Fifty new events every 50 ms."""
    batches = list(events(round(SECONDS / EVERY) * BATCH, datetime.now(UTC)))
    starts = range(0, len(batches), BATCH)
    bodies = [json.dumps({"items": batches[at : at + BATCH]}) for at in starts]
    return Plan(server.port, "/events", bodies, f"Bearer {shop.key}", 1, every=EVERY)


def _waits(client: Client) -> Iterator[float]:
    """Milliseconds from sending an event to the first changed quote, for one sku after another."""
    for number in range(TRIES):
        sku = f"sku-{number:05}"
        before = client.post("/quote", {"sku": sku})["price"]
        event = _undercut(sku, before * 4 // 5)
        start = time.perf_counter()
        client.post("/events", {"items": [event]})
        while client.post("/quote", {"sku": sku})["price"] == before:
            if time.perf_counter() - start > LONGEST:
                raise RuntimeError(
                    f"The event did not change the quote. Received: {before} for {event}"
                )
        yield 1_000 * (time.perf_counter() - start)


def _undercut(sku: str, price: int) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    fields = {"kind": "competitor_price", "competitor": "rival", "price": price}
    return {"event_id": f"{sku}-{now}", "occurred_at": now, "sku": sku, **fields}
