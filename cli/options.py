"""What the commands share: the console, common options, and how a stage is run."""

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
    typer.Option("--as-of", formats=["%Y-%m-%d"], help="The cut-off; params.yaml's if not given."),
]
Stage = Callable[[date, Params, Settings], dict[str, Any]]

Level = Annotated[
    str | None,
    typer.Option(help="a series is a `sku`, or a sku in a `zone`; the params' if not given"),
]
MaxSeries = Annotated[
    int | None,
    typer.Option("--max-series", min=1, help="the series with most units; all if not given"),
]


def stage_inputs(as_of: datetime | None) -> tuple[date, Params, Settings]:
    from pipelines.ingest import resolve_as_of

    settings = Settings()
    params = load_params(settings.params)
    return (as_of.date() if as_of else resolve_as_of(params, settings)), params, settings


def run_stage(stage: Stage, as_of: datetime | None) -> None:
    console.print_json(json.dumps(stage(*stage_inputs(as_of)), default=str))


def at_level(level: str | None, params: Params) -> Params:
    if level not in (None, "sku", "zone"):
        raise ConfigError(f"--level must be sku or zone. Received: {level!r}")
    by_zone = params.shop.by_zone if level is None else level == "zone"
    shop = params.shop.model_copy(update={"by_zone": by_zone})
    return params.model_copy(update={"shop": shop})
