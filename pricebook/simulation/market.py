"""A simulated market whose true demand is known.

Shoppers of a few segments visit a shop. In each category a visit buys one sku or none, by a nested
logit (Train, Discrete Choice Methods with Simulation, ch. 4). So the skus of a category substitute
each other, and a lower price also attracts buyers who would have bought nothing. The shop's own
policy cuts prices when a category is about to sell well, so price and season are confounded, as in
real orders. Competitors follow the shop's price with random deviations, and a cheaper one takes
buyers. Stock can run out.

With store choice, who visits depends on what the shop has been charging. Shoppers keep a price
image of the shop: a slowly moving index of its prices. A dearer image means fewer visits, mostly of
deal seekers. So a high price earns more this week and less in the weeks that follow. Shoppers
choose a shop by the expected price of a basket (Bell & Lattin 1998, "Shopping behavior and consumer
preference for store price format", Marketing Science 17(1)). Price image is what they believe of
the general price level of a shop (Hamilton & Chernev 2013, "Low prices are just the beginning:
price image in retail management", Journal of Marketing 77(6)).

All functions are pure. `Market.step` takes a state and an offer and returns the next state and the
sales line by line. `Market.trade` draws only the totals, which is faster.
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
_COST_SHARE = (0.2, 0.9)  # of the price: unit costs derived from prices stay in between


@dataclass(frozen=True)
class Spec:
    """The size of a market and its parameters.

    Attributes:
        rivalry: weight of the cheapest competitor's log price, relative to the shop's own.
        rival_noise: standard deviation of the log of competitors' target prices around the shop's.
        mailer_share: share of the price cuts that are in the mailer.
        nest: the nested logit's parameter. At 1, skus of a category substitute each other no more
            than the option to buy nothing; a lower value means closer substitutes.
        price_sensitivity: multiplies the price sensitivity of all shoppers.
        store_choice: how strongly the price image moves visits. With 1, a shop that stays 1 %
            dearer loses about 1 % of its visits in the long run. With 0, visits do not depend on
            prices.
        image_speed: share of the price image that the prices of one week replace.
    """

    skus: int = 60
    categories: int = 8
    shoppers: int = 300
    rivals: int = 2
    year: int = 52
    seed: int = 7
    rivalry: float = 0.25
    rival_noise: float = 0.08
    mailer_share: float = 0.4
    nest: float = 0.6
    price_sensitivity: float = 1.0
    store_choice: float = 0.0
    image_speed: float = 0.2


@dataclass(frozen=True)
class State:
    """The start of a week: stock (n), units on order (n), competitors' prices (n, r), sales (n).

    `image` is the shop's price image: the log of its smoothed price index, 0 at list prices.
    """

    week: int
    on_hand: Ints
    inbound: Ints
    rivals: Ints
    sold: Floats
    price: Ints | Floats
    image: float = 0.0


@dataclass(frozen=True)
class Offer:
    """The shop's prices of a week (n), and which skus are on display and in the mailer."""

    price: Ints | Floats
    display: Bools
    mailer: Bools | bool = False


@dataclass(frozen=True)
class Sales:
    """Order lines of a week in order of time: visit, shopper, minute of the week, sku, units."""

    visit: Ints
    shopper: Ints
    minute: Ints
    sku: Ints
    units: Ints
    lost: Ints  # units (n) demanded but out of stock


@dataclass(frozen=True)
class Totals:
    """A week by sku (n): units demanded, units sold, and the share of the week in stock."""

    demand: Ints
    units: Ints
    on_hand_share: Floats


