"""Does the quote log tell what another policy would earn? `python -m benchmarks.offpolicy`.

In the simulated market a shop asks its quote desk for six weeks, with half of its shoppers in an
exploration arm that reaches far; the desk writes the quote log. From that log alone two estimates
say what the cheapest price in reach would earn a quote, and the market knows what it truly earns.
Near the best price all prices earn about the same, so the shoppers mind prices, and the cheapest
one is far: it earns a third less than the arm did. The reward model is wrong, as models are: it
gives all skus one elasticity.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from pydantic_core import to_json
from rich.console import Console

from benchmarks.report import Bar, Plot, print_result, write_result
from benchmarks.simulated import Floats, Week, panel, play, seed_range, sku_names
from models.runtime import Series
from pricebook.config import Experiment, Quote, Response
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
from pricebook.signals import Event, Windows
from pricebook.simulation.market import Market, Spec
from serving.http.schemas import QuoteRequest
from serving.quotes.bundle import KIND, About, Bundle, Forecasts
from serving.quotes.offers import Offers
from serving.quotes.quoter import Desk
from serving.quotes.signing import KeyRing
from serving.state.daily_log import DailyLog

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SEEDS, INSIDE = 20, 18
HISTORY, WEEKS, DAYS = 104, 6, 7
USUAL = 8  # weeks that say what the usual price is
SPARE = 0.3  # units bought beside the first, on average
ELASTICITIES = np.linspace(-8, 0, 81).tolist()  # those the reward model may have
OPENING = datetime(2026, 1, 5, 9, tzinfo=UTC)
ALL, ARM, ROBUST = (
    "inverse propensity, every quote",
    "inverse propensity, the arm's quotes",
    "doubly robust, the arm's quotes",
)
MODEL, AS_IT_WAS = "reward model alone", "what the arm earned"


@dataclass(frozen=True)
class Elasticities:
    """The fitted response model, in place of its export."""

    by_sku: dict[str, float]

    def demand_ratio(self, rows: Sequence[Series], ratios: Floats) -> Floats:
        return np.asarray(ratios ** np.array([self.by_sku[row.sku] for row in rows])[:, None])


class Strangers:
    """An online store that knows nobody, so nobody has consented."""

    async def look_up(self, ids: Sequence[str]) -> dict[str, Any]:
        return {}


@dataclass(frozen=True)
class Shop:
    """A market after its history, the weeks to come, and the bundle that was fitted on the past."""

    market: Market
    weeks: list[Week]
    bundle: Bundle

    @property
    def visits(self) -> Floats:
        """The chance that each shopper visits on a day; nobody does so twice."""
        return -np.expm1(-self.market.frequency / DAYS)


def shop(seed: int) -> Shop:
    market = Market.draw(Spec(skus=24, shoppers=1000, minded=2.0, seed=seed))
    played = play(market, HISTORY + WEEKS)
    return Shop(market, played[HISTORY:], _bundle(market, played[:HISTORY]))


def _bundle(market: Market, history: list[Week]) -> Bundle:
    from models.response import model as response

    count, skus, seed = market.spec.skus, sku_names(market), market.spec.seed
    nobody = pd.DataFrame(columns=["sku", "zone", "segment", "period", "units"])
    fitted = response.fit(panel(market, history, "all"), nobody, Response(), seed).by_sku()
    elasticities = dict(zip(fitted["sku"], fitted["elasticity"], strict=True))
    roaming = Experiment(control=0.1, explore=0.5, reach=10, temperature=1.0, salt=str(seed))
    limits = Quote(max_step=0.5, max_markdown=0.5, max_batch=100_000, experiment=roaming)
    about = About(
        models={"response": {"version": seed}},
        as_of=date(2026, 1, 5),
        currency="USD",
        minor_digits=2,
        grain="week",
        horizon=WEEKS,
        quote=limits,
        built_from=f"market {seed}",
    )
    return Bundle(
        about,
        _listings(market, history),
        kinds={name: [""] * count for name in KIND},
        rows={(sku, "all"): row for row, sku in enumerate(skus)},
        forecasts=Forecasts({}, {}),
        runtime=Elasticities(elasticities),
    )


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


def bought(market: Market, week: Week) -> Any:
    """(sku, price) -> the chance (g) that a visit of a segment buys it, others as on the shelf."""

    @cache
    def chance(sku: int, price: int) -> Floats:
        prices = np.asarray(week.offer.price).copy()
        prices[sku] = price
        return market.choice(week.state, replace(week.offer, price=prices))[:, sku]

    return chance


def trade(at: Shop, folder: Path) -> None:
    """Days of visits, each of which looks at a sku of every category; leaves a quote log."""
    rng, now, order = np.random.default_rng([at.market.spec.seed, 9]), OPENING, 0
    journal = DailyLog(folder, "quotes")
    nobody = SimpleNamespace(serves=False)
    champion = SimpleNamespace(serves=True, offers=Offers(at.bundle, Windows()))
    ring = KeyRing({"key": bytes(32)}, "key")
    desk = Desk(champion, nobody, Strangers(), journal, lambda: ring, lambda: now)
    for week in at.weeks:
        chance = bought(at.market, week)
        for _ in range(DAYS):
            shopper, sku = _day(at, rng)
            replies = map(json.loads, asyncio.run(desk.quotes(_requests(at, shopper, sku))))
            sold = []
            for who, what, quote in zip(shopper.tolist(), sku.tolist(), replies, strict=True):
                if rng.random() < chance(what, quote["price"])[at.market.segment[who]]:
                    order += 1
                    units = 1 + int(rng.poisson(SPARE))
                    sold.append(_order(f"{order}", now, quote, units))
            journal.append(sold, now)
            now += timedelta(days=1)


def _day(at: Shop, rng: np.random.Generator) -> tuple[Any, Any]:
    """Who looks at what on a day: a row a look."""
    visitors = np.flatnonzero(rng.random(at.market.spec.shoppers) < at.visits)
    of_category = [np.flatnonzero(column) for column in at.market.member.T]
    looked = [rng.choice(skus, visitors.size) for skus in of_category]
    return np.tile(visitors, len(looked)), np.concatenate(looked)


def _requests(at: Shop, shopper: Any, sku: Any) -> list[QuoteRequest]:
    known = sku_names(at.market)
    return [
        QuoteRequest(sku=known[what], customer_id=f"shopper {who}")
        for who, what in zip(shopper.tolist(), sku.tolist(), strict=True)
    ]


def _order(event_id: str, now: datetime, quote: dict[str, Any], units: int) -> bytes:
    event = Event(
        event_id, now, "order", sku=quote["sku"], quote_id=quote["quote_id"], quantity=units
    )
    return b'{"order":%b}\n' % to_json(event)


def cheapest(choice: Choice) -> int:
    """The policy: the lowest price that might have been drawn."""
    return choice.prices[0]


def true_value(at: Shop) -> float:
    """What the policy truly earns a quote, from the market and the choices in the arm."""
    drawing = [Terms(arm=Arm(EXPLORE, 1.0, 0.0))] * len(at.bundle.listings)
    made = offers(drawing, at.bundle.listings, at.bundle.about.limits, at.bundle.demand)
    price = [cheapest(offer.choice or Choice((offer.price,), (1.0,))) for offer in made]
    share = np.bincount(at.market.segment, at.visits) / at.visits.sum()
    chances = [
        [bought(at.market, w)(*offer) @ share for offer in enumerate(price)] for w in at.weeks
    ]
    margin = (1 + SPARE) * (np.array(price) - at.market.unit_cost)
    looked = 1 / at.market.member.sum(axis=0)[at.market.category] / at.market.spec.categories
    return float(np.mean(chances, axis=0) @ (margin * looked))


def estimates(quotes: Sequence[Quoted]) -> dict[str, Estimate]:
    """What the log says the policy earns a quote, and two figures that do not tell."""
    drawn = [quote for quote in quotes if quote.arm == EXPLORE]
    arm = within_arm(drawn, cheapest)
    fitted, expected = modelled(drawn, arm.who)
    as_drawn = replace(arm, target=arm.propensity)
    return {
        ALL: inverse_propensity(overall(quotes, cheapest)),
        ARM: inverse_propensity(arm),
        ROBUST: doubly_robust(arm, fitted, expected),
        MODEL: doubly_robust(replace(arm, target=0 * arm.target), fitted, expected),
        AS_IT_WAS: inverse_propensity(as_drawn),
    }


def modelled(quotes: Sequence[Quoted], who: Any) -> tuple[Floats, Floats]:
    """The reward model at the price shown and at the policy's, each half told by the other."""
    half = np.unique(who, return_inverse=True)[1] % 2
    skus, sku = np.unique([quote.sku for quote in quotes], return_inverse=True)
    columns = [
        (quote.units, quote.features["unit_cost"], quote.price, cheapest(quote.choice))
        for quote in quotes
    ]
    units, cost, *shown_and_wanted = np.array(columns, float).T
    prices = np.array(shown_and_wanted)
    demand = np.empty_like(prices)
    for here in (half == 0, half == 1):
        level, elasticity = fit_demand(sku[~here], units[~here], prices[0, ~here], skus.size)
        demand[:, here] = level[sku[here]] * prices[:, here] ** elasticity
    fitted, expected = (prices - cost) * demand
    return fitted, expected


