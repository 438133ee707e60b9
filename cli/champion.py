"""The commands about the champion: roll back, try a canary, and switch to list prices."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

from cli.options import console, print_report
from pipelines import champion
from pricebook.config import Settings, load_params


def rollback() -> None:
    """Make the previous champion the champion again.

    A running service swaps to it within seconds.
    """
    print_report(champion.rollback(Settings()))


def canary(
    stop: Annotated[
        bool, typer.Option("--stop", help="Take the canary out of service instead.")
    ] = False,
) -> None:
    """Serve a challenger to a share of the shoppers.

    The challenger is the newest pair that passed the gate and is not the champion. The share is
    quote.experiment.canary of params.yaml.
    """
    settings = Settings()
    if stop:
        champion.stop_canary(settings)
        console.print("No canary is in service.")
    else:
        print_report(champion.canary(load_params(settings.params), settings))


def kill_switch(
    state: Annotated[
        Literal["on", "off", "status"],
        typer.Argument(help="Turn it on or off, or print whether it is on."),
    ],
    why: Annotated[
        str, typer.Option(help="The reason. Every quote repeats it while the switch is on.")
    ] = "switched off",
) -> None:
    """Quote only list prices until it is turned off."""
    settings = Settings()
    if state == "on":
        champion.switch_on(why, settings)
    elif state == "off":
        champion.switch_off(settings)
    switch = settings.kill_switch
    text = f"on: {switch.read_text().strip()}" if switch.exists() else "off"
    console.print(f"The kill switch is {text}.", markup=False)
