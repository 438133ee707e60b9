"""Compare the profit of pricing policies in a simulated market, with an oracle as the upper bound.

    python -m benchmarks.profit [--seeds 20]

The shop follows its usual policy for two years. Then each policy sets the prices of the same 26
weeks, from the same stock, with the shop's displays and mailers, limited stock and competitors that
react. All prices are rungs between floor and list price. Pricebook's policy uses the response
model, fitted once on the history, the cost of sales lost by substitutes, and the guardrails with
their step limit. It needs no demand forecast, because the best price does not depend on the level
of demand.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console

from benchmarks.inputs.simulated import Week, panel, play, seed_range, sku_names
from benchmarks.report import Bar, Plot, print_result, write_result
from pricebook import money
from pricebook.config import Quote, Response
from pricebook.pricing import guardrails
from pricebook.pricing.cannibalisation import opportunity_cost
from pricebook.pricing.decision import Decision, Listings, decide_many
from pricebook.simulation.market import Market, Offer, Spec, State

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SEEDS, HISTORY, WEEKS = 20, 104, 26
RECENT, USUAL = 13, 8  # weeks for the usual units and for the reference price
SHARE, STRETCH = 0.8, 0.9  # targets, as shares of the oracle's gain
MARKUPS = np.arange(1.2, 3.01, 0.1)
ROUNDS = 4  # iterations between the prices and the margins of substitutes
OURS, ORACLE, STATUS_QUO = "ours", "oracle", "status quo"
LIMITS = Quote()
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class Trajectory:
    """The weeks under a policy so far: prices [n], units [n], and how often each rule applied."""

    price: list[Floats] = field(default_factory=list)
    units: list[Floats] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Shop:
    """A market after its history, and the data that every policy may read.

    Attributes:
        market: the market.
        history: the weeks under the shop's usual policy.
        offers: the displays and mailers of the weeks to come, with the usual prices.
        start: the state of the market after the history.
        rungs: the allowed prices of each sku.
    """

    market: Market
    history: list[Week]
    offers: list[Offer]
    start: State
    rungs: list[Ints]

    @property
    def seed(self) -> int:
        return self.market.spec.seed

    @property
    def cost(self) -> Floats:
        return self.market.unit_cost.astype(float)

    def recent(self, trajectory: Trajectory, figure: str, weeks: int) -> Floats:
        """The units or prices of the last weeks [weeks, n], including the history."""
        own = getattr(trajectory, figure)
        past = [getattr(w.totals if figure == "units" else w.offer, figure) for w in self.history]
        return np.array([*past, *own][-weeks:], float)

    def snap(self, prices: Floats) -> Ints:
        """The nearest rung for each price."""
        return np.array(
            [r[np.abs(r - p).argmin()] for r, p in zip(self.rungs, prices, strict=True)]
        )


# (week from 0, state, usual offer, weeks so far) -> prices [n]
Policy = Callable[[int, State, Offer, Trajectory], Ints]


def draw_shop(seed: int) -> Shop:
    """Simulate a shop whose skus substitute each other. Half of its list prices are too high."""
    market = Market.draw(Spec(shoppers=1000, seed=seed, nest=0.9, price_sensitivity=1.6))
    history = play(market, HISTORY)
    missing = np.full(market.spec.skus, np.nan)
    floor = guardrails.floors(market.unit_cost.astype(float), missing, market.list_price, LIMITS)
    ladders = [money.rungs(int(price), LIMITS.endings) for price in market.list_price]
    rungs = [ladder[ladder >= low] for ladder, low in zip(ladders, floor, strict=True)]
    last = history[-1]
    start, _ = market.trade(last.state, last.offer, np.random.default_rng([seed, 5]))
    return Shop(market, history, _usual_offers(market, start, seed), start, rungs)


def _usual_offers(market: Market, state: State, seed: int) -> list[Offer]:
    rng, offers = np.random.default_rng([seed, 6]), []
    for _ in range(WEEKS):
        offers.append(market.policy(state, rng))
        state, _ = market.trade(state, offers[-1], rng)
    return offers


def run(shop: Shop, policy: Policy) -> dict[str, float]:
    """Simulate the weeks under a policy. All policies get the same random numbers."""
    rng, state, trajectory = np.random.default_rng([shop.seed, 7]), shop.start, Trajectory()
    for week, usual_offer in enumerate(shop.offers):
        price = policy(week, state, usual_offer, trajectory)
        state, totals = shop.market.trade(
            state, Offer(price, usual_offer.display, usual_offer.mailer), rng
        )
        trajectory.price.append(np.asarray(price, float))
        trajectory.units.append(totals.units.astype(float))
    price, units = np.array(trajectory.price), np.array(trajectory.units)
    return {
        "profit": float(((price - shop.cost) * units).sum()),
        "revenue": float((price * units).sum()),
        "units": float(units.sum()),
        "price index": float((price / shop.market.list_price).mean()),
        "guardrail hits": float(sum(trajectory.hits.values())),
    }


def oracle(shop: Shop, followed: float) -> Policy:
    """A policy that knows the true demand and the stock.

    It sets a week's prices by coordinate ascent: one sku at a time, until no price changes.
    `followed` is its assumption about competitors: with 0 they keep their prices, with 1 they match
    the new price at once.
    """
    price = shop.market.list_price.copy()

    def decide(week: int, state: State, usual_offer: Offer, trajectory: Trajectory) -> Ints:
        nonlocal price
        for _ in range(4):
            before = price.copy()
            for sku in range(len(price)):
                price = _best_rung(shop, state, usual_offer, price, sku, followed)
            if (price == before).all():
                break
        return price.copy()

    return decide


def _best_rung(
    shop: Shop, state: State, usual_offer: Offer, price: Ints, sku: int, followed: float
) -> Ints:
    options = np.repeat(price[None], len(shop.rungs[sku]), axis=0)
    options[:, sku] = shop.rungs[sku]
    units = [
        _sales(shop, state, Offer(prices, usual_offer.display, usual_offer.mailer), followed)
        for prices in options
    ]
    profit = ((options - shop.cost) * units).sum(axis=1)
    return np.asarray(options[int(np.argmax(profit))])


def _sales(shop: Shop, state: State, offer: Offer, followed: float) -> Floats:
    rivals = state.rivals ** (1 - followed) * np.asarray(offer.price)[:, None] ** followed
    demand = shop.market.demand(replace(state, rivals=rivals), offer)
    return np.minimum(demand, state.on_hand + state.inbound)


def best(shop: Shop, policies: Iterable[Policy]) -> dict[str, float]:
    """The result of the policy with the highest profit, chosen in hindsight."""
    return max((run(shop, policy) for policy in policies), key=lambda result: result["profit"])


def ours(shop: Shop) -> Policy:
    """The response model's prices after the guardrails, decided as in the service."""
    from models.response import model as response

    no_shoppers = pd.DataFrame(columns=["sku", "zone", "segment", "period", "units"])
    model = response.fit(
        panel(shop.market, shop.history, "all"), no_shoppers, Response(), shop.seed
    )
    keys = pd.DataFrame({"sku": sku_names(shop.market)})
    own = keys.merge(model.by_sku(), on="sku", how="left")["elasticity"].to_numpy(float)
    cross_table = model.cross()
    cross_table = cross_table.loc[cross_table["kind"] == "category", ["sku", "elasticity"]]
    cross = keys.merge(cross_table, on="sku", how="left")["elasticity"].to_numpy(float)

    def decide(week: int, state: State, usual_offer: Offer, trajectory: Trajectory) -> Ints:
        units = shop.recent(trajectory, "units", RECENT).mean(axis=0)
        usual = np.median(shop.recent(trajectory, "price", USUAL), axis=0)
        price = shop.recent(trajectory, "price", 1)[0]
        for _ in range(ROUNDS):
            lost = opportunity_cost(own, cross, units, price - shop.cost, shop.market.category)
            decisions = _decide(shop, own, usual, lost)
            price = np.array([decision.price for decision in decisions], float)
        rules = [reason.rule for decision in decisions for reason in decision.reasons]
        trajectory.hits.update(rule for rule in rules if rule not in ("model", "ladder"))
        return price.astype(np.int64)

    return decide


