"""Guardrails: floor, ceiling, step limit and competitor band. Each price change leaves a reason.

The rules apply to a batch, always in the order of `RULES`. The floor comes last, and nothing
overrides it. If a floor is above the list price, no price satisfies both: no price may
be above the list price or below the floor. Such a sku is not repriced. It sells at its list price,
and the quote says why.
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
    """A rule with the price before and after it, in minor units. Some rules only inform."""

    rule: str
    before: int
    after: int
    text: str


@dataclass(frozen=True)
class Bounds:
    """The inputs of the rules for n offers. Arrays have shape (n,); NaN means unknown.

    `last_public_price` is the price that a step starts from.
    """

    list_price: Ints
    floor: Floats
    last_public_price: Floats
    competitor_price: Floats
    ladders: Sequence[Ints]
    limits: Limits

    @property
    def lowest_step(self) -> Floats:
        low = self.last_public_price * (1 - self.limits.max_step)
        return np.where(np.isnan(low), 0.0, money.round_up(low))

    @property
    def highest_step(self) -> Floats:
        high = self.last_public_price * (1 + self.limits.max_step)
        return np.where(np.isnan(high), np.inf, np.floor(np.round(high, 6)))

    @property
    def highest_in_band(self) -> Floats:
        if self.limits.competitor_band is None:
            return np.full(self.list_price.shape, np.inf)
        high = self.competitor_price * (1 + self.limits.competitor_band)
        return np.where(np.isnan(high), np.inf, np.floor(np.round(high, 6)))


@dataclass(frozen=True)
class Rule:
    """One guardrail: a function from prices (n,) to prices (n,), and the text of its reason."""

    name: str
    apply: Callable[[Ints, Bounds], Ints]
    text: str


@dataclass(frozen=True)
class Bound:
    """The prices (n,) after one rule."""

    rule: str
    text: str
    prices: Ints


def floors(unit_cost: Floats, map_price: Floats, list_price: Ints, limits: Limits) -> Floats:
    """The lowest allowed prices (n,), rounded up; NaN if unit cost and MAP price are both unknown.

    floor = max(unit cost x (1 + margin), MAP price, list price x (1 - largest markdown))
    """
    # fmax ignores NaN, so one known value is enough
    cost_floor = np.fmax(unit_cost * (1 + limits.min_margin), map_price)
    markdown_floor = list_price * (1 - limits.max_markdown)
    floor = money.round_up(np.fmax(cost_floor, markdown_floor))
    return np.where(np.isnan(cost_floor), np.nan, floor)


def _band(prices: Ints, bounds: Bounds) -> Ints:
    return _to_integers(np.minimum(prices, bounds.highest_in_band))


def _step(prices: Ints, bounds: Bounds) -> Ints:
    return _to_integers(np.clip(prices, bounds.lowest_step, bounds.highest_step))


def _ladder(prices: Ints, bounds: Bounds) -> Ints:
    """Snap to the nearest rung within step and band. The ceiling rule handles prices above list."""
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


def _to_integers(prices: Floats) -> Ints:
    return prices.astype(np.int64)


RULES = (
    Rule("competitor_band", _band, "at most {competitor_band:.0%} above the cheapest competitor"),
    Rule("step", _step, "at most {max_step:.0%} from the last public price"),
    Rule("ladder", _ladder, "the nearest price on the ladder"),
    Rule("ceiling", _ceiling, "no price is above the list price"),
    Rule("floor", _floor, "never below the floor"),
)


def guard(wanted: Ints, bounds: Bounds) -> list[Bound]:
    """Apply every rule in order to the wanted prices (n,); return one `Bound` per rule.

    The prices of the last `Bound` are on a rung, with floor <= price <= list price, wherever the
    floor is known and not above the list price.
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
