"""`pricebook keys`: who may ask the price service, and the secrets that sign its quotes."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ledger import Ledger, clock, keys, open_ledger, signing_keys
from ledger.keys import Grant, Key, Scope
from pricebook.config import Settings

app = typer.Typer(
    help="Issue, list, revoke and rotate API keys; rotate the key that signs quotes.",
    invoke_without_command=True,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as listed.")]


@app.callback()
def _without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


@app.command()
def issue(
    name: Annotated[str, typer.Argument(help="Who will hold it.")],
    scope: Annotated[list[Scope], typer.Option(help="What it is for; give it once for each.")],
    per_second: Annotated[
        float | None,
        typer.Option(help="Quotes or events a second, at most; no limit if not given."),
    ] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The day it ends, UTC; never if not given."),
    ] = None,
) -> None:
    """Issue an API key and print it, once; from the first on the service asks for keys."""
    ends = expires and expires.replace(tzinfo=UTC)
    _show(keys.issue(_ledger(), Grant(name, frozenset(scope), per_second, ends), clock.now()))


@app.command("list")
def list_() -> None:
    """List every API key that was issued, the oldest first."""
    found = keys.list_keys(_ledger())
    console = Console()
    console.print(_listed(found, clock.now()) if found else "No API key yet: the service is open.")


@app.command()
def revoke(key_id: Id) -> None:
    """Let an API key count no more; the service refuses it within seconds."""
    key = keys.revoke(_ledger(), key_id, clock.now())
    typer.echo(f"{key.id} of {key.grant.name} is revoked.")


@app.command()
def rotate(
    key_id: Id,
    overlap_hours: Annotated[
        float, typer.Option(min=0, help="How long the old key still counts.")
    ] = 24.0,
) -> None:
    """Issue an API key that allows the same, and let the old one end after the overlap."""
    _show(keys.rotate(_ledger(), key_id, clock.now(), timedelta(hours=overlap_hours)))


@app.command()
def rotate_signing() -> None:
    """Sign quotes with a new key; those that are out still verify."""
    made = signing_keys.rotate(Settings(), clock.now())
    typer.echo(f"{made} signs from {signing_keys.ACTIVATION_DELAY.seconds} seconds on.")


def _ledger() -> Ledger:
    return open_ledger(Settings().ledger)


def _show(text: str) -> None:
    """The key alone on standard output, for a script to take."""
    typer.echo(text)
    typer.echo("Keep it now: the ledger has its hash alone.", err=True)


def _listed(found: tuple[Key, ...], at: datetime) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("id", "name", "scopes", "a second", "made", "expires", "standing"):
        grid.add_column(heading, no_wrap=heading == "id", overflow="fold")
    for key in found:
        rate, ends = key.grant.per_second, key.grant.expires_at
        grid.add_row(
            key.id,
            escape(key.grant.name),
            ", ".join(sorted(key.grant.scopes)),
            "" if rate is None else f"{rate:g}",
            _when(key.made_at),
            _when(ends) if ends else "",
            key.refusal(at) or "good",
        )
    return grid


def _when(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"
