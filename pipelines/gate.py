"""gate: compare a challenger pair with the champion on the same held-out periods and data."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import lineage
from pipelines.bundle import write_price_list
from pipelines.evaluation.panel import read_features
from pricebook.config import Params, Settings
from pricebook.errors import RegistryError
from pricebook.files import write_json
from pricebook.verdict import GateCheck, Verdict, after_refusal, at_most

if TYPE_CHECKING:
    from models.registry import Registry
    from pipelines.evaluation.checks import Judge
    from pipelines.evaluation.predictions import ForecastTask, SavedModels

log = logging.getLogger("pricebook.gate")


def challengers(settings: Settings) -> dict[str, str]:
    """The newest version of each model.

    Raises:
        RegistryError: a model was never trained.
    """
    from models.registry import MODELS, Registry

    registry = Registry(settings)
    return {name: registry.newest(name) for name in MODELS}


def gate(
    as_of: date, params: Params, settings: Settings, versions: Mapping[str, str]
) -> dict[str, Any]:
    """Judge `versions` (model name to version; the champion's version of a name left out).

    The predictions that `train` recorded are judged. Without a record for this cut-off and data,
    the models are loaded, which takes TensorFlow and some seconds more.

    Returns:
        the verdict as plain values. It is also in the ledger and on the MLflow model versions.

    Raises:
        RegistryError: there is no whole pair, or a version does not exist.
        EmptyHistory: there are too few features, or nothing was materialized.
    """
    from models.registry import CHAMPION, Registry
    from pipelines.evaluation.checks import model_checks
    from pipelines.evaluation.predictions import ForecastTask, SavedModels

    registry = Registry(settings)
    champion = registry.aliased(CHAMPION)
    challenger = {**champion, **versions}
    if len(challenger) < 2:
        raise RegistryError(f"A pair needs a demand and a response model. Received: {challenger}")
    task = ForecastTask.from_home(as_of, params, settings)
    with tempfile.TemporaryDirectory(prefix="pricebook-gate-") as scratch:
        judge = _judge(task, params, settings, SavedModels(registry, Path(scratch)))
        checks = model_checks(judge.trial(challenger, champion))
    verdict = Verdict(
        id=_identity(as_of, challenger, champion),
        as_of=str(as_of),
        data=lineage.versions(settings),
        held_out=(str(task.held_out.start), str(task.held_out.end)),
        challenger=challenger,
        champion=champion,
        checks=(*checks, _parity_check(as_of, params, settings)),
    ).as_dict()
    _record(verdict, settings, registry)
    if not champion:
        write_price_list(as_of, params, settings)  # each quote says why there is no champion
    return verdict


def _identity(as_of: date, challenger: Mapping[str, str], champion: Mapping[str, str]) -> str:
    first, second = (
        "-".join(f"{name[0]}{version}" for name, version in sorted(pair.items()))
        for pair in (challenger, champion)
    )
    return f"{as_of}_{first}_vs_{second or 'none'}"


def _judge(task: ForecastTask, params: Params, settings: Settings, saved: SavedModels) -> Judge:
    from models.evaluation.profit import market
    from pipelines.evaluation.checks import Judge

    book = read_features("price_book", settings)
    held, folds = task.held_out, params.train.response.folds
    return Judge(task, market(held, book, folds, params.objective), params, saved)


def _record(verdict: dict[str, Any], settings: Settings, registry: Registry) -> None:
    from ledger import clock, open_ledger, record_verdict

    record_verdict(open_ledger(settings.ledger), verdict, created_at=clock.now())
    for name, version in verdict["challenger"].items():
        registry.tag(name, version, {"verdict": "passed" if verdict["passed"] else "refused"})
    write_json(settings.report("gate"), verdict)
    for line in verdict["refusals"] or ["every check passed"]:
        log.info("Verdict %s: %s", verdict["id"], line)
    if not verdict["passed"]:
        log.info(after_refusal(verdict))


def _parity_check(as_of: date, params: Params, settings: Settings) -> GateCheck:
    from pipelines.checks.parity import parity
    from pipelines.feature_store import open_store

    result = parity(open_store(settings), as_of, params.gate.parity_sample, params.train.seed)
    mismatches = float(len(result["mismatched"]))
    gaps = result["not_covered"]
    scope = f"values compared (not covered: {', '.join(gaps)})" if gaps else "values compared"
    what = f"of {result['compared']} {scope}, those that differ offline and online"
    return at_most("feature_parity", mismatches, 0, what)
