"""The objective: what a price is chosen for, as a long-run term for each row of the price book.

The sales of one week do not show all that a price does: it also decides who comes back, what else
they buy and where they shop next. The long-run term is added to the short-run elasticity wherever a
decision needs a demand curve. The short-run profit of one sku is maximal at or above its list price
whenever its elasticity is between -1 / margin and 0. Shops knowingly charge less. So the prices a
shop charges show how strong it thinks the long run is.

At the price p of maximal profit with marginal cost c, the elasticity is -1 / m, where m is the
margin (p - c) / p (Lerner 1934, "The concept of monopoly and the measurement of monopoly power",
Review of Economic Studies 1(3)). With the short-run elasticity e, the long-run term for which p is
optimal is -(1/m - |e|).

Arrays have a row per row of the price book (n,). Money is in minor units; NaN means unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

MARGINS = (0.1, 0.9)  # of a list price; a margin outside counts as the nearer end
LOWEST_TERM = -60.0  # of a price at or below its marginal cost
MAX_WEIGHT = 20.0  # of a row in an average, as a multiple of the median weight above 0
SHOP_ROWS = 10.0  # the shop's average counts as this many rows of a department
PRICES = 33  # candidate prices of a row, evenly spaced in logs between floor and list price
BISECTIONS = 60
HIGHEST_MULTIPLIER = 1e3  # margin that the shop would give up for one unit of list price


@dataclass(frozen=True)
class Rows:
    """What an objective reads of the price book.

    Attributes:
        elasticity: of everyone, below 0; NaN without an estimate. Short-run, or with the long-run
            term included where a docstring says so.
        list_price: the highest price.
        marginal_cost: unit cost plus the margin that a unit takes from substitutes.
        floor: the lowest price.
        usual_price: the reference price.
        units: units per period at the usual price.
        department: a code, from 0.
    """

    elasticity: Floats
    list_price: Floats
    marginal_cost: Floats
    floor: Floats
    usual_price: Floats
    units: Floats
    department: Ints

    @property
    def priced(self) -> NDArray[np.bool_]:
        """The rows (n,) whose price a model may choose."""
        known = np.isfinite(self.elasticity) & np.isfinite(self.marginal_cost)
        return known & (self.floor <= self.list_price) & (self.usual_price > 0)

    def in_the_long_run(self, terms: Floats) -> Rows:
        """The same rows with long-run terms (n,) included in their elasticities."""
        return replace(self, elasticity=np.asarray(self.elasticity + terms))

    def demand(self, prices: Floats) -> Floats:
        """Units per period at prices (n,) or (n, k), by constant elasticities."""
        shape = (-1,) + (1,) * (prices.ndim - 1)
        ratio = prices / self.usual_price.reshape(shape)
        return np.asarray(self.units.reshape(shape) * ratio ** self.elasticity.reshape(shape))

    def profit(self, prices: Floats) -> Floats:
        """Profit per period at prices (n,) or (n, k)."""
        cost = self.marginal_cost.reshape((-1,) + (1,) * (prices.ndim - 1))
        return np.asarray((prices - cost) * self.demand(prices))

    def take(self, rows: NDArray[np.bool_]) -> Rows:
        """The rows where the mask (n,) is true."""
        return Rows(**{name: column[rows] for name, column in vars(self).items()})


def implied_terms(rows: Rows, price: Floats) -> Floats:
    """The long-run term (n,) for which each price is the most profitable; never above 0."""
    margin = (price - rows.marginal_cost) / price
    # At or below marginal cost no finite term makes a price optimal.
    needed = np.divide(1.0, margin, out=np.full(len(margin), np.inf), where=margin > 0)
    return np.asarray(np.clip(-(needed + rows.elasticity), LOWEST_TERM, 0.0))


def calibrated(rows: Rows) -> Floats:
    """The term (n,) for which the list prices of a department are optimal on average.

    It is the department's average of -(1/m - |e|), shrunk towards the shop's, and never above 0: if
    the list prices are above the optimum already, the long run is no reason to keep them. Weighted
    by revenue, 1 - m (|e| + term) is the effect on profit of raising all list prices of a
    department by the same share. The average sets this to 0, so its weights are the margins earned
    at list prices. A loss leader or a product that nobody buys has next to no weight, and no single
    product a very large one.

    >>> rows = Rows(*(np.array([v]) for v in (-1.5, 100.0, 75.0, 80.0, 100.0, 1.0)), np.array([0]))
    >>> calibrated(rows).tolist()
    [-2.5]
    """
    used = rows.priced
    if not used.any():
        return np.zeros(len(used))
    margin = np.clip(1 - rows.marginal_cost / rows.list_price, *MARGINS)
    implied = -(1 / margin + rows.elasticity)
    earned = _limited(margin * rows.list_price * rows.units, used)
    shop = _average(implied[used], earned[used])
    terms = np.zeros(len(used))
    for department in np.unique(rows.department):
        members = rows.department == department
        own, weight = implied[members & used], earned[members & used]
        total = own.size * _average(own, weight) if own.size else 0.0
        terms[members] = (total + SHOP_ROWS * shop) / (own.size + SHOP_ROWS)
    return np.minimum(terms, 0.0)


def _limited(weight: Floats, used: NDArray[np.bool_]) -> Floats:
    """Weights of at most `MAX_WEIGHT`. Many rows without sales do not lower this limit to 0."""
    sold = weight[used & (weight > 0)]
    return np.minimum(weight, MAX_WEIGHT * np.median(sold)) if sold.size else weight


def _average(values: Floats, weight: Floats) -> float:
    """The weighted mean; without any weight, all values count the same."""
    return float(np.average(values, weights=weight if weight.sum() > 0 else None))


@dataclass(frozen=True)
class Point:
    """Sums over the shop per period at one set of prices. `price_index` is relative to list."""

    multiplier: float
    profit: float
    units: float
    revenue: float
    price_index: float

    def relative_to(self, other: Point) -> Point:
        """Relative changes of profit, units and revenue; the multiplier and the index stay."""
        return replace(
            self,
            profit=_change(self.profit, other.profit),
            units=_change(self.units, other.units),
            revenue=_change(self.revenue, other.revenue),
        )


def _change(new: float, old: float) -> float:
    return (new - old) / abs(old) if old else 0.0


def most(rows: Rows, value: Callable[[Rows, Floats], Floats]) -> Floats:
    """Prices (n,) of maximal value at no less profit than at today's list prices.

    One multiplier for the whole shop weighs value against profit (Lagrange): each row's price
    maximises profit + multiplier x value, and bisection finds the largest multiplier at which the
    shop's profit is no lower than today.

    Args:
        rows: all `priced`, with the long-run terms included, so that profit is long-run profit. In
            the short run, list prices earn most almost everywhere, and nothing could be traded.
        value: the value (n, k) at prices (n, k): `volume` or `revenue`.
    """
    today = float(rows.profit(rows.list_price).sum())
    low, high = 0.0, HIGHEST_MULTIPLIER
    for _ in range(BISECTIONS):
        # The square root halves the interval in logs: useful multipliers span many magnitudes.
        middle = np.sqrt(max(low, 1e-6) * high)
        enough = float(rows.profit(_best(rows, value, middle)).sum()) >= today
        low, high = (middle, high) if enough else (low, middle)
    return _best(rows, value, low)


def frontier(
    rows: Rows, value: Callable[[Rows, Floats], Floats], multipliers: Floats
) -> list[Point]:
    """What the shop gets at the prices of each multiplier. See `most` for the arguments."""
    return [point(rows, _best(rows, value, m), m) for m in multipliers.tolist()]


def point(rows: Rows, prices: Floats, multiplier: float = 0.0) -> Point:
    """Profit, units, revenue and price index at prices (n,)."""
    units = rows.demand(prices)
    listed = float((rows.list_price * rows.units).sum())
    return Point(
        multiplier,
        profit=float(rows.profit(prices).sum()),
        units=float(units.sum()),
        revenue=float((prices * units).sum()),
        price_index=float((prices * rows.units).sum()) / listed if listed > 0 else 1.0,
    )


def volume(rows: Rows, prices: Floats) -> Floats:
    """Units weighted by list price (n, k)."""
    return rows.list_price[:, None] * rows.demand(prices)


def revenue(rows: Rows, prices: Floats) -> Floats:
    """Revenue (n, k)."""
    return prices * rows.demand(prices)


def _best(rows: Rows, value: Callable[[Rows, Floats], Floats], multiplier: float) -> Floats:
    """The candidate price (n,) of each row with the highest profit + multiplier x value."""
    grid = _candidates(rows)
    at = np.argmax(rows.profit(grid) + multiplier * value(rows, grid), axis=1)
    return np.asarray(grid[np.arange(len(grid)), at])


def _candidates(rows: Rows) -> Floats:
    """Prices (n, k) from floor to list price, evenly spaced in logs."""
    steps = np.linspace(1, 0, PRICES)
    ratio = np.clip(rows.floor / rows.list_price, 1e-6, 1.0)
    return np.asarray(rows.list_price[:, None] * ratio[:, None] ** steps)
