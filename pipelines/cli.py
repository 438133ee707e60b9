"""The `pricebook` command: the stages by their own names, and what a person needs around them."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Annotated, Any, Literal

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from pipelines import alerts, champion, keys, replay
from pricebook.config import Params, Settings, load_params
from pricebook.errors import ConfigError, PricebookError

app = typer.Typer(
    help="Learn how customers respond to price, and serve a fair, explainable price.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(alerts.app, name="alerts")
app.add_typer(keys.app, name="keys")
app.add_typer(replay.app, name="quotes")
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


Level = Annotated[
    str | None,
    typer.Option(help="a series is a `sku`, or a sku in a `zone`; the params' if not given"),
]
Largest = Annotated[
    int | None,
    typer.Option("--max-series", min=1, help="the series with most units; all if not given"),
]


def _at_level(level: str | None, params: Params) -> Params:
    if level not in (None, "sku", "zone"):
        raise ConfigError(f"--level must be sku or zone. Received: {level!r}")
    by_zone = params.shop.by_zone if level is None else level == "zone"
    shop = params.shop.model_copy(update={"by_zone": by_zone})
    return params.model_copy(update={"shop": shop})


@app.command()
def backtest(
    as_of: AsOf = None,
    origins: Annotated[int, typer.Option("--cutoffs", min=1, help="refits to judge")] = 2,
    horizon: Annotated[
        int | None, typer.Option(min=1, help="periods ahead; train.horizon if not given")
    ] = None,
    level: Level = None,
    max_series: Largest = None,
    ets_series: Annotated[
        int, typer.Option(min=1, help="AutoETS forecasts a sample of at most this many")
    ] = 2000,
) -> None:
    """Forecast this shop's past as if it were not known, beside what else it could use."""
    from pipelines.backtest import Asked
    from pipelines.backtest import backtest as judge

    day, params, settings = _inputs(as_of)
    asked = Asked(origins, horizon, max_series, ets_series)
    report = judge(day, _at_level(level, params), settings, asked)
    said = f"{report['series']:,} series, {report['horizon']} periods ahead of "
    said += ", ".join(report["origins"])
    console.print(_scores_table(said, report["scores"]))
    if report["sample"]:
        title = f"The same on the {ets_series:,} series that AutoETS forecast"
        console.print(_scores_table(title, report["sample"]))
    console.print(f"Every forecast, the scores and a plot: {report['folder']}", soft_wrap=True)


def _scores_table(title: str, rows: list[dict[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*names, title=title)
    for row in rows:
        shown = (row.get(name, "") for name in names)
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else value for value in shown))
    return table


@app.command()
def elasticities(
    as_of: AsOf = None,
    level: Level = None,
    max_series: Largest = None,
    rows: Annotated[int, typer.Option(min=1, help="rows to print of each table")] = 15,
) -> None:
    """What price does to demand here: own and cross elasticities with their errors."""
    from pipelines.elasticities import elasticities as judge

    day, params, settings = _inputs(as_of)
    found = judge(day, _at_level(level, params), settings, max_series)
    console.print(_elasticities_table("Own price, by sku", found["by_sku"], rows))
    if len(found["cross"]):
        console.print(_elasticities_table("Others' prices", found["cross"], rows))
    else:
        console.print("No other price moved enough to tell a cross elasticity.")
    told = found["summary"]
    console.print(
        f"Pooled {told['pooled']:.2f} ± {told['pooled_stderr']:.2f}, {told['series']:,} series; "
        f"{told['pooled_without_promotion_controls']:.2f} with promotions left in, "
        f"{told['naive']:.2f} by plain least squares.\n"
        f"Every figure and a plot: {found['folder']}",
        soft_wrap=True,
    )


def _elasticities_table(title: str, frame: Any, rows: int) -> Table:
    """The surest rows, most elastic first."""
    sure = (frame["elasticity"].abs() / frame["stderr"]).sort_values(ascending=False)
    surest = frame.loc[sure.index[:rows]].sort_values("elasticity")
    more = f" (the surest {len(surest):,} of {len(frame):,})" if len(frame) > rows else ""
    table = Table(*frame.columns, title=title + more)
    for row in surest.itertuples(index=False):
        table.add_row(*(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row))
    return table


@app.command()
def promote() -> None:
    """Make the last judged pair the champion, if the gate passed it, and build its Bento."""
    from pipelines.files import read_json
    from pipelines.promote import promote as stage

    settings = Settings()
    verdict = read_json(settings.report("gate"))
    console.print_json(json.dumps(stage(verdict, load_params(settings.params), settings)))


@app.command()
def rollback() -> None:
    """Make the champion before the champion again; the service swaps within seconds."""
    console.print_json(data=champion.rollback(Settings()))


@app.command()
def canary(
    stop: Annotated[bool, typer.Option("--stop", help="Take it out of service.")] = False,
) -> None:
    """Let the service try the newest pair that passed the gate, beside the champion."""
    settings = Settings()
    if stop:
        champion.stop_canary(settings)
    else:
        console.print_json(data=champion.canary(load_params(settings.params), settings))


@app.command("kill-switch")
def kill_switch(
    state: Annotated[Literal["on", "off", "status"], typer.Argument(help="on, off or status.")],
    why: Annotated[str, typer.Option(help="Told in every quote while it is on.")] = "switched off",
) -> None:
    """Put everything on its list price at once, or let prices move again."""
    settings = Settings()
    if state == "on":
        champion.switch_on(why, settings)
    elif state == "off":
        champion.switch_off(settings)
    on = settings.kill_switch.exists()
    told = f"on: {settings.kill_switch.read_text().strip()}" if on else "off"
    console.print(f"The kill switch is {told}.", markup=False)


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
