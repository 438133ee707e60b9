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

from pricebook import guardrails, money
from pricebook.config import Quote as Limits
from pricebook.guardrails import Arm, Bound, Bounds, Reason
from pricebook.money import Floats, Ints

MODEL_ARM = Arm()

WHY_NOT = {
    "no_model": "not repriced; there is no response model",
    "no_floor": "not repriced; neither a unit cost nor a MAP price is known",
    "no_cost": "not repriced; without a unit cost there is no profit to weigh",
    "floor_above_list": "not repriced; the floor lies above the list price, the most anyone pays",
    "not_modelled": "not repriced; too few sales to learn how its demand responds to price",
    "no_reference": "not repriced; its usual price is not known",
    "no_answer": "not repriced; the response model gave no usable answer",
}


@dataclass(frozen=True)
class Listings:
    """n rows of the price book as columns. Money in minor units; NaN where unknown.

    `cannibalised` is what a unit sold at a lower price takes from the shop's own substitutes
    (`pricebook.cannibalisation`); 0 where that is not known.
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
class Decision:
    """A price and why. Reasons chain: each starts at the price the one before it ended at."""

    price: int
    floor: int | None
    ceiling: int
    reasons: tuple[Reason, ...]

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
    arm: Arm = MODEL_ARM,
) -> list[Decision]:
    """Decide n offers: row i of the listings for the shoppers of segment i.

    Every price is floor <= price <= list price and on a rung, or the list price with its reason.
    """
    floor = guardrails.floors(listings.unit_cost, listings.map_price, listings.list_price, limits)
    why_not = _why_not(listings, floor, demand)
    able = np.flatnonzero(why_not == "")
    trail: list[Bound] = []
    if demand is not None and able.size:
        bounds = _bounds(listings.take(able), floor[able], limits, arm)
        wanted = _most_profitable(
            listings.take(able), [segments[i] for i in able.tolist()], bounds, demand
        )
        why_not[able[wanted == 0]] = "no_answer"
        trail = [
            Bound("model", "model: the most expected profit", wanted),
            *guardrails.guard(wanted, bounds),
        ]
    return list(_told(listings, floor, why_not.tolist(), trail))


def _why_not(listings: Listings, floor: Floats, demand: DemandRatio | None) -> NDArray[np.object_]:
    missing = {
        "no_floor": np.isnan(floor),
        "no_cost": np.isnan(listings.unit_cost),
        "floor_above_list": floor > listings.list_price,
        "no_model": np.full(len(listings), demand is None),
        "not_modelled": ~listings.modelled,
        "no_reference": ~(listings.reference_price > 0),
    }
    return np.select(list(missing.values()), list(missing), default="").astype(object)


def _bounds(listings: Listings, floor: Floats, limits: Limits, arm: Arm) -> Bounds:
    return Bounds(
        list_price=listings.list_price,
        floor=floor,
        usual_price=listings.reference_price,
        competitor_price=listings.competitor_price,
        ladders=[money.rungs(price, limits.endings) for price in listings.list_price.tolist()],
        arms=[arm] * len(listings),
        limits=limits,
    )


def _most_profitable(
    listings: Listings, segments: Sequence[str], bounds: Bounds, demand: DemandRatio
) -> Ints:
    """Rungs (n,) of the most expected profit, the lower of equals; 0 where demand is unusable.

    Expected profit is (price - marginal cost) x demand at that price relative to demand at the
    reference price: the level of demand does not move the optimum. The floor knows nothing of
    substitutes.
    """
    prices = _candidates(bounds)
    units = demand(listings, segments, prices / listings.reference_price[:, None])
    profit = (prices - listings.marginal_cost[:, None]) * units
    usable = np.isfinite(profit).all(axis=1) & (units >= 0).all(axis=1)
    profit[~usable] = 0
    most = profit.max(axis=1, keepdims=True)
    first = np.argmax(profit >= most - 1e-9 * np.abs(most), axis=1)
    return np.where(usable, prices[np.arange(len(listings)), first], 0)


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
