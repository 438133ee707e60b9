"""Baseline forecasts: four-period mean, seasonal naive and AutoETS. They need no TensorFlow.

Each takes a panel up to the origin and returns sku, zone, period, step and mean, as
`DemandModel.forecast` does.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.demand.grid import Grid, grain_of, long_frame, next_periods, to_grid

SEASON = {"D": 7, "7D": 52, "MS": 12}  # periods per season, by grain
LONGEST_ETS_SEASON = 24  # a longer season has more states than exponential smoothing can estimate


def four_period_mean(history: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """The mean of each series' last four periods, repeated over the horizon."""
    grid = to_grid(history)
    mean = grid.units[:, -4:].mean(axis=1)
    return _frame(grid, horizon, np.repeat(mean[:, None], horizon, axis=1))


def seasonal_naive(history: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """The same period of the last season, or the last period if the history has no whole season.

    >>> days = pd.date_range("2024-01-01", periods=8)
    >>> week = pd.DataFrame({"sku": "a", "zone": "all", "period": days, "units": range(8)})
    >>> week = week.assign(price=1.0, display=0.0, mailer=0.0, promotion=0.0)
    >>> seasonal_naive(week, 2)["mean"].tolist()
    [1.0, 2.0]
    """
    grid = to_grid(history)
    season = SEASON[grain_of(grid.periods)]
    lag = season if grid.shape[1] >= season else 1
    steps = np.arange(horizon) % lag - lag
    return _frame(grid, horizon, grid.units[:, grid.shape[1] + steps])


def auto_ets(history: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """Exponential smoothing with components chosen per series, by statsforecast.

    Seasonal if the history has two seasons and a season has at most 24 periods. Hyndman, Koehler,
    Snyder and Grose (2002), "A state space framework for automatic forecasting", IJF 18(3).
    """
    from statsforecast import StatsForecast
    from statsforecast.models import AutoETS

    grid = to_grid(history)
    grain = grain_of(grid.periods)
    season = SEASON[grain]
    if season > LONGEST_ETS_SEASON or grid.shape[1] < 2 * season:
        season = 1
    panel = pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(len(grid.keys)), grid.shape[1]),
            "ds": np.tile(grid.periods, len(grid.keys)),
            "y": grid.units.ravel().astype(float),
        }
    )
    models = [AutoETS(season_length=season, alias="mean")]
    forecast = StatsForecast(models=models, freq=grain, n_jobs=2).forecast(df=panel, h=horizon)
    forecast = forecast.sort_values(["unique_id", "ds"])
    return _frame(grid, horizon, np.maximum(forecast["mean"].to_numpy().reshape(-1, horizon), 0))


def _frame(grid: Grid, horizon: int, mean: np.ndarray) -> pd.DataFrame:
    frame = long_frame(grid.keys, next_periods(grid.periods, horizon))
    return frame.assign(mean=np.asarray(mean, np.float64).ravel())
