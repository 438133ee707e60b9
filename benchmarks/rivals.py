"""The forecasts that an expert would use otherwise: AutoETS and LightGBM, each by its own library.

Each takes a history and a plan with the columns that `models.demand.model` reads (sku, zone,
period, units, price, display, mailer, …; the plan has no units) and returns sku, zone, period and
its forecast. LightGBM's settings were chosen on cut-offs 28 to 40, as Pricebook's were.
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
    """statsforecast's AutoETS, a model a series; a year of weeks is too short for a season."""
    from statsforecast import StatsForecast
    from statsforecast.models import AutoETS

    rival = StatsForecast(models=[AutoETS(season_length=1, alias="mean")], freq="7D", n_jobs=2)
    forecast = rival.forecast(df=_long(history, ()), h=plan["period"].nunique())
    return _ours(forecast, plan)


def lightgbm(history: pd.DataFrame, plan: pd.DataFrame, known: Sequence[str]) -> pd.DataFrame:
    """One global LightGBM through mlforecast, recursive, Tweedie; `known` of the plan is read."""
    from lightgbm import LGBMRegressor
    from mlforecast import MLForecast
    from mlforecast.lag_transforms import RollingMean

    with _warnings_of_theirs_ignored():
        rival = MLForecast(
            models={"mean": LGBMRegressor(objective="tweedie", **TREES)},
            freq="7D",
            lags=list(LAGS),
            lag_transforms={1: [RollingMean(size) for size in WINDOWS]},
        )
        rival.fit(_long(history, (*known, *STATIC)), static_features=list(STATIC))
        ahead = _long(plan.assign(units=0), known).drop(columns="y") if known else None
        return _ours(rival.predict(plan["period"].nunique(), X_df=ahead), plan)


def lightgbm_quantiles(
    history: pd.DataFrame, plan: pd.DataFrame, known: Sequence[str], quantiles: Sequence[float]
) -> pd.DataFrame:
    """A LightGBM for each quantile, direct: lags as of the origin, the period's plan, the step.

    A recursive quantile would be a quantile of a quantile; the columns are sorted where they cross.
    """
    from lightgbm import LGBMRegressor

    horizon = plan["period"].nunique()
    whole = pd.concat([history, plan.assign(units=np.nan)], ignore_index=True).sort_values(KEY)
    rows = pd.concat([_features_at(whole, known, step) for step in range(1, horizon + 1)])
    train = rows[rows["units"].notna() & rows["lag8"].notna()]
    # From the last origin alone, each step's lags are those of the history's end.
    ahead = rows[rows["units"].isna() & (rows["step"] == rows["ahead"])].sort_values(KEY)
    inputs = [c for c in rows if c not in (*KEY, "units", "ahead")]
    for level in quantiles:
        model = LGBMRegressor(objective="quantile", alpha=level, **TREES)
        model.fit(train[inputs], train["units"])
        ahead[f"q{round(100 * level):02d}"] = model.predict(ahead[inputs])
    names = [f"q{round(100 * level):02d}" for level in quantiles]
    ahead[names] = np.sort(np.maximum(ahead[names].to_numpy(), 0), axis=1)
    return ahead.assign(mean=ahead["q50"])[[*KEY, "mean", *names]]


def _features_at(whole: pd.DataFrame, known: Sequence[str], step: int) -> pd.DataFrame:
    """Every row with its lags as of `step` periods before it; `ahead` counts into the plan."""
    units = whole.groupby(["sku", "zone"])["units"]
    features = {f"lag{lag}": units.shift(step + lag - 1) for lag in LAGS}
    for size in WINDOWS:
        shifted = units.shift(step).groupby([whole["sku"], whole["zone"]])
        features[f"mean{size}"] = shifted.transform(lambda s, n=size: s.rolling(n).mean())
    labels = {name: whole[name].astype("category") for name in STATIC}
    planned = whole["units"].isna()
    ahead = planned.groupby([whole["sku"], whole["zone"]]).cumsum()
    columns = whole[[*KEY, "units", *known]]
    return columns.assign(**features, **labels, step=step, ahead=ahead.where(planned, 0))


def _long(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """unique_id, ds, y and columns, as Nixtla's libraries read them."""
    renamed = frame.rename(columns={"sku": "unique_id", "period": "ds", "units": "y"})
    kept = renamed[["unique_id", "ds", "y", *columns]]
    labels = {name: kept[name].astype("category") for name in columns if name in STATIC}
    return kept.assign(**labels).sort_values(["unique_id", "ds"], ignore_index=True)


def _ours(forecast: pd.DataFrame, plan: pd.DataFrame) -> pd.DataFrame:
    named = forecast.rename(columns={"unique_id": "sku", "ds": "period"})
    return plan[KEY].merge(named[["sku", "period", "mean"]], on=["sku", "period"], validate="1:1")


@contextmanager
def _warnings_of_theirs_ignored() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
