"""What prices earn in a simulated market whose truth is known: ours, an oracle's and others'.

    python -m benchmarks.profit [--seeds 20]

A shop keeps its habit for two years; then every policy prices the same 26 weeks from the same
shelves, with the shop's own displays and mailers, stock that runs out and rivals that react. All
prices lie on the ladder between floor and list price. Ours are the response model's, fitted once on
the history: own elasticities, what a price takes from the shop's substitutes, and the guardrails
with their step limit. The level of demand moves no optimum, so the demand model has no part in it.
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

from benchmarks.report import Bar, Plot, show, write
from benchmarks.simulated import Week, names, panel, play, seed_range
from pricebook import money
from pricebook.config import Quote, Response
from pricebook.pricing import guardrails
from pricebook.pricing.cannibalisation import opportunity_cost
from pricebook.pricing.decision import Decision, Listings, decide_many
from pricebook.simulation.market import Market, Offer, Spec, State

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

SEEDS, HISTORY, WEEKS = 20, 104, 26
RECENT, USUAL = 13, 8  # weeks that say what sells, and what the usual price is
SHARE, STRETCH = 0.8, 0.9  # of the oracle's gain
MARKUPS = np.arange(1.2, 3.01, 0.1)
ROUNDS = 4  # of deciding and asking again what substitutes earn
OURS, ORACLE, HABIT = "ours", "oracle", "status quo"
LIMITS = Quote()
Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass
class Played:
    """Weeks played so far under one policy: what was charged, sold and left."""

    price: list[Floats] = field(default_factory=list)
    units: list[Floats] = field(default_factory=list)
    hits: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Shop:
    """A market after its history, and what every policy may know."""

    market: Market
    history: list[Week]
    offers: list[Offer]  # the habit's, for the weeks to come
    start: State
    rungs: list[Ints]

    @property
    def seed(self) -> int:
        return self.market.spec.seed

    @property
    def cost(self) -> Floats:
        return self.market.unit_cost.astype(float)

    def recent(self, played: Played, figure: str, weeks: int) -> Floats:
        """[weeks, n] of the last units or prices, the history's before the policy's own."""
        mine = getattr(played, figure)
        past = [getattr(w.totals if figure == "units" else w.offer, figure) for w in self.history]
        return np.array([*past, *mine][-weeks:], float)

    def snap(self, prices: Floats) -> Ints:
        """The nearest allowed price of each."""
        return np.array(
            [r[np.abs(r - p).argmin()] for r, p in zip(self.rungs, prices, strict=True)]
        )


# (week from 0, state, the habit's offer, what was played) -> prices (n)
Policy = Callable[[int, State, Offer, Played], Ints]


def shop(seed: int) -> Shop:
    """Skus that substitute each other, half of them listed above what would earn most."""
    market = Market.draw(Spec(shoppers=1000, seed=seed, nest=0.9, minded=1.6))
    history = play(market, HISTORY)
    missing = np.full(market.spec.skus, np.nan)
    floor = guardrails.floors(market.unit_cost.astype(float), missing, market.list_price, LIMITS)
    ladders = [money.rungs(int(price), LIMITS.endings) for price in market.list_price]
    rungs = [ladder[ladder >= low] for ladder, low in zip(ladders, floor, strict=True)]
    last = history[-1]
    start, _ = market.trade(last.state, last.offer, np.random.default_rng([seed, 5]))
    return Shop(market, history, _habit(market, start, seed), start, rungs)


def _habit(market: Market, state: State, seed: int) -> list[Offer]:
    rng, offers = np.random.default_rng([seed, 6]), []
    for _ in range(WEEKS):
        offers.append(market.policy(state, rng))
        state, _ = market.trade(state, offers[-1], rng)
    return offers


def run(at: Shop, policy: Policy) -> dict[str, float]:
    """Play a policy; every policy meets the same random numbers."""
    rng, state, played = np.random.default_rng([at.seed, 7]), at.start, Played()
    for week, habit in enumerate(at.offers):
        price = policy(week, state, habit, played)
        state, totals = at.market.trade(state, Offer(price, habit.display, habit.mailer), rng)
        played.price.append(np.asarray(price, float))
        played.units.append(totals.units.astype(float))
    price, units = np.array(played.price), np.array(played.units)
    return {
        "profit": float(((price - at.cost) * units).sum()),
        "revenue": float((price * units).sum()),
        "units": float(units.sum()),
        "price index": float((price / at.market.list_price).mean()),
        "guardrail hits": float(sum(played.hits.values())),
    }


def oracle(at: Shop, followed: float) -> Policy:
    """Knows the truth and the stock: a week's prices together, a sku at a time until none moves.

    `followed` is how far it counts on rivals to follow: 0, they stand still; 1, they are there.
    """
    price = at.market.list_price.copy()

    def decide(week: int, state: State, habit: Offer, played: Played) -> Ints:
        nonlocal price
        for _ in range(4):
            before = price.copy()
            for sku in range(len(price)):
                price = _best_rung(at, state, habit, price, sku, followed)
            if (price == before).all():
                break
        return price.copy()

    return decide


def _best_rung(
    at: Shop, state: State, habit: Offer, price: Ints, sku: int, followed: float
) -> Ints:
    tried = np.repeat(price[None], len(at.rungs[sku]), axis=0)
    tried[:, sku] = at.rungs[sku]
    sold = [
        _sold(at, state, Offer(rungs, habit.display, habit.mailer), followed) for rungs in tried
    ]
    earned = ((tried - at.cost) * sold).sum(axis=1)
    return np.asarray(tried[int(np.argmax(earned))])


def _sold(at: Shop, state: State, offer: Offer, followed: float) -> Floats:
    there = state.rivals ** (1 - followed) * np.asarray(offer.price)[:, None] ** followed
    demand = at.market.demand(replace(state, rivals=there), offer)
    return np.minimum(demand, state.on_hand + state.inbound)


def best(at: Shop, policies: Iterable[Policy]) -> dict[str, float]:
    """The policy that earned most, chosen with hindsight."""
    return max((run(at, policy) for policy in policies), key=lambda result: result["profit"])


def ours(at: Shop) -> Policy:
    """The response model's prices through the guardrails, as the service decides them."""
    from models.response import model as response

    nobody = pd.DataFrame(columns=["sku", "zone", "segment", "period", "units"])
    model = response.fit(panel(at.market, at.history, "all"), nobody, Response(), at.seed)
    keys = pd.DataFrame({"sku": names(at.market)})
    own = keys.merge(model.by_sku(), on="sku", how="left")["elasticity"].to_numpy(float)
    cross_table = model.cross()
    cross_table = cross_table.loc[cross_table["kind"] == "category", ["sku", "elasticity"]]
    cross = keys.merge(cross_table, on="sku", how="left")["elasticity"].to_numpy(float)

    def decide(week: int, state: State, habit: Offer, played: Played) -> Ints:
        units = at.recent(played, "units", RECENT).mean(axis=0)
        usual = np.median(at.recent(played, "price", USUAL), axis=0)
        price = at.recent(played, "price", 1)[0]
        for _ in range(ROUNDS):
            lost = opportunity_cost(own, cross, units, price - at.cost, at.market.category)
            decisions = _decided(at, own, usual, lost)
            price = np.array([decision.price for decision in decisions], float)
        rules = [reason.rule for decision in decisions for reason in decision.reasons]
        played.hits.update(rule for rule in rules if rule not in ("model", "ladder"))
        return price.astype(np.int64)

    return decide


