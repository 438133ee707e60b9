"""The simulated market as a gymnasium environment, so that any pricing policy can be tried on it.

>>> from pricebook.simulation.market import Market, Spec
>>> shop = Shop(Market.draw(Spec(skus=8, categories=2, shoppers=100)), weeks=2)
>>> seen, _ = shop.reset(seed=1)
>>> seen, profit, over, cut_short, _ = shop.step(shop.action_space.high)
>>> profit > 0, over, cut_short
(True, False, False)
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from pricebook.simulation.market import Market, Offer

Floats = NDArray[np.float64]
LOWEST = 0.1  # of the list price


class Shop(gymnasium.Env[Any, Any]):
    """A week a step: prices in, the week's gross profit in minor units out.

    An action is a price per sku as a share of its list price. What is seen is what a shop sees,
    each shaped (skus,) but for the week: its number, the units and prices of last week, stock on
    hand and to come, the cheapest rival's price, list price and unit cost. After `weeks` an episode
    is truncated. Nothing on the shelf sells above the list price: an action cannot ask for it.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012

    def __init__(self, market: Market, weeks: int = 26) -> None:
        self.market, self.weeks = market, weeks
        skus = market.spec.skus
        self.action_space = gymnasium.spaces.Box(LOWEST, 1.0, (skus,), np.float64)
        amount = gymnasium.spaces.Box(0.0, np.inf, (skus,), np.float64)
        names = ("units", "price", "stock", "rival", "list_price", "unit_cost")
        week = gymnasium.spaces.Box(0.0, np.inf, (1,), np.float64)
        self.observation_space = gymnasium.spaces.Dict(
            {"week": week, **dict.fromkeys(names, amount)}
        )

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Floats], dict[str, Any]]:
        """Shelves full, rivals near the list price; the seed decides who comes to buy."""
        super().reset(seed=seed)
        self._state = self.market.opening()
        self._units = self._state.sold
        return self._seen(), {}

    def step(self, action: Floats) -> tuple[dict[str, Floats], float, bool, bool, dict[str, Any]]:
        """One week at these prices, without display or mailer."""
        price = np.clip(action, LOWEST, 1.0) * self.market.list_price
        offer = Offer(price, np.zeros(self.market.spec.skus, bool))
        self._state, totals = self.market.trade(self._state, offer, self.np_random)
        self._units = totals.units.astype(float)
        profit = float(((price - self.market.unit_cost) * self._units).sum())
        return self._seen(), profit, False, self._state.week >= self.weeks, {}

    def _seen(self) -> dict[str, Floats]:
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
