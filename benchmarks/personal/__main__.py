"""What personal offers earn, estimated from the quote log and compared with the truth.

    python -m benchmarks.personal

A hash assigns each shopper of a simulated shop to personal or to public offers for twelve weeks.
The first four are not counted, because a shopper notices a price level only after some visits.
The segments differ in price sensitivity, and low prices bring shoppers back (see `shop.py`).
The estimate compares the profit per shopper of the two arms in the quote log, for the segments that
have personal offers. The truth is the expected profit of the same shoppers if all of them were in
one arm. Gains are shares of the true profit with public offers. If the response model finds no
segment with its own elasticity, the shop has no personal offers. Such a shop is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
from pydantic_core import from_json

from benchmarks.inputs.simulated import Floats, each_seed, seed_range
from benchmarks.offpolicy import order_line
from benchmarks.personal.shop import (
    DAYS,
    RUN_IN,
    SEGMENTS,
    SHOPPERS,
    SKUS,
    SMOOTHING,
    WEEKS,
    Shop,
    draw_shop,
    sku_names,
)
from benchmarks.report import Bar, Plot, print_result, write_result
from pricebook.latest_values import LatestValues
from pricebook.pricing.arms import PUBLIC, assign
from pricebook.pricing.offpolicy import Estimate, gain, logged
from serving.http.schemas import QuoteRequest
from serving.quotes.offers import Offers
from serving.quotes.quoter import Quoter
from serving.quotes.signing import KeyRing
from serving.state.daily_log import DailyLog
from serving.state.online_store import ShopperProfile

SEEDS, TARGET = 20, 0.9  # share of the intervals that must contain the true gain
RUNS = 10  # simulations of the truth for each market
LOOKS = 5  # skus that a visit looks at
SPARE = 0.3  # mean number of units bought after the first
OPENING = datetime(2026, 1, 5, 9, tzinfo=UTC)


@dataclass(frozen=True)
class Result:
    """The result of one shop. Gains are shares of the true profit with public offers.

    Attributes:
        estimate: the gain by the quote log.
        truth: the true gain.
        expected: the gain that the quote log expects of its personal offers, on average.
        discount: the personal discounts of the arm, as a share of the value of its quotes.
    """

    estimate: Estimate
    truth: float
    expected: float
    discount: float


@dataclass(frozen=True)
class SegmentStore:
    """An online store with the segment of each shopper. All have consented."""

    shop: Shop

    async def look_up(self, ids: Sequence[str]) -> dict[str, ShopperProfile]:
        names, segment = list(SEGMENTS), self.shop.segment
        return {id_: ShopperProfile(names[segment[int(id_)]], True) for id_ in ids}


def trade(shop: Shop, folder: Path) -> None:
    """Simulate the experiment day by day, and write the quote log."""
    rng, now, level = np.random.default_rng([shop.seed, 9]), OPENING, np.zeros(SHOPPERS)
    log, offers = DailyLog(folder, "quotes"), Offers(shop.bundle, LatestValues(max_places=1))
    champion = SimpleNamespace(offers=offers, in_service=offers)
    no_challenger, ring = SimpleNamespace(in_service=None), KeyRing({"key": bytes(32)}, "key")
    store = SegmentStore(shop)
    quoter = Quoter(champion, no_challenger, store, log, lambda: ring, lambda: now)
    for _ in range(WEEKS * DAYS):
        visitor, sku = visits(shop, level, rng)
        quotes = list(map(from_json, asyncio.run(quoter.quotes(_requests(visitor, sku)))))
        price = np.array([quote["price"] for quote in quotes])
        buys = rng.random(sku.size) < shop.purchase_chance(shop.segment[visitor], sku, price)
        bought = np.flatnonzero(buys).tolist()
        units = 1 + rng.poisson(SPARE, len(bought))
        orders = zip(bought, units.tolist(), strict=True)
        log.append((order_line(f"{now}{n}", now, quotes[n], many) for n, many in orders), now)
        update(shop, level, visitor, sku, price)
        now += timedelta(days=1)


def visits(shop: Shop, level: Floats, rng: np.random.Generator) -> tuple[Any, Any]:
    """The shoppers of a day and the skus they look at: shopper numbers, and sku numbers."""
    draw, first = rng.random(SHOPPERS), rng.integers(0, SKUS, SHOPPERS)
    visitors = np.flatnonzero(draw < shop.visit_chance(level))
    skus = (first[visitors][:, None] + SKUS // LOOKS * np.arange(LOOKS)) % SKUS
    return np.repeat(visitors, LOOKS), skus.ravel()


def update(shop: Shop, level: Floats, visitor: Any, sku: Any, price: Any) -> None:
    """Move the price level of the day's visitors, in place, towards the prices they saw."""
    seen = np.bincount(visitor, minlength=level.size)
    log_ratio = np.log(price / shop.bundle.listings.list_price[sku])
    mean = np.bincount(visitor, log_ratio, level.size) / np.maximum(seen, 1)
    level += np.where(seen > 0, SMOOTHING * (mean - level), 0.0)


def _requests(visitor: Any, sku: Any) -> list[QuoteRequest]:
    names = sku_names()
    return [
        QuoteRequest(sku=names[item], customer_id=str(customer))
        for customer, item in zip(visitor.tolist(), sku.tolist(), strict=True)
    ]


