"""A simulated market whose true demand is known.

Shoppers of a few segments visit a shop; in each category a visit chooses one sku or none by a
nested logit (Train, Discrete Choice Methods with Simulation, ch. 4): skus of a category substitute
each other, and a lower price also draws buyers who would have bought nothing. Demand has a season
that prices know about: the shop's own policy cuts prices when a category is about to sell well, so
price and season are confounded, as in real order books. Rivals follow the shop's price and have a
mind of their own; a cheaper one takes buyers away. Stock may run out.

All of it is pure: `Market.step` takes a state and an offer; it returns the next state and sales,
line by line; `Market.trade` draws the totals only, which is fast.
Arrays are indexed n (skus), c (categories), g (segments) and r (rivals); money is in minor units.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SEGMENTS = ("regular", "occasional", "deal seeker")
_SHARE = np.array([0.45, 0.30, 0.25])
_VISITS = np.array([2.2, 0.5, 1.2])  # a week
_SENSITIVITY = np.array([0.8, 1.0, 1.6])  # times the sku's own
_DEALS = np.array([0.3, 0.3, 0.8])  # utility of a display
_MAIL = np.array([0.2, 0.1, 0.4])  # utility of a place in the mailer
_MEAN_UNITS = 1.3  # of a sku that a visit buys


@dataclass(frozen=True)
class Spec:
    """The size of a market, and how its rivals and its mailer matter.

    A shopper weighs the cheapest rival's log price `rivalry` times as much as the shop's own. What
    rivals aim at strays from the shop's price by `restless` (standard deviation of the log). The
    shop puts a share `mailed` of its price cuts into the mailer. At a `nest` of 1, skus of a
    category substitute each other no more than nothing at all does; below, more. Shoppers mind
    prices `minded` times as much as in the usual market.
    """

    skus: int = 60
    categories: int = 8
    shoppers: int = 300
    rivals: int = 2
    year: int = 52
    seed: int = 7
    rivalry: float = 0.25
    restless: float = 0.08
    mailed: float = 0.4
    nest: float = 0.6
    minded: float = 1.0


@dataclass(frozen=True)
class State:
    """What a week begins with: stock (n), on order (n), rivals' prices (n, r), sales before (n)."""

    week: int
    on_hand: Ints
    inbound: Ints
    rivals: Ints
    sold: Floats
    price: Ints | Floats


@dataclass(frozen=True)
class Offer:
    """What the shop asks in a week: shelf prices (n); which skus are on display, in the mailer."""

    price: Ints | Floats
    display: Bools
    mailer: Bools | bool = False


@dataclass(frozen=True)
class Sales:
    """Order lines of a week, by time: visit, shopper, minute of the week, sku, units."""

    visit: Ints
    shopper: Ints
    minute: Ints
    sku: Ints
    units: Ints
    lost: Ints  # units (n) asked for and not in stock


@dataclass(frozen=True)
class Totals:
    """A week by sku: units (n) asked for, units sold, and the share of the week on the shelf."""

    demand: Ints
    units: Ints
    on_hand_share: Floats


