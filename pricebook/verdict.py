"""What the gate decides: a list of checks with their figures, all of which must pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class GateCheck:
    """One bar: the figure measured, the bar it had to keep, and both in a sentence.

    `low` and `high` bound the figure (90 %) where it is an estimate.
    """

    name: str
    passed: bool
    figure: float
    bar: float
    reason: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Verdict:
    """A challenger pair against the champion pair, on one data version and held-out period.

    `challenger` and `champion` map a model's name to its version; a first pair has no champion.
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
        return tuple(f"{check.name}: {check.reason}" for check in self.checks if not check.passed)

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for the ledger, MLflow and XCom."""
        return {**asdict(self), "passed": self.passed, "refusals": list(self.refusals)}


def at_most(name: str, figure: float, bar: float, what: str) -> GateCheck:
    """A check that `figure` does not exceed `bar`; NaN fails.

    >>> at_most("bias", 0.2, 0.1, "bias of the forecast").reason
    'bias of the forecast is 0.2, must be at most 0.1'
    """
    passed = figure <= bar
    return GateCheck(name, passed, figure, bar, _sentence(what, figure, "at most", bar))


def at_least(name: str, figure: float, bar: float, what: str) -> GateCheck:
    """A check that `figure` does not fall below `bar`; NaN fails.

    >>> at_least("profit", float("nan"), 1.0, "profit").passed
    False
    """
    passed = figure >= bar
    return GateCheck(name, passed, figure, bar, _sentence(what, figure, "at least", bar))


def _sentence(what: str, figure: float, relation: str, bar: float) -> str:
    return f"{what} is {figure:.4g}, must be {relation} {bar:.4g}"