def _decided(at: Shop, own: Floats, usual: Floats, lost: Floats) -> list[Decision]:
    count = at.market.spec.skus
    listings = Listings(
        sku=np.array(names(at.market), object),
        zone=np.full(count, "all", object),
        list_price=at.market.list_price,
        reference_price=usual,
        unit_cost=at.cost,
        cost_assumed=np.zeros(count, bool),
        map_price=np.full(count, np.nan),
        competitor_price=np.full(count, np.nan),
        modelled=np.ones(count, bool),
        cannibalised=lost,
    )
    by_sku = dict(zip(names(at.market), own, strict=True))

    def ratio(rows: Listings, _: Sequence[str], ratios: Floats) -> Floats:
        return np.asarray(ratios ** np.array([by_sku[sku] for sku in rows.sku])[:, None])

    return decide_many(listings, ["everyone"] * count, LIMITS, ratio)


def marked_up(at: Shop, markup: float) -> Policy:
    price = at.snap(at.cost * markup)
    return lambda week, state, habit, played: price


def cost_plus(at: Shop) -> Policy:
    """The mark-up that the shop's own prices had on average."""
    charged = np.array([week.offer.price for week in at.history], float)
    return marked_up(at, float((charged / at.cost).mean()))


def greedy(at: Shop) -> Policy:
    """The rung that a LightGBM demand model expects to earn most, a sku at a time."""
    from lightgbm import LGBMRegressor

    count, listed = at.market.spec.skus, at.market.list_price
    units = np.array([week.totals.units for week in at.history], float)
    rows = [
        _features(at, week, np.asarray(week_.offer.price), week_.offer, units[:week])
        for week, week_ in enumerate(at.history)
        if week >= 4
    ]
    model = LGBMRegressor(
        objective="tweedie", n_estimators=300, learning_rate=0.05, verbosity=-1, n_jobs=2
    )
    model.fit(pd.concat(rows), units[4:].ravel())

    def decide(week: int, state: State, habit: Offer, played: Played) -> Ints:
        past, price = at.recent(played, "units", 4), listed.copy()
        width = max(map(len, at.rungs))
        tried = np.array([np.resize(rungs, width) for rungs in at.rungs])
        wanted = [_features(at, HISTORY + week, tried[:, k], habit, past) for k in range(width)]
        forecast = np.asarray(model.predict(pd.concat(wanted))).reshape(width, count).T
        earned = (tried - at.cost[:, None]) * forecast
        price[:] = tried[np.arange(count), earned.argmax(axis=1)]
        return price

    return decide


