"""How a model pair would have done in periods it has not seen."""

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
PLANNED = [*SERIES, "period", "price", "display", "mailer", "promotion"]


@dataclass(frozen=True)
class HeldOut:
    """A panel cut in two: what a model may learn from, and the periods it is judged on."""

    history: pd.DataFrame
    actual: pd.DataFrame

    @property
    def planned(self) -> pd.DataFrame:
        """The held-out periods without what only hindsight knows."""
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


def hold_out(panel: pd.DataFrame, horizon: int) -> HeldOut:
    """Hold out the last `horizon` periods of a panel.

    Raises:
        EmptyHistory: nothing would be left to learn from.
    """
    periods = np.sort(panel["period"].unique())
    if len(periods) <= 2 * horizon:
        raise EmptyHistory(
            f"train.horizon holds out {horizon} periods and needs as many again before them. "
            f"Received: {len(periods)} periods"
        )
    is_history = panel["period"] < periods[-horizon]
    return HeldOut(
        panel[is_history].reset_index(drop=True), panel[~is_history].reset_index(drop=True)
    )


def largest(history: pd.DataFrame, count: int | None) -> pd.DataFrame:
    """The keys of the `count` series with most units; of all where `count` is None."""
    units = history.groupby(SERIES, as_index=False)["units"].sum()
    ranked = units.sort_values(["units", *SERIES], ascending=[False, True, True])
    return ranked.head(count or len(ranked))[SERIES]


def paired(forecast: pd.DataFrame, held: HeldOut, count: int | None) -> pd.DataFrame:
    """Forecast and actual units side by side, for the largest series."""
    actual = held.actual[[*SERIES, "period", "units", "department"]]
    return forecast.merge(actual, on=[*SERIES, "period"]).merge(
        largest(held.history, count), on=SERIES
    )


def demand_metrics(forecast: pd.DataFrame, held: HeldOut, count: int | None) -> dict[str, float]:
    """Held-out error, bias and calibration of a forecast, beside the four-period mean's error."""
    horizon = held.actual["period"].nunique()
    both = paired(forecast, held, count)
    naive = paired(four_period_mean(held.history, horizon), held, count)
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
        "wape_all": _wape(paired(forecast, held, None)),
    }


def department_wape(forecast: pd.DataFrame, held: HeldOut, count: int | None) -> pd.DataFrame:
    """Error by department: columns department, units, wape."""
    both = paired(forecast, held, count)
    both["error"] = (both["mean"] - both["units"]).abs()
    sums = both.groupby("department", dropna=False, as_index=False)[["units", "error"]].sum()
    sums["wape"] = sums["error"] / sums["units"].clip(lower=1)
    return sums[["department", "units", "wape"]]


def _wape(both: pd.DataFrame) -> float:
    return metrics.wape(both["units"].to_numpy(float), both["mean"].to_numpy(float))


def response_metrics(elasticities: pd.DataFrame, summary: Summary) -> dict[str, float]:
    """What the response model says of the shop: its elasticities, their spread and signs."""
    everyone = elasticities[elasticities["segment"] == "everyone"]
    values = everyone["elasticity"]
    pooled = {
        "elasticity_pooled": summary.pooled,
        "elasticity_pooled_stderr": summary.pooled_stderr,
        "elasticity_without_promotion_controls": summary.pooled_without_promotion_controls,
    }
    return {
        # Undefined where no price moved: every elasticity is then the prior's.
        **(pooled if summary.series_with_evidence else {}),
        "elasticity_mean": float(values.mean()),
        "elasticity_p10": float(values.quantile(0.1)),
        "elasticity_p90": float(values.quantile(0.9)),
        "stderr_median": float(everyone["stderr"].median()),
        "share_negative": float((elasticities["elasticity"] < 0).mean()),
        "segments_with_own_elasticity": float(len(with_own_elasticity(elasticities))),
    }


def as_model_input(held: HeldOut) -> pd.DataFrame:
    """History and plan in one frame, as the registered model takes it; a plan has no units."""
    return pd.concat([held.planned.assign(units=np.nan), held.history], ignore_index=True)