def true_profit(shop: Shop, prices: Floats) -> Floats:
    """The expected profit of each shopper if all were quoted these prices [segment, sku].

    Visits are simulated, with the same random numbers for every policy; purchases are not.
    """
    profit = np.zeros(SHOPPERS)
    for run in range(RUNS):
        rng, level = np.random.default_rng([shop.seed, 5, run]), np.zeros(SHOPPERS)
        for day in range(WEEKS * DAYS):
            visitor, sku = visits(shop, level, rng)
            segment = shop.segment[visitor]
            price = prices[segment, sku]
            margin = price - shop.bundle.listings.unit_cost[sku]
            units = (1 + SPARE) * shop.purchase_chance(segment, sku, price)
            if day >= RUN_IN * DAYS:
                profit += np.bincount(visitor, margin * units, SHOPPERS)
            update(shop, level, visitor, sku, price)
    return profit / RUNS


def estimate(shop: Shop, entries: Sequence[dict[str, Any]]) -> Estimate:
    """The gain per affected shopper, in minor units, from the quote log.

    A shopper without a quote earned nothing; the hash gives the arm. The visits before the
    experiment predict a part of each shopper's profit. This narrows the interval, and cannot bias
    it.
    """
    quotes, rows = logged(entries), shop.affected
    who = np.array([int(quote.who) for quote in quotes])
    earned = np.bincount(who, [quote.profit for quote in quotes], SHOPPERS)
    experiment = shop.bundle.manifest.limits.experiment
    arms = [assign(str(shopper), "", experiment).name for shopper in range(SHOPPERS)]
    public = np.array([name == PUBLIC for name in arms])
    before = shop.visits_before[rows]
    predicted = before * (before @ earned[rows]) / (before @ before)
    return gain(earned[rows], ~public[rows], predicted, share=0.5)


def run_shop(seed: int) -> Result | None:
    """The result of a shop; None if no segment has a personal offer."""
    shop = draw_shop(seed)
    if not shop.affected.any():
        return None
    with TemporaryDirectory() as folder:
        trade(shop, Path(folder))
        files = sorted(Path(folder).glob("quotes-*.jsonl"))
        lines = (from_json(line) for file in files for line in file.open("rb"))
        entries = [line for line in lines if "order" in line or _is_counted(line["quote"])]
    profits = [true_profit(shop, shop.prices(personal)) for personal in (False, True)]
    public, personal = (float(profit[shop.affected].mean()) for profit in profits)
    by_log = estimate(shop, entries)
    return Result(
        Estimate(by_log.value / public, by_log.error / public),
        personal / public - 1,
        *_logged_expectation(entries),
    )


def _is_counted(quote: Mapping[str, Any]) -> bool:
    issued_at = datetime.fromisoformat(quote["issued_at"])
    return bool(issued_at >= OPENING + timedelta(weeks=RUN_IN))


def _logged_expectation(entries: Sequence[dict[str, Any]]) -> tuple[float, float]:
    """The expected gain of the personal offers in the log, and the share of their discounts."""
    quotes = [line for line in entries if "quote" in line and line["quote"]["arm"] != PUBLIC]
    own = [(line["personal"], line["quote"]["price"]) for line in quotes if line["personal"]]
    gains = [each["profit"] / each["public_profit"] - 1 for each, _ in own]
    discount = sum(each["public_price"] - price for each, price in own)
    return float(np.mean(gains)), discount / sum(line["quote"]["price"] for line in quotes)


def table(results: Sequence[Result]) -> list[dict[str, Any]]:
    """A row for each figure, over all shops. The interval is that of the mean."""
    many = len(results)
    error = float(np.sqrt(sum(result.estimate.error**2 for result in results))) / many
    pooled = Estimate(float(np.mean([result.estimate.value for result in results])), error)
    low, high = pooled.interval
    truth = np.array([result.truth for result in results])
    return [
        {"figure": "gain by the quote log", "mean": pooled.value, "low": low, "high": high},
        {"figure": "true gain", "mean": truth.mean(), "low": truth.min(), "high": truth.max()},
        {
            "figure": "gain that the offers were expected to bring",
            "mean": float(np.mean([result.expected for result in results])),
        },
        {
            "figure": "personal discounts, share of the arm's quoted value",
            "mean": float(np.mean([result.discount for result in results])),
        },
    ]


def bars(results: Sequence[Result]) -> list[Bar]:
    by_log, truth, many = *table(results)[:2], len(results)
    ends = [(*result.estimate.interval, result.truth) for result in results]
    covered = sum(low <= value <= high for low, high, value in ends)
    return [
        Bar("gain by the quote log, lower end of its interval", by_log["low"], 0, at_most=False),
        Bar("true gain, lowest of the shops", truth["low"], 0, at_most=False),
        Bar("share of intervals with the true gain", covered / many, TARGET, at_most=False),
    ]


def main() -> None:
    seeds = seed_range(__doc__, SEEDS)
    results = each_seed(seeds, "shop", run_shop)
    with_offers = [result for result in results if result is not None]
    report(seeds, with_offers)


def report(seeds: range, results: Sequence[Result]) -> None:
    title = f"What personal offers earn more than public ones, in {len(results)} shops"
    print_result(title, table(results), bars(results))
    if seeds == range(SEEDS):
        plot = Plot("figure", "mean")
        write_result(
            "personal", title, "python -m benchmarks.personal", table(results), bars(results), plot
        )


if __name__ == "__main__":
    main()
