"""The gate's decision: a list of checks with their figures, all of which must pass."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

NEXT_STEPS = {
    "forecast_beats_naive": (
        "Train on more history, or raise train.demand.epochs. If single periods sell very little, "
        "use a coarser shop.grain."
    ),
    "forecast_bias": (
        "Check that the held-out periods are complete and that the promotions table covers them, "
        "then train again. If the history is short, wait for more of it."
    ),
    "interval_coverage": (
        "Train on more history or more series, so that the intervals can be calibrated; or widen "
        "gate.coverage_band."
    ),
    "forecast_error": (
        "Train again when there is more data; until then the champion forecasts better. Or raise "
        "gate.forecast_margin."
    ),
    "elasticity_sign": (
        "Elasticities are negative by construction, so the model is damaged: train response again."
    ),
    "elasticity_range": (
        "Check the prices and quantities of the most elastic series, and give the promotions table "
        "if the shop has promotions."
    ),
    "export_parity": "The exported files are of another model: train response again.",
    "price_response": (
        "Give the promotions table if the shop has promotions, or train on more history with price "
        "changes. Against a champion, gate.response_margin can be raised."
    ),
    "backtested_profit": (
        "Check the unit costs and the objective, and lower quote.max_step so that prices move "
        "less; or raise gate.profit_margin."
    ),
    "segment_regression": (
        "Check the recent orders of the departments that forecast worst; or raise "
        "gate.segment_margin."
    ),
    "feature_parity": "Run `pricebook materialize` and then `pricebook gate` again.",
}


LIMITS = {"forecast_bias": "gate.max_bias", "elasticity_range": "gate.max_extreme"}  # shares
CHAMPION_STAYS = "The champion stays in service."
NO_CHAMPION = (
    "There is no champion yet, so the price service quotes list prices, and each quote says why. "
    "Do what the failed checks advise. After a change of `gate` or `quote` in params, run "
    "`pricebook gate` and `pricebook promote` again; after any other change, run `refresh` and "
    "`retrain` again. The first pair that passes is served at once."
)


@dataclass(frozen=True)
class GateCheck:
    """One check: the measured figure, the bar it must keep, and a sentence with both.

    `low` and `high` bound the figure (90 %) where it is an estimate. `figures` has further ones.
    """

    name: str
    passed: bool
    figure: float
    bar: float
    reason: str
    low: float | None = None
    high: float | None = None
    figures: Mapping[str, float] | None = None

    @property
    def next_step(self) -> str:
        """What to do about a failed check; empty if it passed.

        >>> check = GateCheck("forecast_bias", False, 0.1711, 0.15, "the bias is 17 %")
        >>> check.next_step.split(". ")[-1]
        'Or accept it: with gate.max_bias: 0.18 this check passes.'
        """
        if self.passed:
            return ""
        steps = [NEXT_STEPS.get(self.name, "")]
        if self.name in LIMITS and self.figure <= 1:
            limit = math.ceil(100 * self.figure) / 100
            steps.append(f"Or accept it: with {LIMITS[self.name]}: {limit:g} this check passes.")
        return " ".join(steps)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "next_step": self.next_step}


@dataclass(frozen=True)
class Verdict:
    """The comparison of a challenger pair with the champion pair, on the same data and periods.

    `challenger` and `champion` map a model's name to its version. A shop's first pair is judged
    without a champion.
    """

    id: str
    as_of: str
    data: Mapping[str, str]
    held_out: tuple[str, str]
    challenger: Mapping[str, str]
    champion: Mapping[str, str]
    checks: tuple[GateCheck, ...]

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def refusals(self) -> tuple[str, ...]:
        """A sentence for each failed check: what failed, and what to do next."""
        return tuple(
            f"{check.name}: {check.reason}. {check.next_step}".rstrip(" .") + "."
            for check in self.checks
            if not check.passed
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the ledger, MLflow and XCom."""
        checks = [check.as_dict() for check in self.checks]
        outcome = {"passed": self.passed, "refusals": list(self.refusals)}
        return {**asdict(self), "checks": checks, **outcome}


def after_refusal(verdict: Mapping[str, Any]) -> str:
    """What the refusal of a pair means for the prices in service, and what to do next.

    Args:
        verdict: a verdict as plain values. If it passed, the result is empty.
    """
    if verdict["passed"]:
        return ""
    return CHAMPION_STAYS if verdict["champion"] else NO_CHAMPION


def at_most(name: str, figure: float, bar: float, what: str) -> GateCheck:
    """A check that `figure` is at most `bar`. A figure that is not a number fails.

    >>> at_most("bias", 0.2, 0.1, "bias of the forecast").reason
    'bias of the forecast is 0.2, must be at most 0.1'
    """
    passed = figure <= bar
    return GateCheck(name, passed, figure, bar, _sentence(what, figure, "at most", bar))


def at_least(name: str, figure: float, bar: float, what: str) -> GateCheck:
    """A check that `figure` is at least `bar`. A figure that is not a number fails.

    >>> at_least("profit", float("nan"), 1.0, "profit").passed
    False
    """
    passed = figure >= bar
    return GateCheck(name, passed, figure, bar, _sentence(what, figure, "at least", bar))


def _sentence(what: str, figure: float, relation: str, bar: float) -> str:
    return f"{what} is {figure:.4g}, must be {relation} {bar:.4g}"
