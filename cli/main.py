"""The `pricebook` command. Each module of this folder holds the commands of one subject."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer
from rich.console import Console
from rich.logging import RichHandler

from cli import alerts, champion, home, keys, quotes, reports, stages, verdicts
from pricebook.errors import PricebookError

app = typer.Typer(
    help="Learn how customers respond to price, and serve fair, explainable prices.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
COMMANDS = (
    stages.ingest,
    stages.validate,
    stages.featurize,
    stages.materialize,
    stages.train,
    stages.gate,
    stages.promote,
    reports.backtest,
    reports.elasticities,
    reports.frontier,
    reports.reproduce,
    verdicts.verdicts,
    champion.rollback,
    champion.canary,
    champion.kill_switch,
    home.up,
    home.down,
    home.status,
    home.demo,
    home.clean,
)
for command in COMMANDS:
    app.command()(command)
app.add_typer(alerts.app, name="alerts")
app.add_typer(keys.app, name="keys")
app.add_typer(quotes.app, name="quotes")

Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print debug messages, too.")]


@app.callback()
def configure_logging(verbose: Verbose = False) -> None:
    handler = RichHandler(console=Console(stderr=True), show_path=False, markup=False)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[handler])
    logging.getLogger("pricebook").setLevel(logging.DEBUG if verbose else logging.INFO)


def main() -> None:
    """Run the command. A `PricebookError` is one line without a traceback, and exit code 2."""
    try:
        app()
    except PricebookError as error:
        console = Console(stderr=True, soft_wrap=True, highlight=False)
        console.print(f"[bold red]{type(error).__name__}[/]: ", end="")
        console.print(str(error), markup=False)
        sys.exit(2)