def _decide(shop: Shop, own: Floats, usual: Floats, lost: Floats) -> list[Decision]:
    count = shop.market.spec.skus
    listings = Listings(
        sku=np.array(sku_names(shop.market), object),
        zone=np.full(count, "all", object),
        list_price=shop.market.list_price,
        reference_price=usual,
        unit_cost=shop.cost,
        cost_assumed=np.zeros(count, bool),
        map_price=np.full(count, np.nan),
        competitor_price=np.full(count, np.nan),
        modelled=np.ones(count, bool),
        cannibalised=lost,
    )
    by_sku = dict(zip(sku_names(shop.market), own, strict=True))

    def ratio(rows: Listings, _: Sequence[str], ratios: Floats) -> Floats:
        return np.asarray(ratios ** np.array([by_sku[sku] for sku in rows.sku])[:, None])

    return decide_many(listings, ["everyone"] * count, LIMITS, ratio)


def marked_up(shop: Shop, markup: float) -> Policy:
    price = shop.snap(shop.cost * markup)
    return lambda week, state, usual_offer, trajectory: price


def cost_plus(shop: Shop) -> Policy:
    """The average mark-up of the shop's usual prices."""
    charged = np.array([week.offer.price for week in shop.history], float)
    return marked_up(shop, float((charged / shop.cost).mean()))