@dataclass(frozen=True)
class Market:
    """The truth: what a shop would love to know and has to learn."""

    spec: Spec
    category: Ints  # n
    appeal: Floats  # n
    slope: Floats  # n, utility lost per unit of log price
    list_price: Ints  # n
    unit_cost: Ints  # n
    peak: Floats  # c, the week of the year in which the category sells best
    swing: Floats  # c
    need: Floats  # c, utility of buying nothing
    segment: Ints  # shoppers
    frequency: Floats  # shoppers, visits a week

    @classmethod
    def draw(cls, spec: Spec) -> Market:
        """A market at random, the same for the same spec.

        Own elasticities are around -2.6, the mean of published ones (Bijmolt, van Heerde and
        Pieters, Journal of Marketing Research 42, 2005).
        """
        rng = np.random.default_rng(spec.seed)
        category = np.sort(np.arange(spec.skus) % spec.categories)
        level = rng.uniform(90, 900, spec.categories)[category]
        rung = np.rint(level * rng.lognormal(0, 0.3, spec.skus) / 10).astype(np.int64)
        list_price = np.maximum(rung, 5) * 10 - 1
        segment = rng.choice(len(SEGMENTS), spec.shoppers, p=_SHARE)
        return cls(
            spec=spec,
            category=category,
            appeal=rng.normal(0, 0.6, spec.skus),
            slope=spec.minded * rng.uniform(0.9, 2.4, spec.skus),
            list_price=list_price,
            unit_cost=np.rint(list_price * rng.uniform(0.40, 0.62, spec.skus)).astype(np.int64),
            peak=rng.uniform(0, spec.year, spec.categories),
            swing=rng.uniform(0.2, 0.8, spec.categories),
            need=rng.uniform(1.2, 2.2, spec.categories),
            segment=segment,
            frequency=_VISITS[segment] * rng.gamma(4, 0.25, spec.shoppers),
        )

    @cached_property
    def member(self) -> Bools:
        """Which sku is in which category (n, c)."""
        return np.equal.outer(self.category, np.arange(self.spec.categories))

    def zone(self, number: int) -> Market:
        """The same skus and slopes among other shoppers: own size, appeal, seasons and opening."""
        rng = np.random.default_rng([self.spec.seed, 2, number])
        return replace(
            self,
            spec=replace(self.spec, seed=int(rng.integers(2**31))),
            appeal=self.appeal + rng.normal(0, 0.3, self.spec.skus),
            frequency=self.frequency * rng.lognormal(0, 0.5),
        )

    def opening(self) -> State:
        """The first week: shelves full, rivals near the list price."""
        rng = np.random.default_rng([self.spec.seed, 1])
        near = rng.normal(1.02, 0.05, (self.spec.skus, self.spec.rivals))
        none = np.zeros(self.spec.skus, np.int64)
        rivals = np.rint(self.list_price[:, None] * near).astype(np.int64)
        state = State(0, none, none, rivals, none.astype(float), self.list_price)
        expected = self.demand(state, Offer(self.list_price, none.astype(bool)))
        return replace(state, on_hand=np.ceil(expected * 4).astype(np.int64) + 5, sold=expected)

    def season(self, week: int) -> Floats:
        """Utility (c) that the time of year adds to each category."""
        turn = 2 * np.pi * (week - self.peak) / self.spec.year
        return np.asarray(self.swing * np.cos(turn))

    def choice(self, state: State, offer: Offer) -> Floats:
        """The probability (g, n) that one visit of a segment buys a sku."""
        within, buys = self._nests(state, offer)
        return np.asarray(within * buys[:, self.category])

    def demand(self, state: State, offer: Offer) -> Floats:
        """Expected units (n) of a week if nothing runs out."""
        return np.asarray(self._visits @ self.choice(state, offer)) * _MEAN_UNITS

    def elasticity(self, state: State, offer: Offer) -> Floats:
        """True elasticities (n, n): row, the sku whose demand moves; column, whose price did.

        Of a nested logit with utility u: d log choice_n / d u_m is 1 / nest if n = m, and within a
        category - share_m / nest + share_m (1 - the chance that the category is bought); segments
        count by what they buy. Times `-rivalry`: the elasticity to the cheapest rival's prices.
        """
        within, buys = self._nests(state, offer)
        same = np.equal.outer(self.category, self.category)
        taken = within * (1 - buys[:, self.category] - 1 / self.spec.nest)
        moved = np.eye(self.spec.skus) / self.spec.nest + same * taken[:, None, :]
        bought = self._visits[:, None] * within * buys[:, self.category] * _SENSITIVITY[:, None]
        units = self._visits @ (within * buys[:, self.category])
        return np.asarray(-self.slope * np.einsum("gn,gnm->nm", bought, moved) / units[:, None])

    def policy(self, state: State, rng: np.random.Generator) -> Offer:
        """The shop's habit: cut prices where a season begins, or where stock is high."""
        season = self.season(state.week)[self.category]
        slow = state.on_hand > 5 * np.maximum(state.sold, 1)
        chance = 1 / (1 + np.exp(2.2 - 1.5 * season - 0.8 * slow))
        cut = rng.random(self.spec.skus) < chance
        depth = rng.choice([0.1, 0.15, 0.2, 0.3], self.spec.skus)
        price = np.where(cut, self.list_price * (1 - depth), self.list_price)
        rung = np.maximum(np.rint((price + 1) / 10).astype(np.int64) * 10 - 1, 9)
        display = cut & (rng.random(self.spec.skus) < 0.6)
        mailer = cut & (rng.spawn(1)[0].random(self.spec.skus) < self.spec.mailed)
        return Offer(np.where(cut, rung, self.list_price), display, mailer)

    def step(self, state: State, offer: Offer, rng: np.random.Generator) -> tuple[State, Sales]:
        """A week: shoppers buy what is there, the shop reorders, rivals react."""
        wanted = self._wanted(state, offer, rng)
        on_hand = state.on_hand + state.inbound
        served = _running_total(wanted.sku, wanted.units) <= on_hand[wanted.sku]
        sales = _only(wanted, served, self.spec.skus)
        units = np.bincount(sales.sku, sales.units, self.spec.skus).astype(np.int64)
        return self._following(state, offer, units, rng), sales

    def trade(
        self, state: State, offer: Offer, rng: np.random.Generator, supply: Floats | float = 1.0
    ) -> tuple[State, Totals]:
        """A week's totals: as `step`, but drawn at once.

        Visits are Poisson, so the purchases of a sku are; only that one visit may buy of several
        categories is lost. A shelf that runs empty does so when the last of its units would be
        asked for, an order statistic of uniform times.

        Args:
            supply: the share (n) of the week, up to 1, in which there is a shelf to buy from.
        """
        buys = rng.poisson(self.demand(state, offer) / _MEAN_UNITS)
        wanted = buys + rng.poisson(buys * (_MEAN_UNITS - 1))
        served = rng.binomial(wanted, supply)
        units = np.minimum(served, state.on_hand + state.inbound)
        lasted = np.where(served > units, rng.beta(units + 1, np.maximum(served - units, 1)), 1.0)
        following = self._following(state, offer, units, rng)
        return following, Totals(wanted, units, supply * lasted)

    @cached_property
    def _visits(self) -> Floats:
        """Visits (g) of a week."""
        return np.asarray(np.bincount(self.segment, self.frequency, len(SEGMENTS)), np.float64)

    @cached_property
    def _crowd(self) -> Floats:
        """So that a category does not sell more only because it lists more skus (c)."""
        return np.asarray(self.spec.nest * np.log(self.member.sum(axis=0)))

    def _nests(self, state: State, offer: Offer) -> tuple[Floats, Floats]:
        """Which sku (g, n) a visit takes if it buys of the category, and whether (g, c) it does."""
        dear = np.log(offer.price / self.list_price)
        beside = np.log(state.rivals.min(axis=1) / self.list_price)
        dear = dear - self.spec.rivalry * beside
        utility = self.appeal - _SENSITIVITY[:, None] * self.slope * dear
        utility = utility + self.season(state.week)[self.category]
        utility = utility + _DEALS[:, None] * offer.display + _MAIL[:, None] * offer.mailer
        weight = np.exp(utility / self.spec.nest)
        nest = weight @ self.member
        buys = nest**self.spec.nest / (nest**self.spec.nest + np.exp(self.need + self._crowd))
        return weight / nest[:, self.category], buys

    def _following(
        self, state: State, offer: Offer, units: Ints, rng: np.random.Generator
    ) -> State:
        """The next week: what was sold is reordered, up to four weeks' sales; rivals react."""
        left = state.on_hand + state.inbound - units
        sold = 0.7 * state.sold + 0.3 * units
        target = np.ceil(4 * sold).astype(np.int64) + 5
        return State(
            week=state.week + 1,
            on_hand=left,
            inbound=np.maximum(target - left, 0),
            rivals=self._react(state.rivals, offer, rng),
            sold=sold,
            price=offer.price,
        )

    def _wanted(self, state: State, offer: Offer, rng: np.random.Generator) -> Sales:
        """What the visits of a week would buy, by time, from full shelves."""
        shopper = np.repeat(np.arange(self.spec.shoppers), rng.poisson(self.frequency))
        minute = np.sort(_opening_minutes(len(shopper), rng))
        rng.shuffle(shopper)
        chance = self.choice(state, offer)[self.segment[shopper]]
        start = chance.cumsum(axis=1) - chance
        draw = rng.random((len(shopper), self.spec.categories))[:, self.category]
        first = np.searchsorted(self.category, self.category)
        below = start - start[:, first]
        visit, sku = np.nonzero((below <= draw) & (draw < below + chance))
        units = 1 + rng.poisson(_MEAN_UNITS - 1, len(sku))
        lost = np.zeros(self.spec.skus, np.int64)
        return Sales(visit, shopper[visit], minute[visit], sku, units, lost)

    def _react(self, rivals: Ints, offer: Offer, rng: np.random.Generator) -> Ints:
        """Each rival moves a third of the way to about the shop's price, in some weeks."""
        astray = rng.spawn(1)[0].normal(0, self.spec.restless, rivals.shape)
        aim = offer.price[:, None] * 1.01 * np.exp(astray)
        moved = rivals + (aim - rivals) / 3 * rng.uniform(0.5, 1.5, rivals.shape)
        moves = rng.random(rivals.shape) < 0.4
        return np.where(moves, np.maximum(np.rint(moved), 1), rivals).astype(np.int64)


def _opening_minutes(visits: int, rng: np.random.Generator) -> Ints:
    """Minutes of the week, Monday to Saturday from 8 to 20 o'clock, busier at the end."""
    day = rng.choice(6, visits, p=[0.13, 0.13, 0.14, 0.15, 0.21, 0.24])
    hour = np.clip(rng.normal(14.5, 3, visits), 8, 19.99)
    return (day * 1440 + np.floor(hour * 60)).astype(np.int64)


def _running_total(group: Ints, units: Ints) -> Ints:
    """Units of the same group up to and with each line."""
    order = np.argsort(group, kind="stable")
    total = units[order].cumsum()
    starts = np.searchsorted(group[order], group[order])
    before = total[starts] - units[order][starts]
    running = np.empty_like(total)
    running[order] = total - before
    return running


def _only(wanted: Sales, served: Bools, skus: int) -> Sales:
    """The lines that are served; the others are counted as lost."""
    lost = np.bincount(wanted.sku[~served], wanted.units[~served], skus).astype(np.int64)
    columns = (wanted.visit, wanted.shopper, wanted.minute, wanted.sku, wanted.units)
    visit, shopper, minute, sku, units = (column[served] for column in columns)
    return Sales(visit, shopper, minute, sku, units, lost)
