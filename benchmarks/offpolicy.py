"""Estimate from the quote log what another pricing policy would earn, and compare with the truth.

    python -m benchmarks.offpolicy

A shop in the simulated market quotes for six weeks, with half of its shoppers in an exploration
arm. The target policy charges the lowest price that the arm may draw. Two estimators compute its
profit per quote from the quote log alone, and the market gives the true value. The shoppers are
very price-sensitive, so that the policy earns a third less than the arm. (Near the best price, all
policies would earn about the same.) The reward model is wrong on purpose: it has one elasticity for
all skus.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from pydantic_core import to_json

from benchmarks.inputs.bundles import simulated_bundle
from benchmarks.inputs.simulated import (
    Floats,
    Week,
    each_seed,
    panel,
    play,
    seed_range,
    sku_names,
)
from benchmarks.report import Bar, Plot, print_result, write_result
from models.runtime import Series
from pricebook.config import Experiment, Quote, Response
from pricebook.events import Event
from pricebook.latest_values import LatestValues
from pricebook.pricing.arms import EXPLORE, Arm
from pricebook.pricing.decision import Choice, Listings
from pricebook.pricing.offpolicy import (
    Estimate,
    Quoted,
    doubly_robust,
    inverse_propensity,
    logged,
    overall,
    within_arm,
)
from pricebook.pricing.quote import Terms, offers
from pricebook.simulation.market import Market, Spec
from serving.http.schemas import QuoteRequest
from serving.quotes.bundle import Bundle
from serving.quotes.offers import Offers
from serving.quotes.quoter import Quoter
from serving.quotes.signing import KeyRing
from serving.state.daily_log import DailyLog

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SEEDS, TARGET = 20, 18  # of 20 intervals, 18 must contain the true value
HISTORY, WEEKS, DAYS = 104, 6, 7
USUAL = 8  # weeks for the reference price
SPARE = 0.3  # mean number of units bought after the first
ELASTICITIES = np.linspace(-8, 0, 81).tolist()  # candidates of the reward model
OPENING = datetime(2026, 1, 5, 9, tzinfo=UTC)
ALL, ARM, ROBUST = (
    "inverse propensity, every quote",
    "inverse propensity, the arm's quotes",
    "doubly robust, the arm's quotes",
)
MODEL, ARM_ITSELF = "reward model alone", "profit of the arm itself"


@dataclass(frozen=True)
class Elasticities:
    """The fitted response model, used in place of the exported one."""

    by_sku: dict[str, float]

    def demand_ratio(self, rows: Sequence[Series], ratios: Floats) -> Floats:
        return np.asarray(ratios ** np.array([self.by_sku[row.sku] for row in rows])[:, None])


class EmptyStore:
    """An online store without shoppers. So no shopper has consented to personal offers."""

    async def look_up(self, ids: Sequence[str]) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Shop:
    """A market, the weeks to simulate, and the bundle that was fitted on the history."""

    market: Market
    weeks: list[Week]
    bundle: Bundle

    @property
    def visits(self) -> Floats:
        """The probability that each shopper visits on a day. At most one visit per day."""
        return -np.expm1(-self.market.frequency / DAYS)


def draw_shop(seed: int) -> Shop:
    market = Market.draw(Spec(skus=24, shoppers=1000, price_sensitivity=2.0, seed=seed))
    weeks = play(market, HISTORY + WEEKS)
    return Shop(market, weeks[HISTORY:], _bundle(market, weeks[:HISTORY]))


def _bundle(market: Market, history: list[Week]) -> Bundle:
    from models.response import model as response

    seed = market.spec.seed
    no_shoppers = pd.DataFrame(columns=["sku", "zone", "segment", "period", "units"])
    fitted = response.fit(panel(market, history, "all"), no_shoppers, Response(), seed).by_sku()
    elasticities = dict(zip(fitted["sku"], fitted["elasticity"], strict=True))
    experiment = Experiment(control=0.1, explore=0.5, reach=10, temperature=1.0, salt=str(seed))
    limits = Quote(max_step=0.5, max_markdown=0.5, max_batch=100_000, experiment=experiment)
    listings = _listings(market, history)
    return simulated_bundle(listings, limits, Elasticities(elasticities), "market", seed)


def _listings(market: Market, history: list[Week]) -> Listings:
    count = market.spec.skus
    return Listings(
        sku=np.array(sku_names(market), object),
        zone=np.full(count, "all", object),
        list_price=market.list_price,
        reference_price=np.median([week.offer.price for week in history[-USUAL:]], axis=0),
        unit_cost=market.unit_cost.astype(float),
        cost_assumed=np.zeros(count, bool),
        map_price=np.full(count, np.nan),
        competitor_price=np.full(count, np.nan),
        modelled=np.ones(count, bool),
    )


def purchase_probability(market: Market, week: Week) -> Any:
    """A function (sku, price) -> the probability of a purchase per visit, for each segment.

    The other skus keep their prices of the week.
    """

    @cache
    def probability(sku: int, price: int) -> Floats:
        prices = np.asarray(week.offer.price).copy()
        prices[sku] = price
        return market.choice(week.state, replace(week.offer, price=prices))[:, sku]

    return probability


def trade(shop: Shop, folder: Path) -> None:
    """Simulate days of visits and write the quote log.

    A visit requests a quote for one sku of each category.
    """
    rng, now, order = np.random.default_rng([shop.market.spec.seed, 9]), OPENING, 0
    log = DailyLog(folder, "quotes")
    no_challenger = SimpleNamespace(in_service=None)
    champion = SimpleNamespace(offers=Offers(shop.bundle, LatestValues(max_places=1)))
    ring = KeyRing({"key": bytes(32)}, "key")
    quoter = Quoter(champion, no_challenger, EmptyStore(), log, lambda: ring, lambda: now)
    for week in shop.weeks:
        probability = purchase_probability(shop.market, week)
        for _ in range(DAYS):
            shopper, sku = _day(shop, rng)
            replies = map(json.loads, asyncio.run(quoter.quotes(_requests(shop, shopper, sku))))
            orders = []
            for customer, item, quote in zip(shopper.tolist(), sku.tolist(), replies, strict=True):
                if rng.random() < probability(item, quote["price"])[shop.market.segment[customer]]:
                    order += 1
                    units = 1 + int(rng.poisson(SPARE))
                    orders.append(order_line(f"{order}", now, quote, units))
            log.append(orders, now)
            now += timedelta(days=1)


def _day(shop: Shop, rng: np.random.Generator) -> tuple[Any, Any]:
    """The visitors of a day and the skus they look at: shopper numbers, and sku numbers."""
    visitors = np.flatnonzero(rng.random(shop.market.spec.shoppers) < shop.visits)
    of_category = [np.flatnonzero(column) for column in shop.market.member.T]
    skus = [rng.choice(members, visitors.size) for members in of_category]
    return np.tile(visitors, len(skus)), np.concatenate(skus)


def _requests(shop: Shop, shopper: Any, sku: Any) -> list[QuoteRequest]:
    skus = sku_names(shop.market)
    return [
        QuoteRequest(sku=skus[item], customer_id=f"shopper {customer}")
        for customer, item in zip(shopper.tolist(), sku.tolist(), strict=True)
    ]


def order_line(event_id: str, now: datetime, quote: dict[str, Any], units: int) -> bytes:
    event = Event(
        event_id, now, "order", sku=quote["sku"], quote_id=quote["quote_id"], quantity=units
    )
    return b'{"order":%b}\n' % to_json(event)


def cheapest(choice: Choice) -> int:
    """The target policy: the lowest price that could have been drawn."""
    return choice.prices[0]


def true_value(shop: Shop) -> float:
    """The true profit per quote of the target policy."""
    drawing = [Terms(arm=Arm(EXPLORE, 1.0, 0.0))] * len(shop.bundle.listings)
    policy_offers = offers(
        drawing, shop.bundle.listings, shop.bundle.manifest.limits, shop.bundle.demand
    )
    price = [cheapest(offer.choice or Choice((offer.price,), (1.0,))) for offer in policy_offers]
    share = np.bincount(shop.market.segment, shop.visits) / shop.visits.sum()
    probabilities = [
        [purchase_probability(shop.market, w)(*offer) @ share for offer in enumerate(price)]
        for w in shop.weeks
    ]
    margin = (1 + SPARE) * (np.array(price) - shop.market.unit_cost)
    share_of_visits = (
        1 / shop.market.member.sum(axis=0)[shop.market.category] / shop.market.spec.categories
    )
    return float(np.mean(probabilities, axis=0) @ (margin * share_of_visits))


def estimates(quotes: Sequence[Quoted]) -> dict[str, Estimate]:
    """Estimates of the policy's profit per quote, and two figures for comparison."""
    drawn = [quote for quote in quotes if quote.arm == EXPLORE]
    arm = within_arm(drawn, cheapest)
    fitted, expected = reward_model(drawn, arm.who)
    as_drawn = replace(arm, target=arm.propensity)
    return {
        ALL: inverse_propensity(overall(quotes, cheapest)),
        ARM: inverse_propensity(arm),
        ROBUST: doubly_robust(arm, fitted, expected),
        MODEL: doubly_robust(replace(arm, target=0 * arm.target), fitted, expected),
        ARM_ITSELF: inverse_propensity(as_drawn),
    }


