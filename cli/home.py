"""The commands about a home as a whole: up, down, status, demo and clean."""

from __future__ import annotations

import shutil
from typing import Annotated

import typer

from pricebook.config import Settings


def up() -> None:
    """Start Airflow, MLflow's web page and the price service, and print their addresses."""
    from cli.servers import up

    up(Settings())


def down() -> None:
    """Stop the servers that `up` or `demo` started."""
    from cli.servers import down

    down(Settings())


def status() -> None:
    """Print which servers of this home run, and where."""
    from cli.servers import status

    status(Settings())


def demo(
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", envvar="KEEP", help="Leave the servers running, with MLflow's web page."
        ),
    ] = False,
) -> None:
    """Run all of Pricebook once, from a shop's orders to quotes, and print a summary."""
    from cli.demo import demo

    demo(Settings(), keep)


def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Stop the servers, and delete data/ and .pricebook/ of this home."""
    from cli.servers import down

    settings = Settings()
    if not yes:
        typer.confirm(f"Delete {settings.data} and {settings.state}?", abort=True)
    down(settings)
    for folder in (settings.data, settings.state):
        shutil.rmtree(folder, ignore_errors=True)
