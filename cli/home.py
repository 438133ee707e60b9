"""The servers and the home as commands: up, down, status, demo, clean."""

from __future__ import annotations

import shutil
from typing import Annotated

import typer

from pricebook.config import Settings


def up() -> None:
    """Start Airflow and the price service, and say where they are."""
    from cli.servers import up as start

    start(Settings())


def down() -> None:
    """Stop everything `up` started."""
    from cli.servers import down as stop

    stop(Settings())


def status() -> None:
    """Say what is up in this home, and where."""
    from cli.servers import status as tell

    tell(Settings())


def demo(
    keep: Annotated[
        bool, typer.Option("--keep", envvar="KEEP", help="leave the servers running")
    ] = False,
) -> None:
    """Run the whole of Pricebook once, from a shop's orders to quotes."""
    from cli.demo import demo as show

    show(Settings(), keep)


def clean(
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Stop the servers and delete data/ and .pricebook/ of this home."""
    from cli.servers import down as stop

    settings = Settings()
    if not yes:
        typer.confirm(f"Delete {settings.data} and {settings.state}?", abort=True)
    stop(settings)
    for folder in (settings.data, settings.state):
        shutil.rmtree(folder, ignore_errors=True)
