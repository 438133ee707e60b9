"""The forecasting methods for comparison: AutoETS and LightGBM, through their own libraries.

Each function takes a history and a plan with the columns that `models.demand.model` reads (sku,
zone, period, units, price, display, mailer, …; the plan has no units). It returns sku, zone, period
and the forecast. The settings of LightGBM were chosen on cut-offs 28 to 40, like those of
Pricebook.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

KEY = ["sku", "zone", "period"]
LAGS, WINDOWS = (1, 2, 3, 4, 8), (4, 8)
STATIC = ("department", "category", "product_type")
TREES: dict[str, Any] = {
    "n_estimators": 400,
    "learning_rate": 0.05,
    "num_leaves": 63,
    "subsample": 0.7,
    "subsample_freq": 1,
    "colsample_bytree": 0.7,
    "verbosity": -1,
    "n_jobs": 2,
    "random_state": 7,
}


def auto_ets(history: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    """statsforecast's AutoETS, one model per series, without a season: one year is too short."""
    from statsforecast import StatsForecast
    from statsforecast.models import AutoETS

    rival = StatsForecast(models=[AutoETS(season_length=1, alias="mean")], freq="7D", n_jobs=2)
    forecast = rival.forecast(df=_long(history, ()), h=plan["period"].nunique())
    return _renamed(forecast, plan)


def lightgbm(history: pd.DataFrame, plan: pd.DataFrame, known: Sequence[str]) -> pd.DataFrame:
    """One global, recursive LightGBM through mlforecast, with Tweedie loss.

    `known` are the columns of the plan that it may read.
    """
    from lightgbm import LGBMRegressor
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean

    with _library_warnings_ignored():
        rival = MLForecast(
            models={"mean": LGBMRegressor(objective="tweedie", **TREES)},
            freq="7D",
            lags=list(LAGS),
            lag_transforms={1: [RollingMean(size) for size in WINDOWS]},
        )
        rival.fit(_long(history, (*known, *STATIC)), static_features=list(STATIC))
        ahead = _long(plan.assign(units=0), known).drop(columns="y") if known else None
        return _renamed(rival.predict(plan["period"].nunique(), X_df=ahead), plan)


def lightgbm_quantiles(
    history: pd.DataFrame, plan: pd.DataFrame, known: Sequence[str], quantiles: Sequence[float]
) -> pd.DataFrame:
    """One direct LightGBM per quantile.

    Its inputs are the lags at the origin, the plan of the period, and the step. The models are not
    recursive, because a recursive one would compute quantiles of quantiles. Quantiles that cross
    are sorted.
    """
    from lightgbm import LGBMRegressor

    horizon = plan["period"].nunique()
    panel = pd.concat([history, plan.assign(units=np.nan)], ignore_index=True).sort_values(KEY)
    rows = pd.concat([_features_at(panel, known, step) for step in range(1, horizon + 1)])
    train = rows[rows["units"].notna() & rows["lag8"].notna()]
    # Forecast from the last origin only: there, a step and its distance into the plan are equal.
    ahead = rows[rows["units"].isna() & (rows["step"] == rows["ahead"])].sort_values(KEY)
    inputs = [c for c in rows if c not in (*KEY, "units", "ahead")]
    for level in quantiles:
        model = LGBMRegressor(objective="quantile", alpha=level, **TREES)
        model.fit(train[inputs], train["units"])
        ahead[f"q{round(100 * level):02d}"] = model.predict(ahead[inputs])
    names = [f"q{round(100 * level):02d}" for level in quantiles]
    ahead[names] = np.sort(np.maximum(ahead[names].to_numpy(), 0), axis=1)
    return ahead.assign(mean=ahead["q50"])[[*KEY, "mean", *names]]


def _features_at(panel: pd.DataFrame, known: Sequence[str], step: int) -> pd.DataFrame:
    """All rows, with the lags that were known `step` periods earlier.

    `ahead` is the number of periods into the plan, 0 in the history.
    """
    units = panel.groupby(["sku", "zone"])["units"]
    features = {f"lag{lag}": units.shift(step + lag - 1) for lag in LAGS}
    for size in WINDOWS:
        shifted = units.shift(step).groupby([panel["sku"], panel["zone"]])
        features[f"mean{size}"] = shifted.transform(lambda s, n=size: s.rolling(n).mean())
    labels = {name: panel[name].astype("category") for name in STATIC}
    planned = panel["units"].isna()
    ahead = planned.groupby([panel["sku"], panel["zone"]]).cumsum()
    columns = panel[[*KEY, "units", *known]]
    return columns.assign(**features, **labels, step=step, ahead=ahead.where(planned, 0))


def _long(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The frame with Nixtla's column names: unique_id, ds, y, and `columns`."""
    renamed = frame.rename(columns={"sku": "unique_id", "period": "ds", "units": "y"})
    selected = renamed[["unique_id", "ds", "y", *columns]]
    labels = {name: selected[name].astype("category") for name in columns if name in STATIC}
    return selected.assign(**labels).sort_values(["unique_id", "ds"], ignore_index=True)


def _renamed(forecast: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    named = forecast.rename(columns={"unique_id": "sku", "ds": "period"})
    return plan[KEY].merge(named[["sku", "period", "mean"]], on=["sku", "period"], validate="1:1")


@contextmanager
def _library_warnings_ignored() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