@dataclass(frozen=True)
class Market:
    """The true parameters of the market. A shop has to estimate them from its orders."""

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
        """Draw a random market; the same spec gives the same market.

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
            slope=spec.price_sensitivity * rng.uniform(0.9, 2.4, spec.skus),
            list_price=list_price,
            unit_cost=np.rint(list_price * rng.uniform(0.40, 0.62, spec.skus)).astype(np.int64),
            peak=rng.uniform(0, spec.year, spec.categories),
            swing=rng.uniform(0.2, 0.8, spec.categories),
            need=rng.uniform(1.2, 2.2, spec.categories),
            segment=segment,
            frequency=_VISITS[segment] * rng.gamma(4, 0.25, spec.shoppers),
        )

    def priced_for_the_long_run(self, deviation: float) -> Market:
        """This market with unit costs for which its list prices are near the long-run optimum.

        The list price of each sku is exp(d) times the price that maximises the shop's profit in the
        long run, when competitors have followed and the price image has settled; d is normal with
        mean 0 and this standard deviation. So the shop's list prices are right on average, and
        wrong sku by sku. This is an assumption about shops, and the one that a calibrated objective
        makes. It holds by construction here: the costs are derived from the prices, not the prices
        from the costs, so that demand at list prices is the same as before.

        At the optimum, what a higher price of a sku earns on the units sold equals what it loses:
        the margin on units no longer sold, and all margins on visits no longer made. These n
        conditions are linear in the margins.
        """
        rng = np.random.default_rng([self.spec.seed, 4])
        price = self.list_price / np.exp(rng.normal(0, deviation, self.spec.skus))
        states, offer = self._year(price, float(self.price_index(price)))
        units = [self.demand(state, offer) for state in states]
        slopes = [self.elasticity(state, offer) for state in states]
        earned = (1 - self.spec.rivalry) * np.einsum("tn,tnm->mn", units, slopes)
        lost = self.spec.store_choice * np.outer(self.basket, self._image_units(states, offer))
        margin = -np.linalg.solve(earned - lost, price * np.sum(units, axis=0))
        share = np.clip(1 - margin / price, *_COST_SHARE)
        return replace(self, unit_cost=np.rint(share * price).astype(np.int64))

    def long_run_units(self, price: Floats | Ints) -> Floats:
        """Units (n) of a year at these prices, once competitors and the image have settled."""
        states, offer = self._year(price, float(self.price_index(price)))
        return np.asarray(np.sum([self.demand(state, offer) for state in states], axis=0))

    def image_value(self, price: Floats | Ints) -> float:
        """Weekly profit that the shop gains in the long run for each unit its price index falls.

        It is the profit of a week at these prices, once competitors have followed and the image has
        settled, times the effect of the image on visits.
        """
        units = self._image_units(*self._year(price, float(self.price_index(price))))
        margin = price - self.unit_cost
        return float(self.spec.store_choice * (margin * units).sum() / self.spec.year)

    def _image_units(self, states: list[State], offer: Offer) -> Floats:
        """Units (n) of these weeks, weighted by how much the buyers' visits depend on the image."""
        visits = self._visits * self.attraction(states[0]) * _SENSITIVITY
        bought = [visits @ self.choice(state, offer) for state in states]
        return np.asarray(np.sum(bought, axis=0) * _MEAN_UNITS)

    def _year(self, price: Floats | Ints, image: float) -> tuple[list[State], Offer]:
        """The weeks of a year at these prices and image, matched by competitors, no displays."""
        rivals = np.repeat(np.rint(price).astype(np.int64)[:, None], self.spec.rivals, axis=1)
        start = replace(self.opening(), rivals=rivals, image=image)
        states = [replace(start, week=week) for week in range(self.spec.year)]
        return states, Offer(price, np.zeros(self.spec.skus, bool))

    @cached_property
    def member(self) -> Bools:
        """Which sku is in which category (n, c)."""
        return np.equal.outer(self.category, np.arange(self.spec.categories))

    def zone(self, number: int) -> Market:
        """The market of another zone: same skus and slopes; other size, appeal and opening."""
        rng = np.random.default_rng([self.spec.seed, 2, number])
        return replace(
            self,
            spec=replace(self.spec, seed=int(rng.integers(2**31))),
            appeal=self.appeal + rng.normal(0, 0.3, self.spec.skus),
            frequency=self.frequency * rng.lognormal(0, 0.5),
        )

    def opening(self) -> State:
        """The first week: full shelves, competitors near the list price."""
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
        """The probability (..., g, n) that a visit of a segment buys a sku, at prices (..., n)."""
        within, buys = self._nests(state, offer)
        return np.asarray(within * buys[..., self.category])

    def demand(self, state: State, offer: Offer) -> Floats:
        """Expected units (..., n) of a week at prices (..., n) if no sku runs out of stock."""
        visits = self._visits * self.attraction(state)
        return np.asarray(visits @ self.choice(state, offer)) * _MEAN_UNITS

    def attraction(self, state: State) -> Floats:
        """Visits (g) at the shop's price image, relative to visits at the image of list prices.

        The more a segment's choice of a sku depends on price, the more its visits depend on the
        image.
        """
        return np.exp(-self.spec.store_choice * _SENSITIVITY * state.image)

    def price_index(self, price: Ints | Floats) -> Floats:
        """The log of prices (..., n) over list prices, weighted by revenue at list prices (...)."""
        return np.asarray(np.log(price / self.list_price) @ self.basket)

    @cached_property
    def basket(self) -> Floats:
        """Each sku's share (n) of a year's revenue at list prices, without displays."""
        states, offer = self._year(self.list_price, image=0.0)
        units = np.sum([self.demand(state, offer) for state in states], axis=0)
        revenue = self.list_price * units
        return np.asarray(revenue / revenue.sum())

    def elasticity(self, state: State, offer: Offer) -> Floats:
        """True elasticities (n, n) of the demand of the row's sku to the price of the column's sku.

        For a nested logit with utility u, d log choice_n / d u_m is 1 / nest if n = m. Within a
        category, share_m (1 - P(the category is bought)) - share_m / nest is added. Segments are
        weighted by their purchases. Multiply by `-rivalry` for the elasticity to the cheapest
        competitor's price.
        """
        within, buys = self._nests(state, offer)
        same = np.equal.outer(self.category, self.category)
        taken = within * (1 - buys[:, self.category] - 1 / self.spec.nest)
        moved = np.eye(self.spec.skus) / self.spec.nest + same * taken[:, None, :]
        visits = self._visits * self.attraction(state)
        bought = visits[:, None] * within * buys[:, self.category] * _SENSITIVITY[:, None]
        units = visits @ (within * buys[:, self.category])
        return np.asarray(-self.slope * np.einsum("gn,gnm->nm", bought, moved) / units[:, None])

    def policy(self, state: State, rng: np.random.Generator) -> Offer:
        """The shop's usual policy: cut prices when a season begins or when stock is high."""
        season = self.season(state.week)[self.category]
        slow = state.on_hand > 5 * np.maximum(state.sold, 1)
        chance = 1 / (1 + np.exp(2.2 - 1.5 * season - 0.8 * slow))
        cut = rng.random(self.spec.skus) < chance
        depth = rng.choice([0.1, 0.15, 0.2, 0.3], self.spec.skus)
        price = np.where(cut, self.list_price * (1 - depth), self.list_price)
        rung = np.maximum(np.rint((price + 1) / 10).astype(np.int64) * 10 - 1, 9)
        display = cut & (rng.random(self.spec.skus) < 0.6)
        mailer = cut & (rng.spawn(1)[0].random(self.spec.skus) < self.spec.mailer_share)
        return Offer(np.where(cut, rung, self.list_price), display, mailer)

    def step(self, state: State, offer: Offer, rng: np.random.Generator) -> tuple[State, Sales]:
        """Simulate a week: shoppers buy, the shop reorders, competitors react."""
        wanted = self._wanted(state, offer, rng)
        on_hand = state.on_hand + state.inbound
        served = _running_total(wanted.sku, wanted.units) <= on_hand[wanted.sku]
        sales = _served_sales(wanted, served, self.spec.skus)
        units = np.bincount(sales.sku, sales.units, self.spec.skus).astype(np.int64)
        return self._following(state, offer, units, rng), sales

    def trade(
        self, state: State, offer: Offer, rng: np.random.Generator, supply: Floats | float = 1.0
    ) -> tuple[State, Totals]:
        """Simulate the totals of a week, like `step` but without single visits.

        Visits are Poisson, so the purchases of each sku are Poisson, too. This ignores that one
        visit can buy in several categories. A shelf runs empty when its last unit is requested:
        the time is an order statistic of uniform times.

        Args:
            supply: the share (n) of the week, 0 to 1, in which the sku can be bought.
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
        """Utility offset (c): more skus alone do not make a category sell more."""
        return np.asarray(self.spec.nest * np.log(self.member.sum(axis=0)))

    def _nests(self, state: State, offer: Offer) -> tuple[Floats, Floats]:
        """P(sku | its category is bought) (..., g, n), and P(category is bought) (..., g, c)."""
        own = np.log(offer.price / self.list_price)
        competitor = np.log(state.rivals.min(axis=-1) / self.list_price)
        relative_price = (own - self.spec.rivalry * competitor)[..., None, :]
        utility = self.appeal - _SENSITIVITY[:, None] * self.slope * relative_price
        utility = utility + self.season(state.week)[self.category]
        utility = utility + _DEALS[:, None] * offer.display + _MAIL[:, None] * offer.mailer
        weight = np.exp(utility / self.spec.nest)
        nest = weight @ self.member
        buys = nest**self.spec.nest / (nest**self.spec.nest + np.exp(self.need + self._crowd))
        return weight / nest[..., self.category], buys

    def _following(
        self, state: State, offer: Offer, units: Ints, rng: np.random.Generator
    ) -> State:
        """The state of the next week: reorder up to four weeks' sales; competitors react."""
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
            image=self._next_image(state, offer),
        )

    def _next_image(self, state: State, offer: Offer) -> float:
        if not self.spec.store_choice:
            return state.image
        return float(
            state.image + self.spec.image_speed * (self.price_index(offer.price) - state.image)
        )

    def _wanted(self, state: State, offer: Offer, rng: np.random.Generator) -> Sales:
        """The purchases of a week in order of time, if no sku runs out of stock."""
        frequency = self.frequency * self.attraction(state)[self.segment]
        shopper = np.repeat(np.arange(self.spec.shoppers), rng.poisson(frequency))
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
        """With a chance of 40 % a competitor moves a third of the way to near the shop's price."""
        deviation = rng.spawn(1)[0].normal(0, self.spec.rival_noise, rivals.shape)
        aim = offer.price[:, None] * 1.01 * np.exp(deviation)
        moved = rivals + (aim - rivals) / 3 * rng.uniform(0.5, 1.5, rivals.shape)
        moves = rng.random(rivals.shape) < 0.4
        return np.where(moves, np.maximum(np.rint(moved), 1), rivals).astype(np.int64)