def _features(
    at: Shop, week: int, price: Floats | Ints, offer: Offer, past: Floats
) -> pd.DataFrame:
    """What a demand model reads of every sku in a week at these prices."""
    count, angle = at.market.spec.skus, 2 * np.pi * week / 52
    return pd.DataFrame(
        {
            "sku": pd.Categorical(range(count)),
            "category": pd.Categorical(at.market.category),
            "price": price / at.market.list_price,
            "display": np.broadcast_to(offer.display, count).astype(float),
            "mailer": np.broadcast_to(offer.mailer, count).astype(float),
            "last": past[-1],
            "mean": past[-4:].mean(axis=0),
            "sin": np.sin(angle),
            "cos": np.cos(angle),
        }
    )


def thompson(at: Shop) -> Policy:
    """Demand linear in price, a Bayesian regression a sku; each week the best price of a draw.

    Besbes & Zeevi 2015, "On the (surprising) sufficiency of linear models for dynamic pricing with
    demand learning", Management Science 61(4); Russo et al. 2018, "A tutorial on Thompson
    sampling".
    """
    rng, listed = np.random.default_rng([at.seed, 8]), at.market.list_price
    weeks = len(at.history)
    scale = np.array([week.totals.units for week in at.history], float).mean(axis=0) + 1e-9

    def decide(week: int, state: State, habit: Offer, played: Played) -> Ints:
        price = at.recent(played, "price", weeks + week) / listed
        units = at.recent(played, "units", weeks + week) / scale
        wanted = np.empty(len(listed))
        for sku in range(len(listed)):
            design = np.column_stack([np.ones(len(price)), -price[:, sku]])
            precision = design.T @ design + np.diag([0.1, 0.1])
            mean = np.linalg.solve(precision, design.T @ units[:, sku] + [0.3, 0.2])
            noise = max(float(np.var(units[:, sku] - design @ mean)), 1e-6)
            level, slope = rng.multivariate_normal(mean, noise * np.linalg.inv(precision))
            cost = at.cost[sku] / listed[sku]
            wanted[sku] = (level / slope + cost) / 2 if slope > 0 else 1.0
        return at.snap(wanted * listed)

    return decide


def every_policy(at: Shop) -> dict[str, dict[str, float]]:
    """What each policy earned in one market."""
    return {
        HABIT: run(at, lambda week, state, habit, played: np.asarray(habit.price)),
        "cost-plus": run(at, cost_plus(at)),
        "best single mark-up, in hindsight": best(at, (marked_up(at, m) for m in MARKUPS)),
        "greedy on LightGBM": run(at, greedy(at)),
        "Thompson sampling, linear demand": run(at, thompson(at)),
        OURS: run(at, ours(at)),
        ORACLE: best(at, (oracle(at, followed) for followed in (0.0, 0.5, 1.0))),
    }


def rows(played: Sequence[dict[str, dict[str, float]]]) -> list[dict[str, Any]]:
    """A row a policy: means over the seeds, and the share of the oracle's gain with its error."""
    profit = {name: np.array([market[name]["profit"] for market in played]) for name in played[0]}
    whole = profit[ORACLE] - profit[HABIT]
    table = []
    for name, earned in profit.items():
        means = {k: float(np.mean([market[name][k] for market in played])) for k in played[0][name]}
        gain = earned - profit[HABIT]
        share = float(gain.sum() / whole.sum())
        error = float(np.std(gain - share * whole, ddof=1) / np.sqrt(len(gain)) / whole.mean())
        table.append({"policy": name, "share of the oracle's gain": share, "±": error, **means})
    return table


def bars(table: Sequence[dict[str, Any]]) -> list[Bar]:
    at = {row["policy"]: row for row in table}
    share = at[OURS]["share of the oracle's gain"]
    others = [row for name, row in at.items() if name not in (OURS, ORACLE)]
    return [
        Bar("ours, share of the oracle's gain", share, SHARE, at_most=False),
        Bar("stretch", share, STRETCH, at_most=False),
        *(
            Bar(
                f"profit, ours over {row['policy']}", at[OURS]["profit"] / row["profit"], 1.0, False
            )
            for row in others
        ),
    ]


def main() -> None:
    seeds = seed_range(__doc__, SEEDS)
    played = []
    with Console(stderr=True).status("") as status:
        for seed in seeds:
            status.update(f"market {seed}")
            played.append(every_policy(shop(seed)))
    table = rows(played)
    title = f"Profit over {WEEKS} weeks in {len(seeds)} simulated markets"
    show(title, table, bars(table))
    if seeds == range(SEEDS):
        plot = Plot("policy", "share of the oracle's gain")
        write("profit", title, "python -m benchmarks.profit", table, bars(table), plot)


if __name__ == "__main__":
    main()
