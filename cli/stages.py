"""The stages as commands, each under the name of its stage."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import AsOf, print_report, run_stage, stage_inputs
from cli.verdicts import print_refusal, print_verdict
from pricebook.config import Settings, load_params


def ingest(as_of: AsOf = None) -> None:
    """Read the shop's tables into data/raw."""
    from pipelines.ingest import ingest as stage

    run_stage(stage, as_of)


def validate(as_of: AsOf = None) -> None:
    """Check data/raw against the contract.

    Rows that fail a check go to data/quarantine, and each check that fails raises an alert.
    """
    from pipelines.validate import validate as stage

    run_stage(stage, as_of)


def featurize(as_of: AsOf = None) -> None:
    """Compute point-in-time features from data/validated."""
    from pipelines.featurize import featurize as stage

    run_stage(stage, as_of)


def materialize(as_of: AsOf = None) -> None:
    """Write the newest features to the online store."""
    from pipelines.materialize import materialize as stage

    run_stage(stage, as_of)


def train(
    model: Annotated[str, typer.Argument(help="The model: demand or response.")],
    as_of: AsOf = None,
) -> None:
    """Train a model and register it as a challenger.

    Its forecasts and elasticities on held-out periods are recorded for the gate.
    """
    from pipelines.train import train as stage

    print_report(stage(model, *stage_inputs(as_of)))


def gate(as_of: AsOf = None) -> None:
    """Compare the newest challengers with the champion.

    Exit code 1 if they are refused.
    """
    from pipelines.gate import challengers
    from pipelines.gate import gate as stage

    day, params, settings = stage_inputs(as_of)
    verdict = stage(day, params, settings, challengers(settings))
    print_verdict(verdict)
    print_refusal(verdict)
    raise typer.Exit(0 if verdict["passed"] else 1)


def promote() -> None:
    """Make the pair that passed the gate the champion.

    Builds its Bento. A running service swaps to it within seconds.
    """
    from pipelines.promote import last_verdict
    from pipelines.promote import promote as stage

    settings = Settings()
    print_report(stage(last_verdict(settings), load_params(settings.params), settings))