def reward_model(quotes: Sequence[Quoted], who: Any) -> tuple[Floats, Floats]:
    """The reward model's profit at the logged prices and at the policy's prices.

    It is cross-fitted: the model for one half of the shoppers is fitted on the other half.
    """
    half = np.unique(who, return_inverse=True)[1] % 2
    skus, sku = np.unique([quote.sku for quote in quotes], return_inverse=True)
    columns = [
        (quote.units, quote.features["unit_cost"], quote.price, cheapest(quote.choice))
        for quote in quotes
    ]
    units, cost, *logged_and_policy = np.array(columns, float).T
    prices = np.array(logged_and_policy)
    demand = np.empty_like(prices)
    for test in (half == 0, half == 1):
        level, elasticity = fit_demand(sku[~test], units[~test], prices[0, ~test], skus.size)
        demand[:, test] = level[sku[test]] * prices[:, test] ** elasticity
    fitted, expected = (prices - cost) * demand
    return fitted, expected


def fit_demand(sku: Any, units: Floats, price: Floats, many: int) -> tuple[Floats, float]:
    """Fit a level for each of `many` skus and one elasticity for all, by Poisson regression.

    The level of a sku without quotes is 0.
    """
    sales, log_price_sum = np.bincount(sku, units, many), units @ np.log(price)

    def relative_demand(elasticity: float) -> Floats:
        return np.maximum(np.bincount(sku, price**elasticity, many), np.finfo(float).tiny)

    def negative_log_likelihood(elasticity: float) -> float:
        return float(sales @ np.log(relative_demand(elasticity)) - elasticity * log_price_sum)

    elasticity = min(ELASTICITIES, key=negative_log_likelihood)
    return sales / relative_demand(elasticity), elasticity


