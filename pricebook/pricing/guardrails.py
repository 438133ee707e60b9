"""Floors, ceilings, steps and bands: each rule that changes a price leaves a reason.

The rules run over a batch, always in the order of `RULES`; floors come last and nothing overrides
them. Two stances meet where a floor lies above the list price: the published price is the most
anyone pays (the ceiling), and a floor forbids going below it, so no price satisfies both. Such a
sku is not repriced at all: it sells at its list price, and the quote says why (see `quote`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from pricebook import money
from pricebook.config import Quote as Limits
from pricebook.money import Floats, Ints


@dataclass(frozen=True, slots=True)
class Reason:
    """A rule, the price before and after it, in minor units; equal where it only tells."""

    rule: str
    before: int
    after: int
    text: str


@dataclass(frozen=True)
class Bounds:
    """What the rules look at, for n offers; every array is shaped (n,), NaN where unknown."""

    list_price: Ints
    floor: Floats
    usual_price: Floats
    competitor_price: Floats
    ladders: Sequence[Ints]
    limits: Limits

    @property
    def lowest_step(self) -> Floats:
        low = self.usual_price * (1 - self.limits.max_step)
        return np.where(np.isnan(low), 0.0, money.round_up(low))

    @property
    def highest_step(self) -> Floats:
        high = self.usual_price * (1 + self.limits.max_step)
        return np.where(np.isnan(high), np.inf, np.floor(np.round(high, 6)))

    @property
    def highest_in_band(self) -> Floats:
        if self.limits.competitor_band is None:
            return np.full(self.list_price.shape, np.inf)
        high = self.competitor_price * (1 + self.limits.competitor_band)
        return np.where(np.isnan(high), np.inf, np.floor(np.round(high, 6)))


@dataclass(frozen=True)
class Rule:
    """One guardrail: prices (n,) in, prices (n,) out, and how it explains itself."""

    name: str
    apply: Callable[[Ints, Bounds], Ints]
    text: str


@dataclass(frozen=True)
class Bound:
    """The prices after one rule, shaped (n,)."""

    rule: str
    text: str
    prices: Ints


def floors(unit_cost: Floats, map_price: Floats, list_price: Ints, limits: Limits) -> Floats:
    """The lowest allowed prices, rounded up; NaN (missing) without a unit cost and a MAP price.

    floor = max(unit cost x (1 + margin), MAP price, list price x (1 - largest markdown))
    """
    known = np.fmax(unit_cost * (1 + limits.min_margin), map_price)
    deepest = list_price * (1 - limits.max_markdown)
    return np.where(np.isnan(known), np.nan, money.round_up(np.fmax(known, deepest)))


def _band(prices: Ints, bounds: Bounds) -> Ints:
    return _whole(np.minimum(prices, bounds.highest_in_band))


def _step(prices: Ints, bounds: Bounds) -> Ints:
    return _whole(np.clip(prices, bounds.lowest_step, bounds.highest_step))


def _ladder(prices: Ints, bounds: Bounds) -> Ints:
    """Onto the nearest rung that keeps step and band; a price above the ladder is the ceiling's."""
    lows = bounds.lowest_step
    highs = np.minimum(bounds.highest_step, bounds.highest_in_band)
    snapped = prices.copy()
    for row in np.flatnonzero(prices < bounds.list_price).tolist():
        snapped[row] = money.nearest(bounds.ladders[row], prices[row], lows[row], highs[row])
    return snapped


def _ceiling(prices: Ints, bounds: Bounds) -> Ints:
    return np.minimum(prices, bounds.list_price)


def _floor(prices: Ints, bounds: Bounds) -> Ints:
    raised = prices.copy()
    for row in np.flatnonzero(prices < bounds.floor).tolist():
        raised[row] = money.at_or_above(bounds.ladders[row], bounds.floor[row])
    return raised


def _whole(prices: Floats) -> Ints:
    return prices.astype(np.int64)


RULES = (
    Rule("competitor_band", _band, "at most {competitor_band:.0%} above the cheapest rival"),
    Rule("step", _step, "at most {max_step:.0%} from the usual price"),
    Rule("ladder", _ladder, "the nearest price on the ladder"),
    Rule("ceiling", _ceiling, "nobody pays more than the list price"),
    Rule("floor", _floor, "never below the floor"),
)


def guard(wanted: Ints, bounds: Bounds) -> list[Bound]:
    """Apply every rule in order to the wanted prices (n,): one `Bound` a rule.

    The last one's prices are allowed: floor <= price <= list price, on a rung, wherever the floor
    is known and not above the list price.
    """
    trail: list[Bound] = []
    prices = wanted
    limits = bounds.limits.model_dump(include={"competitor_band", "max_step"})
    for rule in RULES:
        prices = rule.apply(prices, bounds)
        if rule.name == "competitor_band" and bounds.limits.competitor_band is None:
            continue
        trail.append(Bound(rule.name, f"{rule.name}: {rule.text.format(**limits)}", prices))
    return trail
