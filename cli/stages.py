"""The stages as commands, by their own names."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from cli.options import AsOf, console, run_stage, stage_inputs
from cli.verdicts import print_verdict
from pricebook.config import Settings, load_params


def ingest(as_of: AsOf = None) -> None:
    """Read the shop's tables into data/raw."""
    from pipelines.ingest import ingest as stage

    run_stage(stage, as_of)


def validate(as_of: AsOf = None) -> None:
    """Check data/raw against the contract; quarantine bad rows, raise alerts."""
    from pipelines.validate import validate as stage

    run_stage(stage, as_of)


def featurize(as_of: AsOf = None) -> None:
    """Turn data/validated into point-in-time features."""
    from pipelines.featurize import featurize as stage

    run_stage(stage, as_of)


def materialize(as_of: AsOf = None) -> None:
    """Push the newest features to the online store."""
    from pipelines.materialize import materialize as stage

    run_stage(stage, as_of)


def train(
    model: Annotated[str, typer.Argument(help="demand or response")], as_of: AsOf = None
) -> None:
    """Fit a model, evaluate it on the held-out periods, and register it as a challenger."""
    from pipelines.train import train as stage

    console.print_json(json.dumps(stage(model, *stage_inputs(as_of)), default=str))


def gate(as_of: AsOf = None) -> None:
    """Judge the newest challengers against the champion."""
    from pipelines.gate import challengers
    from pipelines.gate import gate as stage

    day, params, settings = stage_inputs(as_of)
    verdict = stage(day, params, settings, challengers(settings))
    print_verdict(verdict)
    raise typer.Exit(0 if verdict["passed"] else 1)


def promote() -> None:
    """Make the last judged pair the champion, if the gate passed it, and build its Bento."""
    from pipelines.promote import last_verdict
    from pipelines.promote import promote as stage

    settings = Settings()
    report = stage(last_verdict(settings), load_params(settings.params), settings)
    console.print_json(json.dumps(report))