def fit_demand(sku: Any, units: Floats, price: Floats, many: int) -> tuple[Floats, float]:
    """A level for each of many skus and one elasticity for all, by Poisson regression.

    The level of a sku that nobody asked for is 0.
    """
    sold, all_sold = np.bincount(sku, units, many), units @ np.log(price)

    def relative_demand(elasticity: float) -> Floats:
        return np.maximum(np.bincount(sku, price**elasticity, many), np.finfo(float).tiny)

    def unlikely(elasticity: float) -> float:
        return float(sold @ np.log(relative_demand(elasticity)) - elasticity * all_sold)

    elasticity = min(ELASTICITIES, key=unlikely)
    return sold / relative_demand(elasticity), elasticity


def run_market(seed: int) -> dict[str, tuple[float, Estimate]]:
    """The true value beside each estimate of it."""
    at = shop(seed)
    with TemporaryDirectory() as place:
        trade(at, Path(place))
        files = sorted(Path(place).glob("quotes-*.jsonl"))
        quotes = logged(json.loads(line) for file in files for line in file.open())
    truth = true_value(at)
    return {name: (truth, estimate) for name, estimate in estimates(quotes).items()}


def rows(played: Sequence[dict[str, tuple[float, Estimate]]]) -> list[dict[str, Any]]:
    """A row an estimate: how many intervals hold the truth; the rest in shares of the truth."""
    table = []
    for name in played[0]:
        truth = np.array([market[name][0] for market in played])
        value = np.array([market[name][1].value for market in played])
        low, high = np.array([market[name][1].interval for market in played]).T
        table.append(
            {
                "estimate": name,
                "true value inside": int(((low <= truth) & (truth <= high)).sum()),
                "interval's width": float(((high - low) / truth).mean()),
                "bias": float((value / truth - 1).mean()),
                "off by, either way": float(np.abs(value / truth - 1).mean()),
            }
        )
    return table


def bars(table: Sequence[dict[str, Any]]) -> list[Bar]:
    inside = {row["estimate"]: row["true value inside"] for row in table}
    return [
        Bar(f"{name}: markets whose true value is inside", inside[name], INSIDE, at_most=False)
        for name in (ALL, ARM, ROBUST)
    ]


def main() -> None:
    seeds = seed_range(__doc__, SEEDS)
    played = []
    with Console(stderr=True).status("") as status:
        for seed in seeds:
            status.update(f"market {seed}")
            played.append(run_market(seed))
    table = rows(played)
    title = f"What the cheapest price would earn, from {len(seeds)} quote logs"
    print_result(title, table, bars(table))
    if seeds == range(SEEDS):
        plot = Plot("estimate", "true value inside")
        write_result("offpolicy", title, "python -m benchmarks.offpolicy", table, bars(table), plot)


if __name__ == "__main__":
    main()
