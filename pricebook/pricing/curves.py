"""Demand curves: what a price sells, how sharply that reacts, and which price earns most.

Prices and costs share one unit (minor units of currency, as floats); demand is in units a period.
`demand` and `elasticity` take a price or an array of prices. `optimum` takes the cost of a unit and
returns the price that maximises (price - cost) · demand(price), with no guardrail applied.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Price = TypeVar("Price", float, NDArray[np.float64])

GOLDEN = (math.sqrt(5) - 1) / 2
STEPS = 60  # of the Newton iteration; it needs four or five


class Curve(Protocol):
    """What a demand curve answers."""

    def demand(self, price: Price) -> Price: ...

    def elasticity(self, price: Price) -> Price: ...

    def optimum(self, unit_cost: float) -> float: ...


@dataclass(frozen=True)
class Linear:
    """demand = intercept - slope · price, and none above the choke price.

    >>> Linear(intercept=100, slope=2).optimum(unit_cost=10)
    30.0
    """

    intercept: float
    slope: float

    def __post_init__(self) -> None:
        _above_zero(intercept=self.intercept, slope=self.slope)

    def demand(self, price: Price) -> Price:
        units: Price = np.maximum(self.intercept - self.slope * price, 0.0)
        return units

    def elasticity(self, price: Price) -> Price:
        """-infinity from the choke price on."""
        return _ratio(-self.slope * price, self.demand(price))

    def optimum(self, unit_cost: float) -> float:
        """(a + b c) / 2b, where marginal revenue meets cost."""
        return (self.intercept + self.slope * unit_cost) / (2 * self.slope)


@dataclass(frozen=True)
class Quadratic:
    """demand = intercept - slope · price - curvature · price², and none above the choke price.

    Falls ever faster: slope and curvature are not negative, and not both zero.
    """

    intercept: float
    slope: float
    curvature: float

    def __post_init__(self) -> None:
        _above_zero(intercept=self.intercept, steepness=self.slope + self.curvature)
        if min(self.slope, self.curvature) < 0:
            raise ValueError(f"slope and curvature cannot be negative. Received: {self}")

    def demand(self, price: Price) -> Price:
        fall = (self.slope + self.curvature * price) * price
        units: Price = np.maximum(self.intercept - fall, 0.0)
        return units

    def elasticity(self, price: Price) -> Price:
        """-infinity from the choke price on."""
        fall = (self.slope + 2 * self.curvature * price) * price
        return _ratio(-fall, self.demand(price))

    def optimum(self, unit_cost: float) -> float:
        """The positive root of 3 d p² + 2 (b - d c) p - (a + b c) = 0, in its stable form."""
        middle = self.slope - self.curvature * unit_cost
        last = self.intercept + self.slope * unit_cost
        root = math.sqrt(middle**2 + 3 * self.curvature * last)
        return last / (middle + root) if middle > 0 else (root - middle) / (3 * self.curvature)


@dataclass(frozen=True)
class ConstantElasticity:
    """demand = units · (price / reference_price) ** exponent, the exponent below zero.

    >>> ConstantElasticity(units=10, reference_price=200, exponent=-2).optimum(unit_cost=100)
    200.0
    """

    units: float
    reference_price: float
    exponent: float

    def __post_init__(self) -> None:
        _above_zero(
            units=self.units, reference_price=self.reference_price, minus_exponent=-self.exponent
        )

    def demand(self, price: Price) -> Price:
        units: Price = self.units * (price / self.reference_price) ** self.exponent
        return units

    def elasticity(self, price: Price) -> Price:
        return 0.0 * price + self.exponent

    def optimum(self, unit_cost: float) -> float:
        """c e / (e + 1); infinity from -1 up, where every rise in price earns more."""
        if self.exponent >= -1:
            return math.inf
        return unit_cost * self.exponent / (self.exponent + 1)


@dataclass(frozen=True)
class Logit:
    """demand = market / (1 + exp(slope · price - utility)): a market of shoppers who buy or do not.

    `utility` is the utility of the good when free, of `slope` per unit of money.
    """

    market: float
    utility: float
    slope: float

    def __post_init__(self) -> None:
        _above_zero(market=self.market, slope=self.slope)

    def _log_odds(self, price: Price) -> Price:
        return self.utility - self.slope * price

    def demand(self, price: Price) -> Price:
        return self.market * _sigmoid(self._log_odds(price))

    def elasticity(self, price: Price) -> Price:
        """-b p (1 - share)."""
        return -self.slope * price * _sigmoid(-self._log_odds(price))

    def optimum(self, unit_cost: float) -> float:
        """c + (1 + W(exp(utility - b c - 1))) / b, with Lambert's W.

        Aravindakshan & Ratchford 2011, "Solving share equations in logit models using the
        LambertW function", Review of Marketing Science 9(1).
        """
        return unit_cost + (1 + lambert_w_exp(self._log_odds(unit_cost) - 1)) / self.slope


def lambert_w_exp(log: float) -> float:
    """W(exp(log)), the w with w + ln w = log, by Newton's method; a large log is safe.

    >>> round(lambert_w_exp(1.0), 12)
    1.0
    """
    w = log if log > 1 else math.exp(log)
    for _ in range(STEPS):
        if w == 0:
            return 0.0
        step = w * (log - math.log(w) - w) / (1 + w)
        w += step
        if abs(step) <= 1e-15 * w:
            break
    return w


def best_between(curve: Curve, unit_cost: float, low: float, high: float) -> float:
    """The price in [low, high] that earns most, by golden-section search.

    For any curve whose profit has one peak there, closed form or not.

    Raises:
        ValueError: low is above high.
    """
    if low > high:
        raise ValueError(f"low must not be above high. Received: {low}, {high}")
    edges = low, high
    while high - low > 1e-9 * max(abs(high), 1.0):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        if profit(curve, left, unit_cost) < profit(curve, right, unit_cost):
            low = left
        else:
            high = right
    candidates = ((low + high) / 2, *edges)
    return max(candidates, key=lambda price: profit(curve, price, unit_cost))


def profit(curve: Curve, price: float, unit_cost: float) -> float:
    """What a period earns at a price, before fixed costs."""
    return (price - unit_cost) * curve.demand(price)


def _sigmoid(value: Price) -> Price:
    share: Price = 0.5 * (1.0 + np.tanh(0.5 * value))
    return share


def _ratio(change: Price, demand: Price) -> Price:
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Any = np.where(demand > 0, np.divide(change, demand), -np.inf)[()]
    elasticity: Price = found
    return elasticity


def _above_zero(**values: float) -> None:
    for name, value in values.items():
        if not (0 < value < math.inf):
            raise ValueError(f"{name} must be finite and above 0. Received: {value}")
