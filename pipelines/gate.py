"""gate: judge a challenger pair against the champion on the same held-out periods and data."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from pipelines import lineage
from pipelines.train import panel
from pricebook.config import Gate, Params, Settings
from pricebook.errors import RegistryError
from pricebook.files import write_json
from pricebook.verdict import GateCheck, Verdict, at_least, at_most

if TYPE_CHECKING:
    from models.demand.model import DemandModel
    from models.evaluation.holdout import HeldOut
    from models.evaluation.profit import Market
    from models.registry import Registry
    from models.response.model import ResponseModel

log = logging.getLogger("pricebook.gate")


@dataclass(frozen=True)
class Pair:
    """A demand and a response model with what they say of the held-out periods."""

    demand: DemandModel
    response: ResponseModel
    exported: Path
    metrics: Mapping[str, float]
    departments: pd.DataFrame
    prices: np.ndarray  # (series,) its own, within the guardrails


def challengers(settings: Settings) -> dict[str, str]:
    """The newest version of each model, to be judged.

    Raises:
        RegistryError: a model was never trained.
    """
    from models.registry import MODELS, Registry

    registry = Registry(settings)
    return {name: registry.newest(name) for name in MODELS}


def gate(
    as_of: date, params: Params, settings: Settings, versions: Mapping[str, str]
) -> dict[str, Any]:
    """Judge `versions` (model name to version; the champion's where one is left out).

    Returns:
        the verdict as plain values; it is also in the ledger and on the MLflow model versions.
    """
    from ledger import clock, open_ledger, record_verdict
    from models.registry import CHAMPION, Registry

    registry = Registry(settings)
    champion = registry.aliased(CHAMPION)
    challenger = {**champion, **versions}
    if len(challenger) < 2:
        raise RegistryError(f"A pair needs a demand and a response model. Received: {challenger}")
    held = _held_out(as_of, params, settings)
    verdict = Verdict(
        id=_identity(as_of, challenger, champion),
        as_of=str(as_of),
        data=lineage.versions(settings),
        held_out=(str(held.start), str(held.end)),
        challenger=challenger,
        champion=champion,
        checks=_checks(as_of, params, settings, held, registry, challenger, champion),
    ).as_dict()
    record_verdict(open_ledger(settings.ledger), verdict, created_at=clock.now())
    for name, version in challenger.items():
        registry.tag(name, version, {"verdict": "passed" if verdict["passed"] else "refused"})
    write_json(settings.report("gate"), verdict)
    for line in verdict["refusals"] or ["every check passed"]:
        log.info("Verdict %s: %s", verdict["id"], line)
    return verdict


def _identity(as_of: date, challenger: Mapping[str, str], champion: Mapping[str, str]) -> str:
    first, second = (
        "-".join(f"{k[0]}{v}" for k, v in sorted(p.items())) for p in (challenger, champion)
    )
    return f"{as_of}_{first}_vs_{second or 'none'}"


def _held_out(as_of: date, params: Params, settings: Settings) -> HeldOut:
    from models.evaluation.holdout import hold_out

    return hold_out(panel(as_of, params, settings), params.train.horizon)


def _checks(
    as_of: date,
    params: Params,
    settings: Settings,
    held: HeldOut,
    registry: Registry,
    challenger: Mapping[str, str],
    champion: Mapping[str, str],
) -> tuple[GateCheck, ...]:
    from models.evaluation.profit import market

    book = pd.read_parquet(settings.features / "price_book.parquet")
    judge = market(held, book, params.train.response.folds)
    with tempfile.TemporaryDirectory(prefix="pricebook-gate-") as scratch:

        def load(versions: Mapping[str, str], role: str) -> Pair:
            return _load(versions, registry, Path(scratch) / role, held, judge, params)

        new = load(challenger, "challenger")
        old = load(champion, "champion") if champion else None
        return (
            *_forecast_checks(new, old, params.gate),
            *_response_checks(new, params.gate),
            _price_response_check(new, old, judge, params.gate),
            _profit_check(new, old, judge, params),
            *_department_checks(new, old, params.gate),
            _parity_check(as_of, params, settings),
        )


def _load(
    versions: Mapping[str, str],
    registry: Registry,
    folder: Path,
    held: HeldOut,
    market: Market,
    params: Params,
) -> Pair:
    from models.demand.model import DemandModel
    from models.evaluation import holdout as backtest
    from models.response.model import ResponseModel

    saved = {name: registry.download(name, versions[name], folder / name) for name in versions}
    demand, response = DemandModel.load(saved["demand"]), ResponseModel.load(saved["response"])
    forecast = demand.forecast(held.history, held.planned)
    count = params.train.demand.max_series
    return Pair(
        demand,
        response,
        saved["response"],
        backtest.demand_metrics(forecast, held, count),
        backtest.department_wape(forecast, held, count),
        market.own_prices(response.elasticities(), response.cross(), params.quote),
    )


def _forecast_checks(new: Pair, old: Pair | None, bars: Gate) -> list[GateCheck]:
    naive = new.metrics["wape_four_period_mean"]
    error = new.metrics["wape"]
    checks = [
        at_most("forecast_beats_naive", error, naive, "forecast error (WAPE) against the naive"),
        at_most("forecast_bias", abs(new.metrics["bias"]), bars.max_bias, "absolute forecast bias"),
        _coverage_check(new.metrics["coverage_80"], bars.coverage_band),
    ]
    if old is not None:
        bar = old.metrics["wape"] * (1 + bars.forecast_margin)
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


def _response_checks(new: Pair, bars: Gate) -> list[GateCheck]:
    from models.export import every_series, export_error
    from models.runtime import ResponseRuntime

    table = new.response.elasticities()
    wrong = (table["elasticity"] >= 0) | ~np.isfinite(table["stderr"])
    error = export_error(
        new.response, ResponseRuntime.load(new.exported), every_series(new.response)
    )
    extreme = float((table["elasticity"] < bars.most_elastic).mean())
    return [
        at_most(
            "elasticity_sign", float(wrong.sum()), 0, "elasticities not below zero, or no error"
        ),
        at_most(
            "elasticity_range",
            extreme,
            bars.max_extreme,
            f"share of elasticities beyond {bars.most_elastic:g}",
        ),
        at_most("export_parity", error, bars.export_tolerance, "export against the Keras original"),
    ]


def _department_checks(new: Pair, old: Pair | None, bars: Gate) -> list[GateCheck]:
    """The department that lost most against the champion; small departments are too noisy."""
    if old is None:
        return []
    large = new.departments[new.departments["units"] >= 0.01 * new.departments["units"].sum()]
    both = large.merge(old.departments, on="department", suffixes=("", "_champion"))
    worst = float((both["wape"] / both["wape_champion"].clip(lower=1e-9)).max())
    what = "the worst department's forecast error, over the champion's there,"
    return [at_most("segment_regression", worst, 1 + bars.segment_margin, what)]


def _price_response_check(new: Pair, old: Pair | None, market: Market, bars: Gate) -> GateCheck:
    """Do its elasticities explain what held-out prices did to held-out units?"""
    error = market.misfit(new.response.elasticities())
    anchor = market.misfit(old.response.elasticities() if old else None)
    ratio = error / anchor if anchor > 0 else 1.0
    against = "the champion's" if old else "that of no response at all"
    what = f"held-out error of the price response over {against}"
    return at_most("price_response", ratio, 1 + (bars.response_margin if old else 0), what)


def _profit_check(new: Pair, old: Pair | None, market: Market, params: Params) -> GateCheck:
    """Refused if it is expected to earn less, or if even the best case of it does."""
    found = market.gain(new.prices, old.prices if old else None, params.train.seed)
    before = market.profit(old.prices) if old else market.status_quo()
    bar = -params.gate.profit_margin * abs(float(before.sum()))
    against = "the champion's prices" if old else "the prices charged"
    what = f"backtested profit over {against}, in minor units"
    check = at_least("backtested_profit", found.mean, bar, what)
    interval = f"90 % of {found.low:.4g} to {found.high:.4g}, whose end must be at least 0"
    return replace(
        check,
        passed=check.passed and found.high >= 0,
        low=found.low,
        high=found.high,
        reason=f"{check.reason}; {interval}",
    )


def _parity_check(as_of: date, params: Params, settings: Settings) -> GateCheck:
    from pipelines.checks.parity import parity
    from pipelines.materialize import open_store

    sample = params.gate.parity_sample
    found = parity(open_store(settings), as_of, sample, params.train.seed)
    mismatched = float(len(found["mismatched"]))
    what = f"of {found['compared']} values compared, those that differ offline and online"
    return at_most("feature_parity", mismatched, 0, what)
