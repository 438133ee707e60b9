"""A made-up panel for the tests of the demand model, and small settings to train on it."""

import numpy as np
import pandas as pd

from pricebook.config import Demand

HORIZON = 3
QUANTILES = ["q05", "q10", "q25", "q50", "q75", "q90", "q95"]
SMALL = Demand(context=8, units=16, epochs=10, batch_size=64, learning_rate=0.01)
BRIEF = SMALL.model_copy(update={"epochs": 1, "units": 4})


def market(series=40, periods=40, freq="7D", start="2024-01-01", seed=3):
    """A panel with known demand: elasticity −2, and a mailer that doubles sales."""
    random = np.random.default_rng(seed)
    shape = (series, periods)
    mailer = (random.random(shape) < 0.2).astype(float)
    ratio = np.where(random.random(shape) < 0.25, 0.75, 1.0)
    level = random.uniform(3, 40, (series, 1))
    dates = pd.date_range(start, periods=periods, freq=freq)
    return pd.DataFrame(
        {
            "sku": np.repeat([f"s{i:03d}" for i in range(series)], periods),
            "zone": "all",
            "period": np.tile(dates, series),
            "units": random.poisson(level * ratio**-2.0 * (1 + mailer)).ravel(),
            "price": (ratio * random.uniform(100, 900, (series, 1))).ravel(),
            "display": 0.0,
            "mailer": mailer.ravel(),
            "promotion": mailer.ravel(),
            "department": np.repeat(random.choice(["FOOD", "DRINK"], series), periods),
            "category": np.repeat(random.choice(list("abcd"), series), periods),
        }
    )


def quiet(epoch, losses):
    """An epoch callback that does nothing."""


def split(panel, horizon=HORIZON):
    """History and plan: the panel before its last periods, and those."""
    last = np.sort(panel["period"].unique())[-horizon]
    return panel[panel["period"] < last], panel[panel["period"] >= last]


def figures(frame):
    return frame[["mean", *QUANTILES]].to_numpy()
