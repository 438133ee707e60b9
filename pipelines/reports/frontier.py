"""frontier: what each objective would charge and earn, and what volume costs in profit."""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.bundle import price_book
from pricebook.config import Objective, Params, Settings
from pricebook.files import atomic_dir, write_json
from pricebook.money import Floats

if TYPE_CHECKING:
    import pandas as pd

    from models.objective import Book
    from pipelines.evaluation.predictions import Responses
    from pricebook.pricing.decision import Decision
    from pricebook.pricing.objective import Rows

COMPARED = ("profit", "calibrated", "volume", "revenue")
MULTIPLIERS = np.concatenate([[0.0], np.geomspace(0.005, 0.07, 11)])
FOLDER = "frontier"


@dataclass(frozen=True)
class Outcome:
    """The public prices of one objective, relative to the list prices, as the model expects it.

    Attributes:
        objective: as in params.
        at_list: share of the modelled listings whose best price is the list price.
        below: share of the modelled listings that are offered below it.
        from_model: share of these whose best price is below list; the others owe it to a limit.
        reduction: median reduction of the prices below list.
        long_run_profit, short_run_profit, units, revenue: relative changes; units and revenue are
            those of the long run.
        price_index: mean price over list price, weighted by units.
    """

    objective: str
    at_list: float
    below: float
    from_model: float
    reduction: float
    long_run_profit: float
    short_run_profit: float
    units: float
    revenue: float
    price_index: float


def frontier(as_of: date, params: Params, settings: Settings) -> dict[str, Any]:
    """Price the book of the champion, or of the newest pair, for each objective.

    Writes frontier.json and frontier.png into .pricebook/frontier of the home.

    Returns:
        `outcomes` (one per objective, that of params first), `personal` (by segment, the share of
        listings with a lower personal price), `frontier` (points) and `folder`.

    A shop without costs gets a report in which every price is the list price.

    Raises:
        RegistryError: no response model was trained.
        EmptyHistory: there are no features.
    """
    from models.evaluation import plots

    responses, history = _inputs(as_of, params, settings)
    listed, book = price_book(responses, history, params, settings)
    compared: list[Objective] = list(dict.fromkeys([_name(params.objective), *COMPARED]))
    pricing = _Pricing(listed, book, responses.elasticities, params)
    outcomes = [pricing.outcome(params.objective if n == 0 else o) for n, o in enumerate(compared)]
    points = pricing.frontier()
    folder = settings.state / FOLDER
    report = {
        "outcomes": [asdict(outcome) for outcome in outcomes],
        "personal": pricing.personal(),
        "frontier": [asdict(point) for point in points],
    }
    with atomic_dir(folder) as partial:
        write_json(partial / "frontier.json", report)
        plots.frontier(points, outcomes).savefig(partial / "frontier.png", dpi=120)
    return {**report, "folder": str(folder)}


def _name(objective: Objective) -> str:
    return objective if isinstance(objective, str) else "long-run term in params"


def _inputs(as_of: date, params: Params, settings: Settings) -> tuple[Responses, pd.DataFrame]:
    """The tables of the response model, and the panel."""
    from models.registry import CHAMPION, Registry
    from pipelines.evaluation.panel import panel
    from pipelines.evaluation.predictions import SavedModels

    registry = Registry(settings)
    version = registry.aliased(CHAMPION).get("response") or registry.newest("response")
    with tempfile.TemporaryDirectory(prefix="pricebook-models-") as scratch:
        responses = SavedModels(registry, Path(scratch)).responses(version)
    return responses, panel(as_of, params, settings)


@dataclass(frozen=True)
class _Pricing:
    """A price book, what objectives read of it, and a model's elasticities."""

    listed: pd.DataFrame
    book: Book
    elasticities: pd.DataFrame
    params: Params

    def outcome(self, objective: Objective) -> Outcome:
        """The public prices of an objective."""
        decisions = self._decisions(objective)
        wanted = [_wanted(decision) for decision in decisions]
        count = max(len(decisions), 1)  # a shop may have nothing to model, or no costs
        lower = [n for n, decision in enumerate(decisions) if decision.price < decision.ceiling]
        cut = [1 - decisions[n].price / decisions[n].ceiling for n in lower]
        return Outcome(
            _name(objective),
            at_list=1 - sum(price < 1 for price in wanted) / count,
            below=len(lower) / count,
            from_model=float(np.mean([wanted[n] < 1 for n in lower])) if lower else 1.0,
            reduction=float(np.median(cut)) if cut else 0.0,
            **self._changes(np.array([decision.price for decision in decisions], float)),
        )

    @cached_property
    def _modelled(self) -> NDArray[np.bool_]:
        return np.asarray(self.listed["modelled"].to_numpy(bool))

    def _changes(self, modelled_prices: Floats) -> dict[str, float]:
        priced, prices = self.book.rows.priced, self.book.rows.list_price.copy()
        prices[self._modelled] = modelled_prices
        short_run = self.book.rows.take(priced)
        long_run = short_run.in_the_long_run(self.book.calibrated[priced])
        profit, units, revenue, index = _relative(long_run, prices[priced])
        return {
            "long_run_profit": profit,
            "short_run_profit": _relative(short_run, prices[priced])[0],
            "units": units,
            "revenue": revenue,
            "price_index": index,
        }

    def _decisions(self, objective: Objective, segment: str | None = None) -> list[Decision]:
        """The decision for each modelled listing; all others sell at their list price."""
        from models.objective import listings, public_decisions
        from models.response.segments import EVERYONE

        book = self.listed.assign(long_run=self.book.long_run(objective))[self._modelled]
        limits = self.params.quote
        return public_decisions(listings(book), self.elasticities, limits, segment or EVERYONE)

    def personal(self) -> dict[str, float]:
        """For each segment the share of modelled listings whose price is below the public one."""
        from models.response.segments import EVERYONE

        objective = self.params.objective
        public, shares = self._decisions(objective), {}
        for segment in sorted(set(self.elasticities["segment"]) - {EVERYONE}):
            own = self._decisions(objective, segment)
            lower = sum(a.price < b.price for a, b in zip(own, public, strict=True))
            shares[segment] = lower / max(len(public), 1)
        return shares

    def frontier(self) -> list[Any]:
        """Points of the trade-off between volume and long-run profit, relative to list prices."""
        from pricebook.pricing import objective as objectives

        priced = self.book.rows.priced
        rows = self.book.rows.in_the_long_run(self.book.calibrated).take(priced)
        listed = objectives.point(rows, rows.list_price)
        points = objectives.frontier(rows, objectives.volume, MULTIPLIERS)
        return [point.relative_to(listed) for point in points]


def _wanted(decision: Decision) -> float:
    """The price that the model wants, relative to the list price; 1 if it has none."""
    prices = [reason.after for reason in decision.reasons if reason.rule == "model"]
    return prices[0] / decision.ceiling if prices else 1.0


def _relative(rows: Rows, prices: Floats) -> tuple[float, float, float, float]:
    """Changes in profit, units and revenue against the list prices, and the price index."""
    from pricebook.pricing.objective import point

    new, listed = point(rows, prices), point(rows, rows.list_price)
    change = new.relative_to(listed)
    return change.profit, change.units, change.revenue, change.price_index
