"""Off-policy evaluation: what another pricing policy would have earned, from the quote log.

In the exploration arm prices are drawn at random, and the log has the probability of each. A quote
whose price equals the other policy's choice is weighted by the inverse of its probability. This
needs no model, so no model error can bias it. The doubly robust estimate uses a model as well, but
only to make the interval narrower.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricebook.money import Floats
from pricebook.pricing.arms import EXPLORE
from pricebook.pricing.decision import Choice

NORMAL = 1.959964  # 97.5 % quantile of the standard normal: 95 % intervals

Policy = Callable[[Choice], int]  # selects one of the prices that could be drawn


@dataclass(frozen=True, slots=True)
class Quoted:
    """A quote from the log with the units ordered on it. Money in minor units.

    Attributes:
        who: the unit of randomisation. It is a shopper, or all anonymous requests for a sku within
            the validity of a quote.
        choice: the prices it was drawn from; a single price if it was not drawn.
    """

    who: str
    sku: str
    arm: str
    price: int
    propensity: float
    choice: Choice
    features: Mapping[str, Any]
    units: int

    @property
    def profit(self) -> float:
        """Profit of the units ordered; NaN without a unit cost."""
        cost = self.features["unit_cost"]
        return float("nan") if cost is None else float(self.units * (self.price - cost))


@dataclass(frozen=True)
class Evidence:
    """n randomised prices as columns of shape (n,).

    Attributes:
        earned: the reward (profit) of each.
        propensity: the probability that the price was shown.
        target: the probability that the evaluated policy would show it.
        who: the unit of randomisation; rows of one unit are not independent.

    Raises:
        ValueError: shapes differ, fewer than two are independent, a propensity is not in (0, 1], a
            target is not in [0, 1], or a reward is not finite.
    """

    earned: Floats
    propensity: Floats
    target: Floats
    who: NDArray[Any]

    def __post_init__(self) -> None:
        shapes = [column.shape for column in vars(self).values()]
        if len(set(shapes)) > 1 or len(shapes[0]) != 1:
            raise ValueError(f"Evidence needs columns of one length. Received: {shapes}")
        if np.unique(self.who).size < 2:
            raise ValueError(
                f"A standard error needs two shoppers. Received: {np.unique(self.who)}"
            )
        _check_all(
            self.propensity, (self.propensity > 0) & (self.propensity <= 1), "propensity in (0, 1]"
        )
        _check_all(self.target, (self.target >= 0) & (self.target <= 1), "target in [0, 1]")
        _check_all(self.earned, np.isfinite(self.earned), "finite reward")

    @property
    def weight(self) -> Floats:
        """Importance weight: target / propensity."""
        return self.target / self.propensity


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean and its standard error.

    >>> [round(end, 2) for end in Estimate(5.0, 1.0).interval]
    [3.04, 6.96]
    """

    value: float
    error: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % confidence interval."""
        return self.value - NORMAL * self.error, self.value + NORMAL * self.error


def inverse_propensity(evidence: Evidence) -> Estimate:
    """Expected profit per quote under the policy, by inverse propensity scoring.

    The mean of target / propensity x reward: Horvitz & Thompson 1952, "A generalization of sampling
    without replacement from a finite universe", JASA 47. Unbiased if the policy only chooses prices
    that could have been drawn.

    >>> who = np.array(["ann", "bob"])
    >>> evidence = Evidence(np.array([4.0, 9.0]), np.array([0.5, 0.5]), np.array([1.0, 0.0]), who)
    >>> inverse_propensity(evidence).value
    4.0
    """
    return _mean(evidence.weight * evidence.earned, evidence.who)


def doubly_robust(evidence: Evidence, predicted: Floats, expected: Floats) -> Estimate:
    """Expected profit per quote under the policy, by the doubly robust estimator.

    The mean of expected + target / propensity x (reward - predicted): Dudík, Langford & Li 2011,
    "Doubly robust policy evaluation and learning", ICML. Unbiased like `inverse_propensity`,
    whatever the model predicts, if the model was not fitted on the same rewards. A better model
    gives a smaller error.

    Args:
        predicted: (n,), the model's reward at the price shown.
        expected: (n,), the model's reward under the policy.

    Raises:
        ValueError: shapes differ.
    """
    if not predicted.shape == expected.shape == evidence.earned.shape:
        shapes = (predicted.shape, expected.shape)
        raise ValueError(f"Predictions need the shape {evidence.earned.shape}. Received: {shapes}")
    residual = evidence.earned - predicted
    return _mean(expected + evidence.weight * residual, evidence.who)


def gain(earned: Floats, treated: NDArray[np.bool_], predicted: Floats, share: float) -> Estimate:
    """What each unit earns more in one arm of an experiment than in the other.

    Both arms by inverse propensity, with the doubly robust correction: a prediction that does not
    depend on the arm makes the interval narrower and cannot bias it. The units are independent.

    Args:
        earned: (n,), the reward of each unit.
        treated: (n,), whether the unit is in the arm of interest.
        predicted: (n,), the predicted reward.
        share: the probability of that arm; the other arm has the rest.

    >>> earned, treated = np.array([5.0, 7, 3, 5]), np.array([True, True, False, False])
    >>> gain(earned, treated, np.full(4, 5.0), share=0.5).value
    2.0
    """
    sign, chance = np.where(treated, 1.0, -1.0), np.where(treated, share, 1 - share)
    return _mean(sign * (earned - predicted) / chance, np.arange(earned.size))


def logged(lines: Iterable[Mapping[str, Any]]) -> list[Quoted]:
    """Parse the lines of a quote log: its quotes in order, each with the units ordered on it.

    Repeated lines of one order count once.
    """
    quotes, orders = [], {}
    for line in lines:
        if "quote" in line:
            quotes.append(line)
        elif "order" in line:
            orders[line["order"]["event_id"]] = line["order"]
    units: dict[str, int] = {}
    for order in orders.values():
        units[order["quote_id"]] = units.get(order["quote_id"], 0) + order["quantity"]
    return [_quoted(line, units.get(line["quote"]["quote_id"], 0)) for line in quotes]


def within_arm(quotes: Sequence[Quoted], policy: Policy) -> Evidence:
    """Evidence from quotes of the exploration arm, with the probability of the draw as propensity.

    Shoppers are assigned to the arm at random, so the estimate holds for all shoppers.
    """
    return _evidence(quotes, [quote.choice.chance(quote.price) for quote in quotes], policy)


def overall(quotes: Sequence[Quoted], policy: Policy) -> Evidence:
    """Evidence from quotes of all arms. Those outside the exploration arm have a target of 0."""
    return _evidence(quotes, [quote.propensity for quote in quotes], policy)


def _evidence(quotes: Sequence[Quoted], propensity: Sequence[float], policy: Policy) -> Evidence:
    return Evidence(
        earned=np.array([quote.profit for quote in quotes]),
        propensity=np.array(propensity),
        target=np.array([float(_chosen(quote, policy)) for quote in quotes]),
        who=np.array([quote.who for quote in quotes]),
    )


def _chosen(quote: Quoted, policy: Policy) -> bool:
    return quote.arm == EXPLORE and policy(quote.choice) == quote.price


def _quoted(line: Mapping[str, Any], units: int) -> Quoted:
    quote, drawn = line["quote"], line["choice"]
    choice = (
        Choice((quote["price"],), (1.0,))
        if drawn is None
        else Choice(tuple(drawn["prices"]), tuple(drawn["chances"]))
    )
    return Quoted(
        who=line["shopper"]["customer_id"] or _moment(quote),
        sku=quote["sku"],
        arm=quote["arm"],
        price=quote["price"],
        propensity=quote["propensity"],
        choice=choice,
        features=line["features"],
        units=units,
    )


def _moment(quote: Mapping[str, Any]) -> str:
    """The unit of randomisation of anonymous requests (`pricebook.pricing.arms`)."""
    issued, expires = (datetime.fromisoformat(quote[name]) for name in ("issued_at", "expires_at"))
    span = int(issued.timestamp() // (expires - issued).total_seconds())
    return f"{quote['sku']}|{quote['zone']}|{span}"


def _mean(values: Floats, who: NDArray[Any]) -> Estimate:
    """A mean with its cluster-robust standard error; each unit of randomisation is a cluster."""
    _, cluster = np.unique(who, return_inverse=True)
    value = float(values.mean())
    deviation = np.bincount(cluster, values - value)
    clusters = deviation.size
    error = np.sqrt(clusters / (clusters - 1) * (deviation**2).sum()) / values.size
    return Estimate(value, float(error))


def _check_all(column: Floats, holds: NDArray[np.bool_], what: str) -> None:
    if not holds.all():
        raise ValueError(f"Evidence needs a {what}. Received: {column[~holds][0]}")
