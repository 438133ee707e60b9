"""The champion as commands: roll back, try a canary, switch to list prices."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cli.options import console
from pipelines import champion
from pricebook.config import Settings, load_params


def rollback() -> None:
    """Make the champion before the champion again; the service swaps within seconds."""
    console.print_json(data=champion.rollback(Settings()))


def canary(
    stop: Annotated[bool, typer.Option("--stop", help="Take it out of service.")] = False,
) -> None:
    """Let the service try the newest pair that passed the gate, beside the champion."""
    settings = Settings()
    if stop:
        champion.stop_canary(settings)
    else:
        console.print_json(data=champion.canary(load_params(settings.params), settings))


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
