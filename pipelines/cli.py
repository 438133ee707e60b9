"""The `pricebook` command: the stages by their own names, and what a person needs around them."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from pipelines import alerts
from pricebook.config import Params, Settings, load_params
from pricebook.errors import PricebookError

app = typer.Typer(
    help="Learn how customers respond to price, and serve a fair, explainable price.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(alerts.app, name="alerts")
console = Console()

AsOf = Annotated[
    datetime | None,
    typer.Option("--as-of", formats=["%Y-%m-%d"], help="The cut-off; params.yaml's if not given."),
]
Stage = Callable[[date, Params, Settings], dict[str, Any]]


def _inputs(as_of: datetime | None) -> tuple[date, Params, Settings]:
    from pipelines.ingest import resolve_as_of

    settings = Settings()
    params = load_params(settings.params)
    return (as_of.date() if as_of else resolve_as_of(params, settings)), params, settings


def _run(stage: Stage, as_of: datetime | None) -> None:
    console.print_json(json.dumps(stage(*_inputs(as_of)), default=str))


@app.callback()
def _log(verbose: Annotated[bool, typer.Option("--verbose", "-v")] = False) -> None:
    handler = RichHandler(console=Console(stderr=True), show_path=False, markup=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("pricebook").setLevel(logging.DEBUG if verbose else logging.INFO)


@app.command()
def ingest(as_of: AsOf = None) -> None:
    """Read the shop's tables into data/raw."""
    from pipelines.ingest import ingest as stage

    _run(stage, as_of)


@app.command()
def validate(as_of: AsOf = None) -> None:
    """Check data/raw against the contract; quarantine bad rows, raise alerts."""
    from pipelines.validate import validate as stage

    _run(stage, as_of)


@app.command()
def featurize(as_of: AsOf = None) -> None:
    """Turn data/validated into point-in-time features."""
    from pipelines.featurize import featurize as stage

    _run(stage, as_of)


@app.command()
def materialize(as_of: AsOf = None) -> None:
    """Push the newest features to the online store."""
    from pipelines.materialize import materialize as stage

    _run(stage, as_of)


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="demand or response")], as_of: AsOf = None
) -> None:
    """Fit a model, evaluate it on the held-out periods, and register it as a challenger."""
    from pipelines.train import train as stage

    console.print_json(json.dumps(stage(model, *_inputs(as_of)), default=str))


@app.command()
def gate(as_of: AsOf = None) -> None:
    """Judge the newest challengers against the champion."""
    from pipelines.gate import challengers
    from pipelines.gate import gate as stage

    day, params, settings = _inputs(as_of)
    verdict = stage(day, params, settings, challengers(settings))
    _print_verdict(verdict)
    raise typer.Exit(0 if verdict["passed"] else 1)


@app.command()
def promote() -> None:
    """Make the last judged pair the champion, if the gate passed it, and build its Bento."""
    from pipelines.files import read_json
    from pipelines.promote import promote as stage

    settings = Settings()
    verdict = read_json(settings.report("gate"))
    console.print_json(json.dumps(stage(verdict, load_params(settings.params), settings)))


@app.command()
def verdicts(
    last: Annotated[int, typer.Option(help="how many")] = 3,
) -> None:
    """Print the last verdicts of the gate, newest first."""
    from ledger import last_verdicts, open_ledger

    found = last_verdicts(open_ledger(Settings().ledger), last)
    if not found:
        console.print("No verdict yet. Run `pricebook gate`, or trigger `retrain` in Airflow.")
    for verdict in found:
        _print_verdict(verdict.body)


def _print_verdict(verdict: Mapping[str, Any]) -> None:
    colour = "green" if verdict["passed"] else "red"
    word = "passed" if verdict["passed"] else "refused"
    table = Table("check", "", "figure", "bar", "why", title=f"verdict {verdict['id']}: {word}")
    table.title_style = colour
    for check in verdict["checks"]:
        mark = "[green]pass[/]" if check["passed"] else "[red]FAIL[/]"
        table.add_row(
            check["name"], mark, f"{check['figure']:.4g}", f"{check['bar']:.4g}", check["reason"]
        )
    console.print(table)
    console.print(
        f"challenger {_pair(verdict['challenger'])}, champion {_pair(verdict['champion'])}"
    )


def _pair(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} v{version}" for name, version in versions.items()) or "none"


@app.command()
def reproduce(
    alias: Annotated[str, typer.Argument(help="champion or previous")] = "champion",
) -> None:
    """Restore a model pair's exact data, retrain with its params and seed, compare every metric."""
    from pipelines.reproduce import reproduce as again

    rows = again(alias, Settings())
    table = Table("model", "metric", "recorded", "again", "", title=f"reproducing the {alias}")
    table.columns[1].overflow = "fold"
    for row in rows:
        mark = "[green]equal[/]" if row.equal else "[red]DIFFERS[/]"
        table.add_row(row.model, row.metric, f"{row.recorded:.10g}", f"{row.again:.10g}", mark)
    console.print(table)
    raise typer.Exit(0 if all(row.equal for row in rows) else 1)


@app.command()
def up() -> None:
    """Start Airflow and the price service, and say where they are."""
    from pipelines.servers import up as start

    start(Settings())


@app.command()
def down() -> None:
    """Stop everything `up` started."""
    from pipelines.servers import down as stop

    stop(Settings())


@app.command()
def status() -> None:
    """Say what is up in this home, and where."""
    from pipelines.servers import status as tell

    tell(Settings())


@app.command()
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", envvar="KEEP", help="leave the servers running")
    ] = False,
) -> None:
    """Run the whole of Pricebook once, from a shop's orders to quotes."""
    from pipelines.demo import demo as show

    show(Settings(), keep)


@app.command()
def clean(
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Stop the servers and delete data/ and .pricebook/ of this home."""
    from pipelines.servers import down as stop

    settings = Settings()
    if not yes:
        typer.confirm(f"Delete {settings.data} and {settings.state}?", abort=True)
    stop(settings)
    for folder in (settings.data, settings.state):
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    """Run the command; an error made for people is printed as one line, without a traceback."""
    try:
        app()
    except PricebookError as error:
        told = Console(stderr=True, soft_wrap=True, highlight=False)
        told.print(f"[bold red]{type(error).__name__}[/]: ", end="")
        told.print(str(error), markup=False)
        sys.exit(2)
