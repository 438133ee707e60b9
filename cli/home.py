"""The commands about a home as a whole: up, down, status, demo and clean."""

from __future__ import annotations

import shutil
from typing import Annotated

import typer

from pricebook.config import Settings


def up() -> None:
    """Start Airflow, MLflow's page and the price service."""
    from cli.servers import up

    up(Settings())


def down() -> None:
    """Stop the servers that `up` or `demo` started."""
    from cli.servers import down

    down(Settings())


def status() -> None:
    """Print which servers of this home run, and where.

    It also prints which prices the service quotes, and why.
    """
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
    """Run all of Pricebook once and print a summary.

    Starts the servers, runs refresh and retrain in Airflow, and requests quotes.
    """
    from cli.demo import demo

    demo(Settings(), keep)


def clean(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete data/ and .pricebook/ of this home.

    Stops its servers first.
    """
    from cli.servers import down

    settings = Settings()
    if not yes:
        typer.confirm(f"Delete {settings.data} and {settings.state}?", abort=True)
    down(settings)
    for folder in (settings.data, settings.state):
        shutil.rmtree(folder, ignore_errors=True)
        typer.echo(f"Deleted {folder}.")
