"""How offers are decided: pure, over batches of any size; a single offer is a batch of one.

The model picks, among the rungs between floor and list price, the one with the most expected
profit; `guardrails` then has the last word. Where anything is missing the list price stands, and a
reason says what was missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from pricebook import money
from pricebook.config import Quote as Limits
from pricebook.money import Floats, Ints
from pricebook.pricing import exploration, guardrails
from pricebook.pricing.guardrails import Bound, Bounds, Reason

DRAWN = "drawn near the best price, to learn from"
WHY_NOT = {
    "no_model": "not repriced; there is no response model",
    "no_floor": "not repriced; neither a unit cost nor a MAP price is known",
    "no_cost": "not repriced; without a unit cost there is no profit to weigh",
    "floor_above_list": "not repriced; the floor lies above the list price, the most anyone pays",
    "not_modelled": "not repriced; too few sales to learn how its demand responds to price",
    "no_reference": "not repriced; its usual price is not known",
    "sold_out": "not repriced; none is on hand",
    "no_answer": "not repriced; the response model gave no usable answer",
}


@dataclass(frozen=True)
class Listings:
    """n rows of the price book as columns. Money in minor units; NaN where unknown.

    `cannibalised` is what a unit sold at a lower price takes from the shop's own substitutes
    (`pricebook.pricing.cannibalisation`); 0 where that is not known. `lowest_30d` is the lowest list price
    of the past 30 days, and `on_hand` the units in stock.
    """

    sku: NDArray[np.object_]
    zone: NDArray[np.object_]
    list_price: Ints
    reference_price: Floats
    unit_cost: Floats
    cost_assumed: NDArray[np.bool_]
    map_price: Floats
    competitor_price: Floats
    modelled: NDArray[np.bool_]
    cannibalised: Floats | None = None
    lowest_30d: Floats | None = None
    on_hand: Floats | None = None

    def __len__(self) -> int:
        return self.list_price.size

    def take(self, rows: NDArray[np.int64]) -> Listings:
        columns = {name: column for name, column in vars(self).items() if column is not None}
        return Listings(**{name: column[rows] for name, column in columns.items()})

    @property
    def marginal_cost(self) -> Floats:
        """What one more unit costs the shop: the unit, and the margin lost on substitutes."""
        return self.unit_cost if self.cannibalised is None else self.unit_cost + self.cannibalised


# Demand at each price as a multiple of demand at the reference price.
# (listings (n), segments (n), price / reference price (n, k)) -> (n, k)
DemandRatio = Callable[[Listings, Sequence[str], Floats], Floats]


@dataclass(frozen=True, slots=True)
class Choice:
    """The rungs a price was drawn from, and the chance of each; above zero where allowed."""

    prices: tuple[int, ...]
    chances: tuple[float, ...]

    def chance(self, price: int) -> float:
        return self.chances[self.prices.index(price)]


@dataclass(frozen=True, slots=True)
class Decision:
    """A price and why. Reasons chain: each starts at the price the one before it ended at."""

    price: int
    floor: int | None
    ceiling: int
    reasons: tuple[Reason, ...]
    choice: Choice | None = None

    def noting(self, rule: str, text: str, price: int | None = None) -> Decision:
        """This decision with one more reason; the price changes only where one is given."""
        after = self.price if price is None else price
        reason = Reason(rule, self.price, after, f"{rule}: {text}")
        return replace(self, price=after, reasons=(*self.reasons, reason))


def decide_many(
    listings: Listings,
    segments: Sequence[str],
    limits: Limits,
    demand: DemandRatio | None,
    draws: Floats | None = None,
) -> list[Decision]:
    """Decide n offers: row i of the listings for the shoppers of segment i.

    Every price is floor <= price <= list price and on a rung, or the list price with its reason.

    Args:
        draws: (n,), a number of [0, 1) where the rung is to be drawn near the best one
            (`pricebook.pricing.exploration`), NaN where the best one is wanted; the latter if None.
    """
    floor = guardrails.floors(listings.unit_cost, listings.map_price, listings.list_price, limits)
    why_not = _why_not(listings, floor, demand)
    able = np.flatnonzero(why_not == "")
    trail: list[Bound] = []
    choices: list[Choice | None] = []
    if demand is not None and able.size:
        some = listings.take(able)
        bounds = _bounds(some, floor[able], limits)
        prices, profit = _expected(some, [segments[i] for i in able.tolist()], bounds, demand)
        wanted = _most_profitable(prices, profit)
        why_not[able[wanted == 0]] = "no_answer"
        trail = [Bound("model", "model: the most expected profit", wanted)]
        if draws is not None:
            wanted, choices = _explored(wanted, prices, profit, bounds, draws[able])
            trail.append(Bound("experiment", f"experiment: {DRAWN}", wanted))
        trail += guardrails.guard(wanted, bounds)
    decisions = list(_told(listings, floor, why_not.tolist(), trail))
    for row, choice in zip(able.tolist(), choices, strict=False):
        decisions[row] = replace(decisions[row], choice=choice)
    return decisions


def _why_not(listings: Listings, floor: Floats, demand: DemandRatio | None) -> NDArray[np.object_]:
    on_hand = listings.on_hand
    missing = {
        "no_floor": np.isnan(floor),
        "no_cost": np.isnan(listings.unit_cost),
        "floor_above_list": floor > listings.list_price,
        "no_model": np.full(len(listings), demand is None),
        "not_modelled": ~listings.modelled,
        "no_reference": ~(listings.reference_price > 0),
        "sold_out": np.zeros(len(listings), bool) if on_hand is None else on_hand <= 0,
    }
    return np.select(list(missing.values()), list(missing), default="").astype(object)


def _bounds(listings: Listings, floor: Floats, limits: Limits) -> Bounds:
    return Bounds(
        list_price=listings.list_price,
        floor=floor,
        usual_price=listings.reference_price,
        competitor_price=listings.competitor_price,
        ladders=[money.rungs(price, limits.endings) for price in listings.list_price.tolist()],
        limits=limits,
    )


def _expected(
    listings: Listings, segments: Sequence[str], bounds: Bounds, demand: DemandRatio
) -> tuple[Ints, Floats]:
    """Candidate prices (n, k) and the expected profit at each, NaN where demand is unusable.

    Expected profit is (price - marginal cost) x demand at that price relative to demand at the
    reference price: the level of demand does not move the optimum. The floor knows nothing of
    substitutes.
    """
    prices = _candidates(bounds)
    units = demand(listings, segments, prices / listings.reference_price[:, None])
    profit = (prices - listings.marginal_cost[:, None]) * units
    usable = np.isfinite(profit).all(axis=1) & (units >= 0).all(axis=1)
    profit[~usable] = np.nan
    return prices, profit


def _most_profitable(prices: Ints, profit: Floats) -> Ints:
    """Rungs (n,) of the most expected profit, the lower of equals; 0 where demand is unusable."""
    usable = ~np.isnan(profit[:, 0])
    known = np.where(usable[:, None], profit, 0)
    most = known.max(axis=1, keepdims=True)
    first = np.argmax(known >= most - 1e-9 * np.abs(most), axis=1)
    return np.where(usable, prices[np.arange(len(prices)), first], 0)


def _explored(
    wanted: Ints, prices: Ints, profit: Floats, bounds: Bounds, draws: Floats
) -> tuple[Ints, list[Choice | None]]:
    """The prices wanted, drawn where there is a draw, and what each was drawn from.

    Only rungs that every guardrail lets stand may be drawn, so a chance is that of the price
    charged. Where there is none, the price is not drawn.
    """
    chances = exploration.chances(profit, _let_stand(prices, bounds), *_width(bounds))
    exploring = ~np.isnan(draws) & (chances.sum(axis=1) > 0)
    rows = np.flatnonzero(exploring)
    at = exploration.drawn(chances[rows], draws[rows])
    wanted, choices = wanted.copy(), list[Choice | None]([None] * len(wanted))
    wanted[rows] = prices[rows, at]
    for row in rows.tolist():
        possible = np.flatnonzero(chances[row] > 0)
        choices[row] = Choice(
            tuple(prices[row, possible].tolist()), tuple(chances[row, possible].tolist())
        )
    return wanted, choices


def _width(bounds: Bounds) -> tuple[int, float]:
    return bounds.limits.experiment.reach, bounds.limits.experiment.temperature


def _let_stand(prices: Ints, bounds: Bounds) -> NDArray[np.bool_]:
    """(n, k): candidates within step and band; of a price that repeats, the first."""
    high = np.minimum(bounds.highest_step, bounds.highest_in_band)
    inside = (prices >= bounds.lowest_step[:, None]) & (prices <= high[:, None])
    inside[:, 1:] &= prices[:, 1:] != prices[:, :-1]
    return inside


def _candidates(bounds: Bounds) -> Ints:
    """Rungs from floor to list price, ascending (n, k); shorter rows repeat the list price."""
    rows = [
        ladder[int(np.searchsorted(ladder, floor)) :]
        for ladder, floor in zip(bounds.ladders, bounds.floor.tolist(), strict=True)
    ]
    prices = np.repeat(bounds.list_price[:, None], max(row.size for row in rows), axis=1)
    for row, rungs in enumerate(rows):
        prices[row, : rungs.size] = rungs
    return prices


def _told(
    listings: Listings, floor: Floats, why_not: Sequence[str], trail: Sequence[Bound]
) -> Iterator[Decision]:
    """Decisions with their reasons; the trail has one column for each row that was able."""
    steps = iter(np.stack([bound.prices for bound in trail], axis=1).tolist() if trail else ())
    floors = [None if np.isnan(value) else int(value) for value in floor]
    assumed = (listings.cost_assumed & ~np.isnan(listings.unit_cost)).tolist()
    for row, top in enumerate(listings.list_price.tolist()):
        decision = Decision(top, floors[row], top, ())
        prices = next(steps) if why_not[row] in ("", "no_answer") else ()
        if why_not[row]:
            decision = decision.noting(why_not[row], WHY_NOT[why_not[row]])
        else:
            decision = _explained(decision, [top, *prices], trail)
        if assumed[row]:
            decision = decision.noting("cost", "assumed, from the margin set for its department")
        yield decision


def _explained(decision: Decision, prices: Sequence[int], trail: Sequence[Bound]) -> Decision:
    reasons = tuple(
        Reason(bound.rule, before, after, bound.text)
        for bound, (before, after) in zip(trail, pairwise(prices), strict=True)
        if before != after or bound.rule == "model"
    )
    return replace(decision, price=prices[-1], reasons=reasons)
