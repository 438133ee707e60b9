"""What several commands share: the console, common options, and the inputs of a stage."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import date, datetime
from typing import Annotated, Any

import typer
from rich.console import Console

from pricebook.config import Params, Settings, load_params
from pricebook.errors import ConfigError

console = Console()

AsOf = Annotated[
    datetime | None,
    typer.Option(
        "--as-of",
        formats=["%Y-%m-%d"],
        help="Read only what happened before this day. Default: as_of of params.yaml, or the day "
        "after the last order.",
    ),
]
Level = Annotated[
    str | None,
    typer.Option(
        help="What a series is: a `sku`, or a sku in a `zone`. Default: as params.yaml says."
    ),
]
MaxSeries = Annotated[
    int | None,
    typer.Option(
        "--max-series",
        min=1,
        help="Use only this many series, those with most units. Default: all.",
    ),
]
Stage = Callable[[date, Params, Settings], dict[str, Any]]


def stage_inputs(as_of: datetime | None) -> tuple[date, Params, Settings]:
    """The cut-off, the params and the settings of a stage.

    Raises:
        ConfigError: the params file is wrong.
        EmptyHistory: neither `as_of` nor params give a cut-off, and there are no orders.
    """
    from pipelines.ingest import resolve_as_of

    settings = Settings()
    params = load_params(settings.params)
    return (as_of.date() if as_of else resolve_as_of(params, settings)), params, settings


def run_stage(stage: Stage, as_of: datetime | None) -> None:
    """Run a stage and print its report as JSON."""
    print_report(stage(*stage_inputs(as_of)))


def print_report(report: dict[str, Any]) -> None:
    """Print a stage's report as JSON."""
    console.print_json(json.dumps(report, default=str))


def with_level(level: str | None, params: Params) -> Params:
    """The params with series of this level; unchanged if it is None.

    Raises:
        ConfigError: it is neither `sku` nor `zone`.
    """
    if level is None:
        return params
    if level not in ("sku", "zone"):
        raise ConfigError(f"--level must be sku or zone. Received: {level!r}")
    shop = params.shop.model_copy(update={"by_zone": level == "zone"})
    return params.model_copy(update={"shop": shop})
