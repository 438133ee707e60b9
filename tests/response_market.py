"""A small market whose true elasticities are known, and quick fits of the response model to it.

The market is confounded: a promotion cuts the price and also nearly triples demand by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from pricebook.config import Response

PERIODS, SKUS = 80, 60
CATEGORY_ELASTICITY = (-1.0, -2.5)
SEGMENT_DEVIATION = {"deal seeker": -0.6, "regular": 0.6}


@dataclass(frozen=True)
class Market:
    panel: pd.DataFrame
    segments: pd.DataFrame
    truth: pd.Series


def simulate(seed: int = 3) -> Market:
    random = np.random.default_rng(seed)
    category = np.arange(SKUS) % 2
    truth = np.array(CATEGORY_ELASTICITY)[category] + random.normal(0, 0.2, SKUS)
    promoted = random.random((SKUS, PERIODS)) < 0.2
    log_price = -0.25 * promoted + random.normal(0, 0.08, promoted.shape)
    season = 0.3 * np.sin(np.arange(PERIODS) / 8)
    lift = 1.0 * promoted + season + random.normal(0, 0.1, promoted.shape)
    base = np.log(random.uniform(20, 60, (SKUS, 1)))
    frames = []
    for deviation in SEGMENT_DEVIATION.values():
        rate = np.exp(base + (truth[:, None] + deviation) * log_price + lift) / 2
        frames.append(random.poisson(rate))
    grid = _grid(log_price, promoted, category)
    panel = grid.assign(units=sum(frames).ravel())
    segments = pd.concat(
        grid[["sku", "zone", "period", "price"]].assign(segment=name, units=units.ravel())
        for name, units in zip(SEGMENT_DEVIATION, frames, strict=True)
    )
    return Market(panel, segments, pd.Series(truth, sorted(panel["sku"].unique())))


def _grid(log_price, promoted, category) -> pd.DataFrame:
    sku = np.repeat(np.arange(SKUS), PERIODS)
    first = pd.Timestamp("2025-01-06")
    weeks = [(first + pd.Timedelta(weeks=week)).date() for week in range(PERIODS)]
    share = promoted.ravel().astype(float)
    return pd.DataFrame(
        {
            "sku": [f"sku{number:03d}" for number in sku],
            "zone": "all",
            "period": weeks * SKUS,
            "price": 500 * np.exp(log_price.ravel()),
            "display": share,
            "mailer": 0.0,
            "promotion": share,
            "department": "GROCERY",
            "category": np.where(category[sku] == 0, "staples", "treats"),
            "product_type": np.where(category[sku] == 0, "rice", "biscuits"),
        }
    )


NO_SEGMENTS = pd.DataFrame(columns=["sku", "zone", "segment", "period", "units", "price"])


def quick_fit(panel, segments=NO_SEGMENTS, **params):
    from models.response.model import fit

    return fit(panel, segments, Response(epochs=60, **params), 7)
