"""Price decisions for a batch of offers. Pure: the same inputs give the same prices.

The response model selects the rung of highest expected profit between floor and list price. Then
the guardrails apply. If an input is missing, the price is the list price and a reason says which
input is missing.
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

EXPLORATION_TEXT = "drawn at random near the best price, to measure the response"
MAX_EXPONENT = 100.0  # of the long-run demand; reached only at absurd prices
LONG_RUN_TEXT = "{:+.2f} is added to the elasticity, for what a price does to later sales"
WHY_LIST_PRICE = {
    "no_model": "not repriced; there is no response model",
    "no_floor": "not repriced; neither a unit cost nor a MAP price is known",
    "no_cost": "not repriced; without a unit cost the profit is unknown",
    "floor_above_list": "not repriced; the floor is above the list price",
    "not_modelled": "not repriced; too few sales to estimate how demand responds to price",
    "no_reference": "not repriced; its reference price is not known",
    "sold_out": "not repriced; it is out of stock",
    "no_answer": "not repriced; the response model gave no usable answer",
}


@dataclass(frozen=True)
class Listings:
    """n rows of the price book as columns of shape (n,). Money in minor units; NaN means unknown.

    Attributes:
        reference_price: the usual price, the median of recent periods.
        cost_assumed: whether the unit cost comes from an assumed margin.
        modelled: whether the response model has an estimate for the sku.
        cannibalised: the margin that each additional unit takes from the shop's own substitutes
            (`pricebook.pricing.cannibalisation`); 0 where it is not known.
        lowest_30d: the prior price of the offer (`pricebook.pricing.prior_price`).
        on_hand: units in stock.
        long_run: what the objective adds to the elasticity, 0 or below
            (`pricebook.pricing.objective`); NaN and None stand for 0.
        public_price: the last price that everybody was quoted; NaN where nobody was quoted yet,
            which stands for the list price. None in bundles and quotes of versions that counted
            steps from the reference price.
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
    long_run: Floats | None = None
    public_price: Floats | None = None

    def __len__(self) -> int:
        return self.list_price.size

    def take(self, rows: NDArray[np.int64]) -> Listings:
        """The listings at these row numbers."""
        columns = {name: column for name, column in vars(self).items() if column is not None}
        return Listings(**{name: column[rows] for name, column in columns.items()})

    @property
    def marginal_cost(self) -> Floats:
        """Cost of one more unit: its unit cost plus the margin lost on substitutes."""
        return self.unit_cost if self.cannibalised is None else self.unit_cost + self.cannibalised

    @property
    def long_run_term(self) -> Floats:
        """What is added to the elasticity (n,); 0 where the objective counts no later sales."""
        if self.long_run is None:
            return np.zeros(len(self))
        return np.where(np.isnan(self.long_run), 0.0, self.long_run)  # faster than nan_to_num

    @property
    def last_public_price(self) -> Floats:
        """The price (n,) that a step starts from."""
        if self.public_price is None:
            return self.reference_price
        return np.where(np.isnan(self.public_price), self.list_price, self.public_price)


# Demand at each price, relative to demand at the reference price:
# (listings (n), segments (n), price / reference price (n, k)) -> (n, k)
DemandRatio = Callable[[Listings, Sequence[str], Floats], Floats]


@dataclass(frozen=True, slots=True)
class Choice:
    """The rungs that a price was drawn from, and the probability of each (above zero)."""

    prices: tuple[int, ...]
    chances: tuple[float, ...]

    def chance(self, price: int) -> float:
        return self.chances[self.prices.index(price)]


@dataclass(frozen=True, slots=True)
class Decision:
    """A price with its reasons. Each reason starts at the price where the previous one ended."""

    price: int
    floor: int | None
    ceiling: int
    reasons: tuple[Reason, ...]
    choice: Choice | None = None

    def with_reason(self, rule: str, text: str, price: int | None = None) -> Decision:
        """This decision with one more reason, and with a new price if one is given."""
        after = self.price if price is None else price
        reason = Reason(rule, self.price, after, f"{rule}: {text}")
        reasons = (*self.reasons, reason)
        # `replace` would take five times as long, and every reason of every offer comes by here.
        return Decision(after, self.floor, self.ceiling, reasons, self.choice)


def decide_many(
    listings: Listings,
    segments: Sequence[str],
    limits: Limits,
    demand: DemandRatio | None,
    draws: Floats | None = None,
) -> list[Decision]:
    """Decide n offers: row i of the listings for shoppers of segment i.

    Each price is on a rung with floor <= price <= list price, or is the list price with a reason.

    Args:
        demand: the response model; None if there is none.
        draws: (n,), a number in [0, 1) where the exploration arm draws the rung
            (`pricebook.pricing.exploration`), NaN where the best rung is used. None: all NaN.
    """
    floor = guardrails.floors(listings.unit_cost, listings.map_price, listings.list_price, limits)
    why_list = _why_list_price(listings, floor, demand)
    priced = np.flatnonzero(why_list == "")  # rows with every input
    trail: list[Bound] = []
    choices: list[Choice | None] = []
    if demand is not None and priced.size:
        complete = listings.take(priced)
        bounds = _bounds(complete, floor[priced], limits)
        prices, profit = _expected(complete, [segments[i] for i in priced.tolist()], bounds, demand)
        wanted = _most_profitable(prices, profit)
        why_list[priced[wanted == 0]] = "no_answer"
        trail = [Bound("model", "model: highest expected profit", wanted)]
        if draws is not None:
            wanted, choices = _explored(wanted, prices, profit, bounds, draws[priced])
            trail.append(Bound("experiment", f"experiment: {EXPLORATION_TEXT}", wanted))
        trail += guardrails.guard(wanted, bounds)
    decisions = list(_with_reasons(listings, floor, why_list.tolist(), trail))
    for row, choice in zip(priced.tolist(), choices, strict=False):
        decisions[row] = replace(decisions[row], choice=choice)
    return decisions


