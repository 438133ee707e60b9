"""Demand curves: demand and elasticity at a price, and the price of maximal profit.

Prices and costs are floats in minor units; demand is in units per period. `demand` and `elasticity`
take one price or an array of prices. `optimum` takes the unit cost and returns the price that
maximises (price - cost) · demand(price), without guardrails.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

Price = TypeVar("Price", float, NDArray[np.float64])

GOLDEN = (math.sqrt(5) - 1) / 2


class Curve(Protocol):
    """The interface of a demand curve."""

    def demand(self, price: Price) -> Price: ...

    def elasticity(self, price: Price) -> Price: ...

    def optimum(self, unit_cost: float) -> float: ...


@dataclass(frozen=True)
class Linear:
    """demand = intercept - slope · price, and zero above the choke price.

    >>> Linear(intercept=100, slope=2).optimum(unit_cost=10)
    30.0
    """

    intercept: float
    slope: float

    def __post_init__(self) -> None:
        _check_positive(intercept=self.intercept, slope=self.slope)

    def demand(self, price: Price) -> Price:
        units: Price = np.maximum(self.intercept - self.slope * price, 0.0)
        return units

    def elasticity(self, price: Price) -> Price:
        """-infinity at the choke price and above."""
        return _ratio(-self.slope * price, self.demand(price))

    def optimum(self, unit_cost: float) -> float:
        """(a + b c) / 2b, where marginal revenue meets cost."""
        return (self.intercept + self.slope * unit_cost) / (2 * self.slope)


@dataclass(frozen=True)
class Quadratic:
    """demand = intercept - slope · price - curvature · price², and zero above the choke price.

    Slope and curvature are not negative and not both zero, so demand falls at an increasing rate.
    """

    intercept: float
    slope: float
    curvature: float

    def __post_init__(self) -> None:
        _check_positive(intercept=self.intercept, steepness=self.slope + self.curvature)
        if min(self.slope, self.curvature) < 0:
            raise ValueError(f"slope and curvature cannot be negative. Received: {self}")

    def demand(self, price: Price) -> Price:
        fall = (self.slope + self.curvature * price) * price
        units: Price = np.maximum(self.intercept - fall, 0.0)
        return units

    def elasticity(self, price: Price) -> Price:
        """-infinity at the choke price and above."""
        fall = (self.slope + 2 * self.curvature * price) * price
        return _ratio(-fall, self.demand(price))

    def optimum(self, unit_cost: float) -> float:
        """The positive root of 3 d p² + 2 (b - d c) p - (a + b c) = 0, without cancellation."""
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
        _check_positive(
            units=self.units, reference_price=self.reference_price, minus_exponent=-self.exponent
        )

    def demand(self, price: Price) -> Price:
        units: Price = self.units * (price / self.reference_price) ** self.exponent
        return units

    def elasticity(self, price: Price) -> Price:
        return 0.0 * price + self.exponent

    def optimum(self, unit_cost: float) -> float:
        """c e / (e + 1); infinity if the exponent is -1 or higher, as a rise then always pays."""
        if self.exponent >= -1:
            return math.inf
        return unit_cost * self.exponent / (self.exponent + 1)


@dataclass(frozen=True)
class Logit:
    """demand = market / (1 + exp(slope · price - utility)): each shopper buys one unit or none.

    `utility` is the utility of the product at price 0. `slope` is the utility of a unit of money.
    """

    market: float
    utility: float
    slope: float

    def __post_init__(self) -> None:
        _check_positive(market=self.market, slope=self.slope)

    def _log_odds(self, price: Price) -> Price:
        return self.utility - self.slope * price

    def demand(self, price: Price) -> Price:
        return self.market * _sigmoid(self._log_odds(price))

    def elasticity(self, price: Price) -> Price:
        """-b p (1 - share), where share is the share of the market that buys."""
        return -self.slope * price * _sigmoid(-self._log_odds(price))

    def optimum(self, unit_cost: float) -> float:
        """c + (1 + W(exp(utility - b c - 1))) / b, where W is the Lambert W function. Needs SciPy.

        Aravindakshan & Ratchford 2011, "Solving share equations in logit models using the
        LambertW function", Review of Marketing Science 9(1).
        """
        # Imported here: SciPy takes 27 MB of memory, and the price service does not need it.
        from scipy.special import wrightomega

        # wrightomega(z) is W(exp(z)), and does not overflow for a large z.
        omega = float(wrightomega(self._log_odds(unit_cost) - 1))
        return unit_cost + (1 + omega) / self.slope


def best_between(curve: Curve, unit_cost: float, low: float, high: float) -> float:
    """The price in [low, high] of maximal profit, by golden-section search.

    The profit must have a single peak in the interval. The curve needs no closed-form optimum.

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
    """Profit per period at a price, before fixed costs."""
    return (price - unit_cost) * curve.demand(price)


def _sigmoid(value: Price) -> Price:
    share: Price = 0.5 * (1.0 + np.tanh(0.5 * value))
    return share


def _ratio(change: Price, demand: Price) -> Price:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Any = np.where(demand > 0, np.divide(change, demand), -np.inf)[()]
    elasticity: Price = ratio
    return elasticity


def _check_positive(**values: float) -> None:
    for name, value in values.items():
        if not (0 < value < math.inf):
            raise ValueError(f"{name} must be finite and above 0. Received: {value}")
