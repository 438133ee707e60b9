"""`pricebook keys`: API keys of the price service, and the keys that sign its quotes."""

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
    help="Issue and revoke API keys; rotate signing keys.",
    invoke_without_command=True,
)

Id = Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `list` prints it.")]


@app.callback()
def _without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


@app.command()
def issue(
    name: Annotated[str, typer.Argument(help="Who will use the key.")],
    scope: Annotated[list[Scope], typer.Option(help="What the key allows. Repeat it for several.")],
    per_second: Annotated[
        float | None,
        typer.Option(help="At most this many quotes or events per second. Default: no limit."),
    ] = None,
    expires: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The day it expires, in UTC. Default: never."),
    ] = None,
) -> None:
    """Issue an API key and print it once.

    Once a key has been issued, the service requires one in every request.
    """
    expires_at = expires and expires.replace(tzinfo=UTC)
    grant = Grant(name, frozenset(scope), per_second, expires_at)
    _print_secret(keys.issue(_ledger(), grant, clock.now()))


@app.command("list")
def list_() -> None:
    """List every API key that was issued, oldest first."""
    issued = keys.list_keys(_ledger())
    text = "No API key yet: the service is open to every client."
    Console().print(_table(issued, clock.now()) if issued else text)


@app.command()
def revoke(key_id: Id) -> None:
    """Revoke an API key.

    The service refuses it within seconds.
    """
    key = keys.revoke(_ledger(), key_id, clock.now())
    typer.echo(f"{key.id} of {key.grant.name} is revoked.")


@app.command()
def rotate(
    key_id: Id,
    overlap_hours: Annotated[
        float, typer.Option(min=0, help="How long the old key stays valid.")
    ] = 24.0,
) -> None:
    """Replace an API key by a new one with the same rights.

    The old key expires after the overlap.
    """
    _print_secret(keys.rotate(_ledger(), key_id, clock.now(), timedelta(hours=overlap_hours)))


@app.command()
def rotate_signing() -> None:
    """Sign new quotes with a new key.

    Quotes signed with the old key can still be verified.
    """
    key_id = signing_keys.rotate(Settings(), clock.now())
    delay = signing_keys.ACTIVATION_DELAY.seconds
    typer.echo(f"{key_id} signs new quotes after {delay} seconds.")


def _ledger() -> Ledger:
    return open_ledger(Settings().ledger)


def _print_secret(key: str) -> None:
    """Print only the key on standard output, so that a script can read it."""
    typer.echo(key)
    typer.echo("Store it now: the ledger keeps only its hash.", err=True)


def _table(issued: tuple[Key, ...], at: datetime) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("id", "name", "scopes", "per second", "issued", "expires", "status"):
        grid.add_column(heading, no_wrap=heading == "id", overflow="fold")
    for key in issued:
        rate, expires_at = key.grant.per_second, key.grant.expires_at
        grid.add_row(
            key.id,
            escape(key.grant.name),
            ", ".join(sorted(key.grant.scopes)),
            "" if rate is None else f"{rate:g}",
            _format(key.made_at),
            _format(expires_at) if expires_at else "",
            key.refusal(at) or "valid",
        )
    return grid


def _format(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"
