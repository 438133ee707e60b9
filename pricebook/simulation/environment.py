"""The simulated market as a Gymnasium environment, to try any pricing policy.

>>> from pricebook.simulation.market import Market, Spec
>>> shop = Shop(Market.draw(Spec(skus=8, categories=2, shoppers=100)), weeks=2)
>>> observation, _ = shop.reset(seed=1)
>>> observation, profit, terminated, truncated, _ = shop.step(shop.action_space.high)
>>> profit > 0, terminated, truncated
(True, False, False)
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pricebook.simulation.market import Market, Offer

Floats = NDArray[np.float64]
MIN_PRICE_RATIO = 0.1  # price over list price


class Shop(gymnasium.Env[Any, Any]):
    """One step is a week; actions are prices, the reward is the gross profit in minor units.

    An action is the price of each sku as a share of its list price, at most 1. The observation has
    what a shop knows: the number of the week, and of shape (skus,) the units and prices of last
    week, stock on hand and on order, the cheapest competitor's price, list price and unit cost. An
    episode is truncated after `weeks`.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, market: Market, weeks: int = 26) -> None:
        self.market, self.weeks = market, weeks
        skus = market.spec.skus
        self.action_space = gymnasium.spaces.Box(MIN_PRICE_RATIO, 1.0, (skus,), np.float64)
        amount = gymnasium.spaces.Box(0.0, np.inf, (skus,), np.float64)
        names = ("units", "price", "stock", "rival", "list_price", "unit_cost")
        week = gymnasium.spaces.Box(0.0, np.inf, (1,), np.float64)
        self.observation_space = gymnasium.spaces.Dict(
            {"week": week, **dict.fromkeys(names, amount)}
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Floats], dict[str, Any]]:
        """Start with full shelves and competitors near the list price."""
        super().reset(seed=seed)
        self._state = self.market.opening()
        self._units = self._state.sold
        return self._observation(), {}

    def step(self, action: Floats) -> tuple[dict[str, Floats], float, bool, bool, dict[str, Any]]:
        """Simulate one week at these prices, without display or mailer."""
        price = np.clip(action, MIN_PRICE_RATIO, 1.0) * self.market.list_price
        offer = Offer(price, np.zeros(self.market.spec.skus, bool))
        self._state, totals = self.market.trade(self._state, offer, self.np_random)
        self._units = totals.units.astype(float)
        profit = float(((price - self.market.unit_cost) * self._units).sum())
        return self._observation(), profit, False, self._state.week >= self.weeks, {}

    def _observation(self) -> dict[str, Floats]:
        state = self._state
        observation = {
            "week": np.array([state.week]),
            "units": self._units,
            "price": state.price,
            "stock": state.on_hand + state.inbound,
            "rival": state.rivals.min(axis=1),
            "list_price": self.market.list_price,
            "unit_cost": self.market.unit_cost,
        }
        return {name: np.asarray(value, np.float64) for name, value in observation.items()}
