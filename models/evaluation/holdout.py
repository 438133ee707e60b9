"""Held-out periods, and the metrics of models on them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.demand.baselines import four_period_mean
from models.response.segments import with_own_elasticity
from pricebook import metrics
from pricebook.errors import EmptyHistory

if TYPE_CHECKING:
    from models.response.tables import Summary

Floats = NDArray[np.float64]

SERIES = ["sku", "zone"]
HALVES = ["units_a", "price_a", "units_b", "price_b"]  # read by the response model only
PLANNED = [*SERIES, "period", "price", "display", "mailer", "promotion"]


@dataclass(frozen=True)
class Holdout:
    """A panel split in time.

    Attributes:
        history: the rows to train on.
        actual: the rows of the held-out periods.
    """

    history: pd.DataFrame
    actual: pd.DataFrame

    @property
    def planned(self) -> pd.DataFrame:
        """The held-out periods with what is known in advance: prices and promotions, no units."""
        return self.actual[PLANNED]

    @property
    def start(self) -> date:
        """The first held-out period."""
        return self._day("min")

    @property
    def end(self) -> date:
        """The last held-out period."""
        return self._day("max")

    def _day(self, which: str) -> date:
        return date.fromisoformat(str(self.actual["period"].agg(which))[:10])


def hold_out(panel: pd.DataFrame, horizon: int) -> Holdout:
    """Hold out the last `horizon` periods of a panel.

    Raises:
        EmptyHistory: the history would not be longer than the horizon.
    """
    periods = np.sort(panel["period"].unique())
    if len(periods) <= 2 * horizon:
        raise EmptyHistory(
            f"train.horizon holds out {horizon} periods and needs more than that before them. "
            f"{_shorter(len(periods))}. Received: {len(periods)} periods"
        )
    is_history = panel["period"] < periods[-horizon]
    return Holdout(
        panel[is_history].reset_index(drop=True), panel[~is_history].reset_index(drop=True)
    )


def _shorter(periods: int) -> str:
    """The advice for a history that is too short for the horizon."""
    longest = (periods - 2) // 2  # the demand model also needs two periods before its first target
    return (
        f"Set it to {longest} or less" if longest > 0 else "Wait for at least 4 periods of orders"
    )


def best_sellers(history: pd.DataFrame, count: int | None) -> pd.DataFrame:
    """sku and zone of the `count` series with most units; of all series if `count` is None."""
    units = history.groupby(SERIES, as_index=False)["units"].sum()
    ranked = units.sort_values(["units", *SERIES], ascending=[False, True, True])
    return ranked.head(count or len(ranked))[SERIES]


def with_actual(forecast: pd.DataFrame, held: Holdout, count: int | None) -> pd.DataFrame:
    """Join a forecast with actual units and department, for the `count` best sellers."""
    actual = held.actual[[*SERIES, "period", "units", "department"]]
    return forecast.merge(actual, on=[*SERIES, "period"]).merge(
        best_sellers(held.history, count), on=SERIES
    )


def demand_metrics(forecast: pd.DataFrame, held: Holdout, count: int | None) -> dict[str, float]:
    """Error, bias and coverage of a forecast, and the error of the four-period mean.

    The figures are of the `count` best sellers; only `wape_all` is of all series.

    Raises:
        EmptyHistory: nothing was sold in the held-out periods.
    """
    horizon = held.actual["period"].nunique()
    both = with_actual(forecast, held, count)
    if not both["units"].any():
        raise EmptyHistory(
            f"Nothing was sold from {held.start} to {held.end}, the held-out periods, so the "
            "forecast cannot be measured. Refresh with newer orders. Received: 0 units"
        )
    naive = with_actual(four_period_mean(held.history, horizon), held, count)
    y, mean = both["units"].to_numpy(float), both["mean"].to_numpy(float)
    low, high = both["q10"].to_numpy(float), both["q90"].to_numpy(float)
    return {
        "wape": metrics.wape(y, mean),
        "wape_four_period_mean": metrics.wape(
            naive["units"].to_numpy(float), naive["mean"].to_numpy(float)
        ),
        "bias": metrics.bias(y, mean),
        "coverage_80": metrics.coverage(y, low, high),
        "pinball_50": metrics.pinball(y, both["q50"].to_numpy(float), 0.5),
        "wape_all": _wape(with_actual(forecast, held, None)),
    }


def department_wape(forecast: pd.DataFrame, held: Holdout, count: int | None) -> pd.DataFrame:
    """Forecast error of the `count` best sellers by department: department, units, wape."""
    both = with_actual(forecast, held, count)
    both["error"] = (both["mean"] - both["units"]).abs()
    sums = both.groupby("department", dropna=False, as_index=False)[["units", "error"]].sum()
    sums["wape"] = sums["error"] / sums["units"].clip(lower=1)
    return sums[["department", "units", "wape"]]


def _wape(both: pd.DataFrame) -> float:
    return metrics.wape(both["units"].to_numpy(float), both["mean"].to_numpy(float))


def response_metrics(elasticities: pd.DataFrame, summary: Summary) -> dict[str, float]:
    """The level, spread and signs of a response model's elasticities."""
    everyone = elasticities[elasticities["segment"] == "everyone"]
    values = everyone["elasticity"]
    pooled = {
        "elasticity_pooled": summary.pooled,
        "elasticity_pooled_stderr": summary.pooled_stderr,
        "elasticity_without_promotion_controls": summary.pooled_without_promotion_controls,
    }
    correction = {
        "price_reliability": summary.reliability,
        "elasticity_uncorrected": summary.pooled_uncorrected,
    }
    return {
        # Undefined where no price moved: every elasticity is then the prior's.
        **(pooled if summary.series_with_evidence else {}),
        **(correction if summary.corrected else {}),
        "elasticity_mean": float(values.mean()),
        "elasticity_p10": float(values.quantile(0.1)),
        "elasticity_p90": float(values.quantile(0.9)),
        "stderr_median": float(everyone["stderr"].median()),
        "share_negative": float((elasticities["elasticity"] < 0).mean()),
        "segments_with_own_elasticity": float(len(with_own_elasticity(elasticities))),
    }


def as_model_input(held: Holdout) -> pd.DataFrame:
    """History and plan in one frame, the input of the registered model; the plan has null units."""
    history = held.history.drop(columns=HALVES, errors="ignore")
    return pd.concat([held.planned.assign(units=np.nan), history], ignore_index=True)