def _opening_minutes(visits: int, rng: np.random.Generator) -> Ints:
    """Minutes of the week, Monday to Saturday from 8 to 20 o'clock, busier at the end."""
    day = rng.choice(6, visits, p=[0.13, 0.13, 0.14, 0.15, 0.21, 0.24])
    hour = np.clip(rng.normal(14.5, 3, visits), 8, 19.99)
    return (day * 1440 + np.floor(hour * 60)).astype(np.int64)


def _running_total(group: Ints, units: Ints) -> Ints:
    """Cumulative units of the same group up to and including each line."""
    order = np.argsort(group, kind="stable")
    total = units[order].cumsum()
    starts = np.searchsorted(group[order], group[order])
    before = total[starts] - units[order][starts]
    running = np.empty_like(total)
    running[order] = total - before
    return running


def _served_sales(wanted: Sales, served: Bools, skus: int) -> Sales:
    """The served lines; the units of the others are counted as lost."""
    lost = np.bincount(wanted.sku[~served], wanted.units[~served], skus).astype(np.int64)
    columns = (wanted.visit, wanted.shopper, wanted.minute, wanted.sku, wanted.units)
    visit, shopper, minute, sku, units = (column[served] for column in columns)
    return Sales(visit, shopper, minute, sku, units, lost)