def greedy(shop: Shop) -> Policy:
    """The most profitable rung of each sku by a LightGBM demand model, without substitution."""
    from lightgbm import LGBMRegressor

    count, listed = shop.market.spec.skus, shop.market.list_price
    units = np.array([week.totals.units for week in shop.history], float)
    rows = [
        _features(shop, week, np.asarray(week_.offer.price), week_.offer, units[:week])
        for week, week_ in enumerate(shop.history)
        if week >= 4
    ]
    model = LGBMRegressor(
        objective="tweedie", n_estimators=300, learning_rate=0.05, verbosity=-1, n_jobs=2
    )
    model.fit(pd.concat(rows), units[4:].ravel())

    def decide(week: int, state: State, usual_offer: Offer, trajectory: Trajectory) -> Ints:
        past, price = shop.recent(trajectory, "units", 4), listed.copy()
        width = max(map(len, shop.rungs))
        options = np.array([np.resize(rungs, width) for rungs in shop.rungs])
        inputs = [
            _features(shop, HISTORY + week, options[:, k], usual_offer, past) for k in range(width)
        ]
        forecast = np.asarray(model.predict(pd.concat(inputs))).reshape(width, count).T
        profit = (options - shop.cost[:, None]) * forecast
        price[:] = options[np.arange(count), profit.argmax(axis=1)]
        return price

    return decide


def _features(
    shop: Shop, week: int, price: Floats | Ints, offer: Offer, past: Floats
) -> pd.DataFrame:
    """The inputs of the demand model for all skus of a week at these prices."""
    count, angle = shop.market.spec.skus, 2 * np.pi * week / 52
    return pd.DataFrame(
        {
            "sku": pd.Categorical(range(count)),
            "category": pd.Categorical(shop.market.category),
            "price": price / shop.market.list_price,
            "display": np.broadcast_to(offer.display, count).astype(float),
            "mailer": np.broadcast_to(offer.mailer, count).astype(float),
            "last": past[-1],
            "mean": past[-4:].mean(axis=0),
            "sin": np.sin(angle),
            "cos": np.cos(angle),
        }
    )