def run_market(seed: int) -> dict[str, tuple[float, Estimate]]:
    """Each estimate with the true value."""
    shop = draw_shop(seed)
    with TemporaryDirectory() as folder:
        trade(shop, Path(folder))
        files = sorted(Path(folder).glob("quotes-*.jsonl"))
        quotes = logged(json.loads(line) for file in files for line in file.open())
    truth = true_value(shop)
    return {name: (truth, estimate) for name, estimate in estimates(quotes).items()}


def rows(markets: Sequence[dict[str, tuple[float, Estimate]]]) -> list[dict[str, Any]]:
    """A row for each estimate. Widths and errors are relative to the true value."""
    table = []
    for name in markets[0]:
        truth = np.array([market[name][0] for market in markets])
        value = np.array([market[name][1].value for market in markets])
        low, high = np.array([market[name][1].interval for market in markets]).T
        table.append(
            {
                "estimate": name,
                "intervals with the true value": int(((low <= truth) & (truth <= high)).sum()),
                "interval width": float(((high - low) / truth).mean()),
                "bias": float((value / truth - 1).mean()),
                "absolute error": float(np.abs(value / truth - 1).mean()),
            }
        )
    return table


def bars(table: Sequence[dict[str, Any]]) -> list[Bar]:
    covered = {row["estimate"]: row["intervals with the true value"] for row in table}
    return [
        Bar(f"{name}: intervals with the true value", covered[name], TARGET, at_most=False)
        for name in (ALL, ARM, ROBUST)
    ]


def main() -> None:
    seeds = seed_range(__doc__, SEEDS)
    results = each_seed(seeds, "market", run_market)
    table = rows(results)
    title = (
        f"Off-policy estimates of the profit of the cheapest price, from {len(seeds)} quote logs"
    )
    print_result(title, table, bars(table))
    if seeds == range(SEEDS):
        plot = Plot("estimate", "intervals with the true value")
        write_result("offpolicy", title, "python -m benchmarks.offpolicy", table, bars(table), plot)


if __name__ == "__main__":
    main()
