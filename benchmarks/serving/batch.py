"""Measure /quotes with batches of a thousand, in process and over HTTP.

In process means from features in memory to signed JSON.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from statistics import median

from benchmarks.report import Bar, Row
from benchmarks.serving.home import Shop, quote_requests, shopper_id
from benchmarks.serving.load import Plan
from benchmarks.serving.servers import run_load, run_service
from serving.http.handlers import Handlers
from serving.http.schemas import QuoteRequest
from serving.quotes.offers import Offers
from serving.state.champion import tune_process

SIZE, BATCHES, ROUNDS, SECONDS = 1_000, 20, 3, 5.0
FLOOR = 50_000
TWIN = 1_000  # shopper n and shopper n + TWIN have the same segment and consent
Batch = list[QuoteRequest]


def batch(shop: Shop) -> tuple[list[Row], list[Bar]]:
    rates = asyncio.run(_in_process(shop))
    rates |= _over_http(shop)
    rows: list[Row] = [
        {"measurement": f"/quotes, prices, {name}", "per second": rate}
        for name, rate in rates.items()
    ]
    warm = min(rate for name, rate in rates.items() if name.startswith("warm"))
    return rows, [Bar("/quotes, prices per second of CPU time, warm", warm, FLOOR, at_most=False)]


async def _in_process(shop: Shop) -> dict[str, float]:
    """Prices per second of CPU time, in three rounds of twenty batches."""
    handlers = Handlers.from_home(shop.settings, packed_bundle=None)
    tune_process()
    try:
        return {
            "cold, anonymous": await _median(handlers, _anonymous(0), cold=True),
            "warm, anonymous": await _median(handlers, _anonymous(1), _anonymous(1)),
            "warm, one shopper per batch": await _median(handlers, _named(), _named(first=TWIN)),
        }
    finally:
        handlers.close()


async def _median(
    handlers: Handlers, batches: Sequence[Batch], warm: Sequence[Batch] = (), cold: bool = False
) -> float:
    """The median rate over rounds of batches.

    First, the shoppers of the batches and the quotes of `warm` are loaded into memory. `warm` runs
    twice, because the first quote of a sku records its public price, and the next one decides the
    offer once more.
    """
    await _rate(handlers, [*warm, *warm, *(page[:1] for page in batches)])
    rounds = [batches[BATCHES * n :][:BATCHES] for n in range(ROUNDS)]
    return median([await _rate(handlers, pages, cold) for pages in rounds])


async def _rate(handlers: Handlers, batches: Sequence[Batch], cold: bool = False) -> float:
    """Prices per second of CPU time. `cold` clears the cache of offers before each batch."""
    seconds = 0.0
    for batch in batches:
        if cold:
            champion = handlers.quoter.champion
            offers, values = champion.offers, handlers.live.windows.values
            champion.in_service = Offers(offers.bundle, values, public_prices=offers.public_prices)
        start = time.process_time()
        await handlers.quoter.quotes(batch)
        seconds += time.process_time() - start
    return SIZE * len(batches) / seconds


def _anonymous(seed: int) -> list[Batch]:
    bodies = quote_requests(SIZE * BATCHES * ROUNDS, seed)
    requests = [QuoteRequest(sku=body["sku"]) for body in bodies]
    return [requests[start : start + SIZE] for start in range(0, len(requests), SIZE)]


def _named(first: int = 0) -> list[Batch]:
    """Batches of one shopper each. No shopper has two batches."""
    return [
        [request.model_copy(update={"customer_id": shopper_id(number)}) for request in page]
        for number, page in enumerate(_anonymous(2), first)
    ]


def _over_http(shop: Shop) -> dict[str, float]:
    bodies = [
        json.dumps({"items": [request.model_dump(exclude_none=True) for request in page]})
        for page in _anonymous(3)
    ]
    with run_service(shop) as server:
        plan = Plan(server.port, "/quotes", bodies, f"Bearer {shop.key}", 2, seconds=SECONDS)
        run_load(plan)
        return {
            "over HTTP, warm": SIZE * median(run_load(plan)["per second"] for _ in range(ROUNDS))
        }
