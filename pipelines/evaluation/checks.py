"""The gate's checks: each compares one figure of the challengers with its bar."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from models.evaluation import holdout
from models.evaluation.profit import Assessment, Market
from models.export_check import export_error
from models.runtime import ResponseRuntime
from models.stderr import without_messages
from pipelines.evaluation.predictions import ForecastTask, Responses, SavedModels
from pricebook.config import Gate, Params
from pricebook.verdict import GateCheck, at_least, at_most

LITERT_MESSAGE = re.compile(rb"INFO: Created TensorFlow Lite XNNPACK delegate")
LARGE_DEPARTMENT = 0.01  # of all units; the error of a smaller one is mostly noise


@dataclass(frozen=True)
class Pair:
    """A demand and a response model in the held-out periods.

    Attributes:
        responses: the response model's tables.
        exported: the folder of its exported files.
        metrics: of the demand model's forecast, by name.
        departments: its error by department: department, units, wape.
        prices: [series], the prices the pair would charge, within the guardrails.
    """

    responses: Responses
    exported: Path
    metrics: Mapping[str, float]
    departments: pd.DataFrame
    prices: np.ndarray


@dataclass(frozen=True)
class Trial:
    """The challenger pair, the champion pair if there is one, and the market that judges both."""

    challenger: Pair
    champion: Pair | None
    market: Market
    params: Params

    @property
    def bars(self) -> Gate:
        return self.params.gate


@dataclass(frozen=True)
class Judge:
    """Measures pairs of models on the same held-out periods and market."""

    task: ForecastTask
    market: Market
    params: Params
    saved: SavedModels

    def trial(self, challenger: Mapping[str, str], champion: Mapping[str, str]) -> Trial:
        """Measure both pairs, given as model name to version; `champion` is empty before the first.

        The challenger's training recorded the forecasts of the champion of that day.
        """
        old = self._pair(champion, challenger["demand"]) if champion else None
        return Trial(self._pair(challenger), old, self.market, self.params)

    def _pair(self, versions: Mapping[str, str], recorder: str | None = None) -> Pair:
        forecasts = self.saved.forecasts(versions["demand"], self.task, recorder)
        responses = self.saved.responses(versions["response"])
        held, count = self.task.held_out, self.params.train.demand.max_series
        return Pair(
            responses,
            self.saved.files("response", versions["response"]),
            holdout.demand_metrics(forecasts.held_out, held, count),
            holdout.department_wape(forecasts.held_out, held, count),
            self.market.own_prices(responses.elasticities, responses.cross, self.params.quote),
        )


def model_checks(trial: Trial) -> tuple[GateCheck, ...]:
    """Every check of the models; those that compare with a champion only where there is one."""
    return (
        *_forecast_checks(trial),
        *_response_checks(trial),
        _price_response_check(trial),
        _profit_check(trial),
        *_department_checks(trial),
    )


def _forecast_checks(trial: Trial) -> list[GateCheck]:
    metrics, bars = trial.challenger.metrics, trial.bars
    error, naive, bias = metrics["wape"], metrics["wape_four_period_mean"], abs(metrics["bias"])
    checks = [
        at_most("forecast_beats_naive", error, naive, "forecast error (WAPE) against the naive"),
        at_most("forecast_bias", bias, bars.max_bias, "absolute forecast bias"),
        _coverage_check(metrics["coverage_80"], bars.coverage_band),
    ]
    if trial.champion is not None:
        bar = trial.champion.metrics["wape"] * (1 + bars.forecast_margin)
        what = "forecast error (WAPE) against the champion's and its margin"
        checks.append(at_most("forecast_error", error, bar, what))
    return checks


def _coverage_check(coverage: float, band: tuple[float, float]) -> GateCheck:
    low, high = band
    return GateCheck(
        "interval_coverage",
        low <= coverage <= high,
        coverage,
        low if coverage < (low + high) / 2 else high,
        f"the 80 % interval covers {coverage:.1%}, must be within {low:.0%} and {high:.0%}",
    )


def _response_checks(trial: Trial) -> list[GateCheck]:
    pair, bars = trial.challenger, trial.bars
    table = pair.responses.elasticities
    wrong = float((~(table["elasticity"] < 0) | ~np.isfinite(table["stderr"])).sum())
    extreme = float((table["elasticity"] < bars.most_elastic).mean())
    share = f"share of elasticities beyond {bars.most_elastic:g}"
    with without_messages(LITERT_MESSAGE):
        error = export_error(pair.responses.keras_outputs, ResponseRuntime.load(pair.exported))
    export = "largest relative difference between the exported and the Keras model"
    return [
        at_most("elasticity_sign", wrong, 0, "elasticities not below zero or without an error"),
        at_most("elasticity_range", extreme, bars.max_extreme, share),
        at_most("export_parity", error, bars.export_tolerance, export),
    ]


def _price_response_check(trial: Trial) -> GateCheck:
    """Do the elasticities explain how held-out units moved with held-out prices?"""
    champion, market = trial.champion, trial.market
    error = market.misfit(trial.challenger.responses.elasticities)
    anchor = market.misfit(champion.responses.elasticities if champion else None)
    ratio = error / anchor if anchor else 1.0  # a NaN fails
    margin = trial.bars.response_margin if champion else 0
    against = "the champion's" if champion else "that of no response at all"
    what = f"held-out error of the price response over {against}"
    return at_most("price_response", ratio, 1 + margin, what)


def _profit_check(trial: Trial) -> GateCheck:
    """Refuse a pair that is expected to earn less, or that earns less even in its best case.

    Profit is long-run profit (`pricebook.pricing.objective`). The reason also has the short run.
    """
    champion, market = trial.champion, trial.market
    anchor = champion.prices if champion else None
    judged = market.assess(trial.challenger.prices, anchor, trial.params.train.seed)
    gain, bar = judged.long_run, 0.0 - trial.bars.profit_margin * abs(judged.profit)
    against = "the champion's prices" if champion else "the prices charged"
    what = f"backtested long-run profit over {against}, in minor units"
    if not len(market.listings):
        what += " (no series has a known cost, so nothing is judged)"
    check = at_least("backtested_profit", gain.mean, bar, what)
    figures = profit_figures(judged)
    return replace(
        check,
        passed=check.passed and gain.high >= 0,
        low=gain.low,
        high=gain.high,
        reason=f"{check.reason}; its 90 % interval must reach 0: {_in_words(figures)}",
        figures=figures,
    )


def profit_figures(judged: Assessment) -> dict[str, float]:
    """The changes in profit and units, relative to those at the prices compared with."""
    scale = abs(judged.profit) or 1.0
    gains = {"long_run": judged.long_run, "short_run": judged.short_run}
    return {
        **{
            f"{name}_{end}": getattr(gain, end) / scale
            for name, gain in gains.items()
            for end in ("mean", "low", "high")
        },
        "units": judged.units,
    }


def _in_words(figures: Mapping[str, float]) -> str:
    long_run, short_run = (
        f"{figures[f'{name}_mean']:+.1%} "
        f"({figures[f'{name}_low']:+.1%} to {figures[f'{name}_high']:+.1%})"
        for name in ("long_run", "short_run")
    )
    return f"long run {long_run}, short run {short_run}, units {figures['units']:+.1%}"


def _department_checks(trial: Trial) -> list[GateCheck]:
    """The department whose error rose most against the champion's."""
    if trial.champion is None:
        return []
    new, old = trial.challenger.departments, trial.champion.departments
    large = new[new["units"] >= LARGE_DEPARTMENT * new["units"].sum()]
    both = large.merge(old, on="department", suffixes=("", "_champion"))
    worst = float((both["wape"] / both["wape_champion"].clip(lower=1e-9)).max())
    what = "the worst department's forecast error, over the champion's there,"
    return [at_most("segment_regression", worst, 1 + trial.bars.segment_margin, what)]
