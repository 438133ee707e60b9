"""The policies that Pricebook is compared with."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.profit.shop import HISTORY, Floats, Ints, Policy, Shop, Trajectory
from pricebook.simulation.market import Offer, State

MARKUPS = np.arange(1.2, 3.01, 0.1)


def marked_up(shop: Shop, markup: float) -> Policy:
    price = shop.snap(shop.cost * markup)
    return lambda week, state, usual_offer, trajectory: price


def cost_plus(shop: Shop) -> Policy:
    """The average mark-up of the shop's usual prices."""
    charged = np.array([week.offer.price for week in shop.history], float)
    return marked_up(shop, float((charged / shop.cost).mean()))


def greedy(shop: Shop) -> Policy:
    """The most profitable rung of each sku by a LightGBM demand model, without substitution."""
    from lightgbm import LGBMRegressor

    count, listed = shop.market.spec.skus, shop.market.list_price
    units = np.array([week.totals.units for week in shop.history], float)
    rows = [
        _features(shop, week, np.asarray(week_.offer.price), week_.offer, units[:week])
        for week, week_ in enumerate(shop.history)
        if week >= 4
    ]
    model = LGBMRegressor(
        objective="tweedie", n_estimators=300, learning_rate=0.05, verbosity=-1, n_jobs=1
    )
    model.fit(pd.concat(rows), units[4:].ravel())

    def decide(week: int, state: State, usual_offer: Offer, trajectory: Trajectory) -> Ints:
        past, price = shop.recent(trajectory, "units", 4), listed.copy()
        width = max(map(len, shop.rungs))
        options = np.array([np.resize(rungs, width) for rungs in shop.rungs])
        inputs = _features(shop, HISTORY + week, options.T, usual_offer, past)
        forecast = np.asarray(model.predict(inputs)).reshape(width, count).T
        profit = (options - shop.cost[:, None]) * forecast
        price[:] = options[np.arange(count), profit.argmax(axis=1)]
        return price

    return decide


def _features(
    shop: Shop, week: int, price: Floats | Ints, offer: Offer, past: Floats
) -> pd.DataFrame:
    """The inputs of the demand model for all skus of a week at prices [n] or [k, n].

    Returns:
        k x n rows, the skus of the first prices first.
    """
    count, angle = shop.market.spec.skus, 2 * np.pi * week / 52
    times = np.size(price) // count
    columns = {
        "sku": np.arange(count),
        "category": shop.market.category,
        "price": np.ravel(price) / np.tile(shop.market.list_price, times),
        "display": np.broadcast_to(offer.display, count).astype(float),
        "mailer": np.broadcast_to(offer.mailer, count).astype(float),
        "last": past[-1],
        "mean": past[-4:].mean(axis=0),
        "sin": np.full(count, np.sin(angle)),
        "cos": np.full(count, np.cos(angle)),
    }
    frame = pd.DataFrame({k: v if k == "price" else np.tile(v, times) for k, v in columns.items()})
    return frame.astype({"sku": _codes(count), "category": _codes(shop.market.spec.categories)})


def _codes(count: int) -> pd.CategoricalDtype:
    return pd.CategoricalDtype(range(count))


def thompson(shop: Shop) -> Policy:
    """Thompson sampling: the best price for one draw from each sku's Bayesian linear demand curve.

    Besbes & Zeevi 2015, "On the (surprising) sufficiency of linear models for dynamic pricing with
    demand learning", Management Science 61(4); Russo et al. 2018, "A tutorial on Thompson
    sampling".
    """
    rng, listed = np.random.default_rng([shop.seed, 8]), shop.market.list_price
    weeks = len(shop.history)
    scale = np.array([week.totals.units for week in shop.history], float).mean(axis=0) + 1e-9

    def decide(week: int, state: State, usual_offer: Offer, trajectory: Trajectory) -> Ints:
        price = shop.recent(trajectory, "price", weeks + week) / listed
        units = shop.recent(trajectory, "units", weeks + week) / scale
        target = np.empty(len(listed))
        for sku in range(len(listed)):
            design = np.column_stack([np.ones(len(price)), -price[:, sku]])
            precision = design.T @ design + np.diag([0.1, 0.1])
            mean = np.linalg.solve(precision, design.T @ units[:, sku] + [0.3, 0.2])
            noise = max(float(np.var(units[:, sku] - design @ mean)), 1e-6)
            level, slope = rng.multivariate_normal(mean, noise * np.linalg.inv(precision))
            cost = shop.cost[sku] / listed[sku]
            target[sku] = (level / slope + cost) / 2 if slope > 0 else 1.0
        return shop.snap(target * listed)

    return decide