def _why_list_price(
    listings: Listings, floor: Floats, demand: DemandRatio | None
) -> NDArray[np.object_]:
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
        last_public_price=listings.last_public_price,
        competitor_price=listings.competitor_price,
        ladders=[money.rungs(price, limits.endings) for price in listings.list_price.tolist()],
        limits=limits,
    )


def _expected(
    listings: Listings, segments: Sequence[str], bounds: Bounds, demand: DemandRatio
) -> tuple[Ints, Floats]:
    """Candidate prices (n, k) and the expected profit at each; NaN where demand is unusable.

    Expected profit is (price - marginal cost) x demand relative to demand at the reference price.
    The level of demand does not change the optimum. Substitutes raise the marginal cost here, but
    not the floor. The long-run term adds to the exponent of demand.
    """
    prices = _candidates(bounds)
    units = expected_units(listings, segments, prices, demand)
    profit = (prices - listings.marginal_cost[:, None]) * units
    usable = np.isfinite(profit).all(axis=1) & (units >= 0).all(axis=1)
    profit[~usable] = np.nan
    return prices, profit


def expected_units(
    listings: Listings, segments: Sequence[str], prices: Ints, demand: DemandRatio
) -> Floats:
    """Demand (n, k) at these prices, relative to demand at the reference price.

    It includes what a price does to later sales: the long-run term adds to the exponent.
    """
    ratios = prices / listings.reference_price[:, None]
    return demand(listings, segments, ratios) * _long_run_demand(listings, ratios)


def _long_run_demand(listings: Listings, ratios: Floats) -> Floats:
    """What the long-run term multiplies demand by (n, k); limited, so that it stays finite."""
    exponent = listings.long_run_term[:, None] * np.log(ratios)
    return np.asarray(np.exp(np.clip(exponent, -MAX_EXPONENT, MAX_EXPONENT)))


def _most_profitable(prices: Ints, profit: Floats) -> Ints:
    """Rungs (n,) of highest expected profit, the lower of equals; 0 where demand is unusable."""
    usable = ~np.isnan(profit[:, 0])
    finite = np.where(usable[:, None], profit, 0)
    highest = finite.max(axis=1, keepdims=True)
    # argmax of a boolean row is its first True; the tolerance makes equal profits equal
    first = np.argmax(finite >= highest - 1e-9 * np.abs(highest), axis=1)
    return np.where(usable, prices[np.arange(len(prices)), first], 0)


def _explored(
    wanted: Ints, prices: Ints, profit: Floats, bounds: Bounds, draws: Floats
) -> tuple[Ints, list[Choice | None]]:
    """Replace wanted prices by drawn ones where there is a draw; return also each `Choice`.

    Only rungs that no guardrail would change may be drawn, so that the probability of the draw is
    the probability of the price charged. Without such a rung the price is not drawn.
    """
    chances = exploration.chances(profit, _within_limits(prices, bounds), *_width(bounds))
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


def _within_limits(prices: Ints, bounds: Bounds) -> NDArray[np.bool_]:
    """(n, k): candidates within step limit and competitor band; only the first of equal prices."""
    high = np.minimum(bounds.highest_step, bounds.highest_in_band)
    inside = (prices >= bounds.lowest_step[:, None]) & (prices <= high[:, None])
    inside[:, 1:] &= prices[:, 1:] != prices[:, :-1]
    return inside


def _candidates(bounds: Bounds) -> Ints:
    """Rungs from floor to list price (n, k), ascending. Shorter rows repeat the list price."""
    rows = [
        ladder[int(np.searchsorted(ladder, floor)) :]
        for ladder, floor in zip(bounds.ladders, bounds.floor.tolist(), strict=True)
    ]
    prices = np.repeat(bounds.list_price[:, None], max(row.size for row in rows), axis=1)
    for row, rungs in enumerate(rows):
        prices[row, : rungs.size] = rungs
    return prices


def _with_reasons(
    listings: Listings, floor: Floats, why_list: Sequence[str], trail: Sequence[Bound]
) -> Iterator[Decision]:
    """Decisions with their reasons. The trail has a column for each row that the model priced."""
    steps = iter(np.stack([bound.prices for bound in trail], axis=1).tolist() if trail else ())
    floors = [None if np.isnan(value) else int(value) for value in floor]
    assumed = (listings.cost_assumed & ~np.isnan(listings.unit_cost)).tolist()
    long_run = listings.long_run_term.tolist()
    for row, list_price in enumerate(listings.list_price.tolist()):
        decision = Decision(list_price, floors[row], list_price, ())
        prices = next(steps) if why_list[row] in ("", "no_answer") else ()
        if why_list[row]:
            decision = decision.with_reason(why_list[row], WHY_LIST_PRICE[why_list[row]])
        else:
            decision = _explained(decision, [list_price, *prices], trail)
            if long_run[row]:
                decision = decision.with_reason("long_run", LONG_RUN_TEXT.format(long_run[row]))
        if assumed[row]:
            decision = decision.with_reason(
                "cost", "assumed, from the margin set for its department"
            )
        yield decision


def _explained(decision: Decision, prices: Sequence[int], trail: Sequence[Bound]) -> Decision:
    reasons = tuple(
        Reason(bound.rule, before, after, bound.text)
        for bound, (before, after) in zip(trail, pairwise(prices), strict=True)
        if before != after or bound.rule == "model"
    )
    return Decision(prices[-1], decision.floor, decision.ceiling, reasons)
