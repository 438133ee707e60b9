"""A simulated shop after two years of its usual policy, and the weeks under a policy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.inputs.simulated import Week, play
from pricebook import money
from pricebook.config import Quote
from pricebook.pricing import guardrails
from pricebook.simulation.market import Market, Offer, Spec, State

HISTORY, WEEKS = 104, 52
STORE_CHOICE = 2.0  # a shop that stays 1 % dearer loses about 2 % of its visits
DEVIATION = 0.15  # of list prices from their long-run optimum, a standard deviation of logs
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

    def without_store_choice(self) -> Shop:
        """This shop with as many visits in each week as at the start, whatever it charges."""
        spec = replace(self.market.spec, image_speed=0.0)
        return replace(self, market=replace(self.market, spec=spec))


# (week from 0, state, usual offer, weeks so far) -> prices [n]
Policy = Callable[[int, State, Offer, Trajectory], Ints]


def draw_shop(seed: int, store_choice: bool = False, weeks: int = WEEKS) -> Shop:
    """Simulate a shop whose skus substitute each other.

    Without store choice, half of its list prices are too high. With store choice, the market is the
    same but for its costs: list prices are right on average in the long run, and wrong sku by sku
    (`Market.priced_for_the_long_run`). The strength makes the usual margin a grocer's, about 30 %
    of the price. A tenth of the skus sells near cost or below, as loss leaders do.
    """
    spec = Spec(shoppers=1000, seed=seed, nest=0.9, price_sensitivity=1.6)
    market = Market.draw(spec)
    if store_choice:
        choosing = replace(market, spec=replace(spec, store_choice=STORE_CHOICE))
        market = choosing.priced_for_the_long_run(DEVIATION)
    history = play(market, HISTORY)
    last = history[-1]
    start, _ = market.trade(last.state, last.offer, np.random.default_rng([seed, 5]))
    return Shop(market, history, _usual_offers(market, start, weeks), start, _rungs(market))


def _rungs(market: Market) -> list[Ints]:
    """The rungs of each sku from its floor to its list price; a higher floor leaves the latter."""
    missing = np.full(market.spec.skus, np.nan)
    floor = guardrails.floors(market.unit_cost.astype(float), missing, market.list_price, LIMITS)
    ladders = [money.rungs(int(price), LIMITS.endings) for price in market.list_price]
    return [
        ladder[ladder >= min(low, ladder[-1])] for ladder, low in zip(ladders, floor, strict=True)
    ]


def _usual_offers(market: Market, state: State, weeks: int) -> list[Offer]:
    rng, offers = np.random.default_rng([market.spec.seed, 6]), []
    for _ in range(weeks):
        offers.append(market.policy(state, rng))
        state, _ = market.trade(state, offers[-1], rng)
    return offers


def run(shop: Shop, policy: Policy) -> dict[str, float]:
    """Simulate the weeks under a policy. All policies get the same random numbers.

    "short-run profit" is what the same prices earn if as many shoppers visit as at the start.
    """
    trajectory = _simulate(shop, policy)
    price, units = np.array(trajectory.price), np.array(trajectory.units)
    same_prices = _simulate(
        shop.without_store_choice(), lambda week, *_: trajectory.price[week].astype(np.int64)
    )
    return {
        "profit": _profit(shop, trajectory),
        "short-run profit": _profit(shop, same_prices),
        "revenue": float((price * units).sum()),
        "units": float(units.sum()),
        "price index": float((price / shop.market.list_price).mean()),
        "guardrail hits": float(sum(trajectory.hits.values())),
    }


def _simulate(shop: Shop, policy: Policy) -> Trajectory:
    rng, state, trajectory = np.random.default_rng([shop.seed, 7]), shop.start, Trajectory()
    for week, usual_offer in enumerate(shop.offers):
        price = policy(week, state, usual_offer, trajectory)
        state, totals = shop.market.trade(
            state, Offer(price, usual_offer.display, usual_offer.mailer), rng
        )
        trajectory.price.append(np.asarray(price, float))
        trajectory.units.append(totals.units.astype(float))
    return trajectory


def _profit(shop: Shop, trajectory: Trajectory) -> float:
    price, units = np.array(trajectory.price), np.array(trajectory.units)
    return float(((price - shop.cost) * units).sum())


def best(shop: Shop, policies: Iterable[Policy]) -> dict[str, float]:
    """The result of the policy with the highest profit, chosen in hindsight."""
    return max((run(shop, policy) for policy in policies), key=lambda result: result["profit"])
