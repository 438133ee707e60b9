"""The oracle: a policy that knows the true demand, and what prices do to later visits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from benchmarks.profit.shop import Floats, Ints, Policy, Shop, Trajectory
from pricebook.simulation.market import Offer, State

PASSES = 4  # of the coordinate ascent, at most
FOLLOWED = (0.0, 0.5, 1.0)


@dataclass(frozen=True)
class _Week:
    """A week as the oracle sees it: the market, and the value of a lower price index."""

    state: State
    usual_offer: Offer
    followed: float
    index_value: float


def oracles(shop: Shop) -> Iterator[Policy]:
    """The oracle with each of its assumptions. The best is chosen in hindsight."""
    for followed in FOLLOWED:
        yield oracle(shop, followed)
        if shop.market.spec.store_choice:
            yield oracle(shop, followed, to_the_end=True)


def oracle(shop: Shop, followed: float, to_the_end: bool = False) -> Policy:
    """A policy that knows the true demand and the stock.

    It sets a week's prices by coordinate ascent: one sku of each category at a time, until no price
    changes. It maximises the expected profit of the week, and with store choice also the profit of
    later visits. The price image is a geometric mean of past price indices. So the visits of later
    weeks depend on this week's index alone, and their profit falls by `Market.image_value` for each
    unit that the index rises.

    Args:
        followed: its assumption about competitors. With 0 they keep their prices, with 1 they match
            the new price at once.
        to_the_end: whether only visits to the end of the measured weeks count. Else all later
            visits do, as for a shop that goes on.
    """
    price = shop.market.list_price.copy()

    def decide(week: int, state: State, usual_offer: Offer, trajectory: Trajectory) -> Ints:
        nonlocal price
        left = len(shop.offers) - 1 - week if to_the_end else np.inf
        value = _index_value(shop, price, left)
        price = _ascend(shop, _Week(state, usual_offer, followed, value), price)
        return price.copy()

    return decide


def _index_value(shop: Shop, price: Ints, weeks: float) -> float:
    """Profit of the visits of later weeks for each unit that this week's price index falls."""
    if not shop.market.spec.store_choice:
        return 0.0
    felt = 1 - (1 - shop.market.spec.image_speed) ** weeks
    return float(felt * shop.market.image_value(price))


def _ascend(shop: Shop, week: _Week, price: Ints) -> Ints:
    """Improve the prices [n] until none changes. Categories do not compete, so they are parallel.

    Equals a search sku by sku, because the price of a sku changes the demand of its category only.
    """
    rungs, position = _padded(shop.rungs), _position(shop.market.category)
    for _ in range(PASSES):
        before = price
        for turn in range(position.max() + 1):
            price = _best_rungs(shop, week, price, rungs, position == turn)
        if (price == before).all():
            break
    return price


def _best_rungs(shop: Shop, week: _Week, price: Ints, rungs: Ints, turn: NDArray[np.bool_]) -> Ints:
    """The prices [n] with the best rung for the skus whose turn it is, one of each category."""
    options = np.where(turn, rungs, price)
    index = shop.market.basket * np.log(options / shop.market.list_price) if week.index_value else 0
    profit = (options - shop.cost) * _sales(shop, week, options) - week.index_value * index
    best = (profit @ shop.market.member).argmax(axis=0)[shop.market.category]
    return np.asarray(options[best, np.arange(len(price))])


def _sales(shop: Shop, week: _Week, options: Ints) -> Floats:
    """Expected sales [k, n] at prices [k, n]."""
    state, usual_offer = week.state, week.usual_offer
    rivals = state.rivals ** (1 - week.followed) * options[..., None] ** week.followed
    offer = Offer(options, usual_offer.display, usual_offer.mailer)
    demand = shop.market.demand(replace(state, rivals=rivals), offer)
    return np.minimum(demand, state.on_hand + state.inbound)


def _padded(rungs: list[Ints]) -> Ints:
    """All rungs [k, n]; shorter ladders repeat their list price."""
    most = max(map(len, rungs))
    return np.array([np.pad(ladder, (0, most - len(ladder)), "edge") for ladder in rungs]).T


def _position(category: Ints) -> Ints:
    """The number of each sku within its category [n], from 0."""
    return np.array([(category[:sku] == category[sku]).sum() for sku in range(len(category))])