def thompson(shop: Shop) -> Policy:
    """Thompson sampling: the best price for one draw from each sku's Bayesian linear demand curve.

    Besbes & Zeevi 2015, "On the (surprising) sufficiency of linear models for dynamic pricing with
    demand learning", Management Science 61(4); Russo et al. 2018, "A tutorial on Thompson
    sampling".
    """
    rng, listed = np.random.default_rng([shop.seed, 8]), shop.market.list_price
    weeks = len(shop.history)
    scale = np.array([week.totals.units for week in shop.history], float).mean(axis=0) + 1e-9

    def decide(week: int, state: State, usual_offer: Offer, trajectory: Trajectory) -> Ints:
        price = shop.recent(trajectory, "price", weeks + week) / listed
        units = shop.recent(trajectory, "units", weeks + week) / scale
        target = np.empty(len(listed))
        for sku in range(len(listed)):
            design = np.column_stack([np.ones(len(price)), -price[:, sku]])
            precision = design.T @ design + np.diag([0.1, 0.1])
            mean = np.linalg.solve(precision, design.T @ units[:, sku] + [0.3, 0.2])
            noise = max(float(np.var(units[:, sku] - design @ mean)), 1e-6)
            level, slope = rng.multivariate_normal(mean, noise * np.linalg.inv(precision))
            cost = shop.cost[sku] / listed[sku]
            target[sku] = (level / slope + cost) / 2 if slope > 0 else 1.0
        return shop.snap(target * listed)

    return decide


def every_policy(shop: Shop) -> dict[str, dict[str, float]]:
    """The results of all policies in one market."""
    return {
        STATUS_QUO: run(
            shop, lambda week, state, usual_offer, trajectory: np.asarray(usual_offer.price)
        ),
        "cost-plus": run(shop, cost_plus(shop)),
        "best single mark-up, in hindsight": best(shop, (marked_up(shop, m) for m in MARKUPS)),
        "greedy on LightGBM": run(shop, greedy(shop)),
        "Thompson sampling, linear demand": run(shop, thompson(shop)),
        OURS: run(shop, ours(shop)),
        ORACLE: best(shop, (oracle(shop, followed) for followed in (0.0, 0.5, 1.0))),
    }


def rows(markets: Sequence[dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """A row for each policy: means over the markets, and its share of the oracle's gain."""
    profit = {name: np.array([market[name]["profit"] for market in markets]) for name in markets[0]}
    oracle_gain = profit[ORACLE] - profit[STATUS_QUO]
    table = []
    for name, policy_profit in profit.items():
        figures = markets[0][name]
        means = {k: float(np.mean([market[name][k] for market in markets])) for k in figures}
        gain = policy_profit - profit[STATUS_QUO]
        share = float(gain.sum() / oracle_gain.sum())
        # The standard error of a ratio of sums, by the delta method.
        residual = gain - share * oracle_gain
        error = float(np.std(residual, ddof=1) / np.sqrt(len(gain)) / oracle_gain.mean())
        table.append({"policy": name, "share of the oracle's gain": share, "±": error, **means})
    return table


def bars(table: Sequence[dict[str, Any]]) -> list[Bar]:
    by_policy = {row["policy"]: row for row in table}
    share = by_policy[OURS]["share of the oracle's gain"]
    others = [row for name, row in by_policy.items() if name not in (OURS, ORACLE)]
    return [
        Bar("ours, share of the oracle's gain", share, SHARE, at_most=False),
        Bar("ours, share of the oracle's gain (stretch target)", share, STRETCH, at_most=False),
        *(
            Bar(
                f"profit, ours / {row['policy']}",
                by_policy[OURS]["profit"] / row["profit"],
                1.0,
                False,
            )
            for row in others
        ),
    ]


def main() -> None:
    seeds = seed_range(__doc__, SEEDS)
    results = []
    with Console(stderr=True).status("") as status:
        for seed in seeds:
            status.update(f"market {seed}")
            results.append(every_policy(draw_shop(seed)))
    table = rows(results)
    title = f"Profit over {WEEKS} weeks in {len(seeds)} simulated markets"
    print_result(title, table, bars(table))
    if seeds == range(SEEDS):
        plot = Plot("policy", "share of the oracle's gain")
        write_result("profit", title, "python -m benchmarks.profit", table, bars(table), plot)


if __name__ == "__main__":
    main()
