"""What a shop would otherwise forecast with: last season again, the last periods' mean, AutoETS.

Each takes a panel up to the origin and returns sku, zone, period, step and mean, as
`DemandModel.forecast` does.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from models.demand import grid as dense

SEASON = {"D": 7, "7D": 52, "MS": 12}  # periods after which demand repeats, by grain
LONGEST_ETS_SEASON = 24  # beyond it exponential smoothing has more states than it can learn


def seasonal_naive(history: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """The same period of the last season; the last period where no whole season is known.

    >>> days = pd.date_range("2024-01-01", periods=8)
    >>> week = pd.DataFrame({"sku": "a", "zone": "all", "period": days, "units": range(8)})
    >>> week = week.assign(price=1.0, display=0.0, mailer=0.0, promotion=0.0)
    >>> seasonal_naive(week, 2)["mean"].tolist()
    [2.0, 3.0]
    """
    grid = dense.to_grid(history)
    season = SEASON[dense.grain_of(grid.periods)]
    back = season if grid.shape[1] >= season else 1
    steps = np.arange(horizon) % back - back
    return _told(grid, horizon, grid.units[:, grid.shape[1] + steps])


def four_period_mean(history: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """The mean of each series' last four periods, repeated over the horizon."""
    grid = dense.to_grid(history)
    mean = np.repeat(grid.units[:, -4:].mean(axis=1)[:, None], horizon, axis=1)
    return _told(grid, horizon, mean)


def auto_ets(history: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """Exponential smoothing, chosen for each series (Hyndman et al. 2002, IJF 18(3)), by
    statsforecast; seasonal where two seasons are known and one has at most 24 periods."""
    from statsforecast import StatsForecast
    from statsforecast.models import AutoETS

    grid = dense.to_grid(history)
    grain = dense.grain_of(grid.periods)
    season = SEASON[grain]
    if season > LONGEST_ETS_SEASON or grid.shape[1] < 2 * season:
        season = 1
    known = pd.DataFrame(
        {
            "unique_id": np.repeat(np.arange(len(grid.keys)), grid.shape[1]),
            "ds": np.tile(grid.periods, len(grid.keys)),
            "y": grid.units.ravel().astype(float),
        }
    )
    models = [AutoETS(season_length=season, alias="mean")]
    told = StatsForecast(models=models, freq=grain, n_jobs=2).forecast(df=known, h=horizon)
    told = told.sort_values(["unique_id", "ds"])
    return _told(grid, horizon, np.maximum(told["mean"].to_numpy().reshape(-1, horizon), 0))


def _told(grid: dense.Grid, horizon: int, mean: np.ndarray) -> pd.DataFrame:
    frame = dense.long_frame(grid.keys, dense.after(grid.periods, horizon))
    return frame.assign(mean=np.asarray(mean, np.float64).ravel())
