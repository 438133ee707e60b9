"""What another way of pricing would have earned, told from a log of prices drawn by chance.

In the exploration arm each price was drawn from a few, and the chance of each is in the log. A
quote whose price the other policy would have chosen too stands for all those that it would have
priced so: it counts as often as its chance was small. Nothing is asked of a model, so nothing of
one can be wrong; where one is asked too (doubly robust), it only makes the interval narrower.
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

NORMAL = 1.959964  # standard errors to either side hold 95 %

Policy = Callable[[Choice], int]  # which of the prices that might be drawn it would charge


@dataclass(frozen=True, slots=True)
class Quoted:
    """A quote as the log has it, and the units ordered on it. Money in minor units.

    `who` shares an arm and its draws: a shopper, or all without a name who asked for the sku within
    the life of a quote. `choice` is of one price where it was not drawn.
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
        """NaN without a unit cost."""
        cost = self.features["unit_cost"]
        return float("nan") if cost is None else float(self.units * (self.price - cost))


@dataclass(frozen=True)
class Evidence:
    """n prices shown by chance, as columns (n,).

    `earned` is what each led to, `propensity` the chance that it was shown, `target` the chance the
    policy in question gives it, and those of one `who` were not drawn independently.

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
            raise ValueError(f"An error needs two who ask. Received: {np.unique(self.who)}")
        _all(
            self.propensity, (self.propensity > 0) & (self.propensity <= 1), "propensity in (0, 1]"
        )
        _all(self.target, (self.target >= 0) & (self.target <= 1), "target in [0, 1]")
        _all(self.earned, np.isfinite(self.earned), "finite reward")

    @property
    def weight(self) -> Floats:
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
        """Of 95 %."""
        return self.value - NORMAL * self.error, self.value + NORMAL * self.error


def inverse_propensity(seen: Evidence) -> Estimate:
    """What the policy would have earned a quote, by inverse propensity scoring.

    The mean of target / propensity x reward: Horvitz & Thompson 1952, "A generalization of sampling
    without replacement from a finite universe", JASA 47. Unbiased if the policy charges no price
    that could not have been drawn.

    >>> who = np.array(["ann", "bob"])
    >>> seen = Evidence(np.array([4.0, 9.0]), np.array([0.5, 0.5]), np.array([1.0, 0.0]), who)
    >>> inverse_propensity(seen).value
    4.0
    """
    return _mean(seen.weight * seen.earned, seen.who)


def doubly_robust(seen: Evidence, said: Floats, expected: Floats) -> Estimate:
    """The same with a model of the reward, whose errors the log corrects.

    The mean of expected + target / propensity x (reward - said): Dudík, Langford & Li 2011, "Doubly
    robust policy evaluation and learning", ICML. As unbiased as `inverse_propensity` whatever the
    model says, if it was not fitted on the rewards it is asked about; the better the model, the
    smaller the error.

    Args:
        said: (n,), the model's reward at the price shown.
        expected: (n,), the model's reward under the policy.
    """
    if not said.shape == expected.shape == seen.earned.shape:
        shapes = (said.shape, expected.shape)
        raise ValueError(f"A model must answer {seen.earned.shape}. Received: {shapes}")
    return _mean(expected + seen.weight * (seen.earned - said), seen.who)


def logged(lines: Iterable[Mapping[str, Any]]) -> list[Quoted]:
    """The quotes of a quote log's lines, in order, each with what was ordered on it.

    An order counts once, however often it is told.
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
    """Quotes of the exploration arm, weighed by the chance of their price in it.

    Who is in the arm is a matter of chance too, so what holds in it holds of everybody.
    """
    return _evidence(quotes, [one.choice.chance(one.price) for one in quotes], policy)


def overall(quotes: Sequence[Quoted], policy: Policy) -> Evidence:
    """Quotes of all arms: one outside the exploration arm is no evidence, but was asked for."""
    return _evidence(quotes, [one.propensity for one in quotes], policy)


def _evidence(quotes: Sequence[Quoted], propensity: Sequence[float], policy: Policy) -> Evidence:
    return Evidence(
        earned=np.array([one.profit for one in quotes]),
        propensity=np.array(propensity),
        target=np.array([float(_chosen(one, policy)) for one in quotes]),
        who=np.array([one.who for one in quotes]),
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
    """What all who ask without a name share (`pricebook.pricing.arms`)."""
    issued, expires = (datetime.fromisoformat(quote[name]) for name in ("issued_at", "expires_at"))
    span = int(issued.timestamp() // (expires - issued).total_seconds())
    return f"{quote['sku']}|{quote['zone']}|{span}"


def _mean(values: Floats, who: NDArray[Any]) -> Estimate:
    """A mean whose error is of sums by who: one who asks often may differ from the others."""
    _, place = np.unique(who, return_inverse=True)
    value = float(values.mean())
    off = np.bincount(place, values - value)
    error = np.sqrt(off.size / (off.size - 1) * (off**2).sum()) / values.size
    return Estimate(value, float(error))


def _all(column: Floats, holds: NDArray[np.bool_], what: str) -> None:
    if not holds.all():
        raise ValueError(f"Evidence needs a {what}. Received: {column[~holds][0]}")
