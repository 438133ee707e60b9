"""/quotes in batches of a thousand: in process, from features in memory to signed JSON, and asked
for over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from statistics import median

from benchmarks.report import Bar, Row
from benchmarks.serving.home import Shop, asks, shopper
from benchmarks.serving.load import Plan
from benchmarks.serving.servers import loaded, pricebook
from serving.http.handlers import Handlers
from serving.http.schemas import QuoteRequest
from serving.quotes.offers import Offers
from serving.state.champion import tune_process

SIZE, BATCHES, ROUNDS, SECONDS = 1_000, 20, 3, 5.0
FLOOR = 50_000
TWIN = 1_000  # shoppers on, one of the same segment and consent
Batch = list[QuoteRequest]


def batch(shop: Shop) -> tuple[list[Row], list[Bar]]:
    rates = asyncio.run(_in_process(shop))
    rates |= _over_http(shop)
    rows: list[Row] = [
        {"measured": f"/quotes, prices, {name}", "a second": rate} for name, rate in rates.items()
    ]
    warm = min(rate for name, rate in rates.items() if name.startswith("warm"))
    return rows, [Bar("/quotes, prices a second of a core, warm", warm, FLOOR, at_most=False)]


async def _in_process(shop: Shop) -> dict[str, float]:
    """Of the process's own seconds on a core; three rounds of twenty batches each."""
    handlers = Handlers.from_home(shop.settings, packed_bundle=None)
    tune_process()
    try:
        return {
            "cold, anonymous": await _median(handlers, _anonymous(0), cold=True),
            "warm, anonymous": await _median(handlers, _anonymous(1), _anonymous(1)),
            "warm, a shopper each": await _median(handlers, _named(), _named(first=TWIN)),
        }
    finally:
        handlers.close()


async def _median(
    handlers: Handlers, batches: Sequence[Batch], warm: Sequence[Batch] = (), cold: bool = False
) -> float:
    """Of rounds of batches, once their shoppers and what `warm` asks for are in memory."""
    await _rate(handlers, [*warm, *(page[:1] for page in batches)])
    rounds = [batches[BATCHES * n :][:BATCHES] for n in range(ROUNDS)]
    return median([await _rate(handlers, pages, cold) for pages in rounds])


async def _rate(handlers: Handlers, batches: Sequence[Batch], cold: bool = False) -> float:
    """Prices a second of a core."""
    took = 0.0
    for batch in batches:
        if cold:
            champion = handlers.quoter.champion
            champion.in_service = Offers(champion.offers.bundle, handlers.live.windows)
        began = time.process_time()
        await handlers.quoter.quotes(batch)
        took += time.process_time() - began
    return SIZE * len(batches) / took


def _anonymous(seed: int) -> list[Batch]:
    skus = [QuoteRequest(sku=ask["sku"]) for ask in asks(SIZE * BATCHES * ROUNDS, seed)]
    return [skus[at : at + SIZE] for at in range(0, len(skus), SIZE)]


def _named(first: int = 0) -> list[Batch]:
    """A page of a shopper each; none has seen one before."""
    return [
        [request.model_copy(update={"customer_id": shopper(number)}) for request in page]
        for number, page in enumerate(_anonymous(2), first)
    ]


def _over_http(shop: Shop) -> dict[str, float]:
    bodies = [
        json.dumps({"items": [request.model_dump(exclude_none=True) for request in page]})
        for page in _anonymous(3)
    ]
    with pricebook(shop) as server:
        plan = Plan(server.port, "/quotes", bodies, f"Bearer {shop.key}", 2, seconds=SECONDS)
        loaded(plan)
        return {"over HTTP, warm": SIZE * median(loaded(plan)["a second"] for _ in range(ROUNDS))}
