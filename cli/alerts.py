"""`pricebook alerts`: see what the data failed, say who looks after it, and decide what follows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

import ledger
from ledger import Alert, Ledger, Status, clock
from pricebook.config import Settings
from pricebook.errors import LedgerError

app = typer.Typer(
    help="Triage data-quality alerts: one for each check that failed, however often.",
    invoke_without_command=True,
)

Key = Annotated[
    str, typer.Argument(help="Its id, its check's name, or the beginning of its fingerprint.")
]
_COLOUR = {"critical": "bold red", "row": "yellow", "warning": "cyan"}


@app.callback()
def _without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


@app.command("list")
def list_(
    status: Annotated[Status | None, typer.Option(help="Only these.")] = None,
    table: Annotated[str | None, typer.Option(help="Only of this table.")] = None,
) -> None:
    """List alerts, the gravest first."""
    alerts = _tried(lambda book: ledger.list_alerts(book, status=status, table=table))
    console = Console()
    console.print(_listed(alerts) if alerts else "No alerts.")


@app.command()
def show(key: Key) -> None:
    """Show one alert with the rows that failed."""
    _show(_tried(lambda book: ledger.find_alert(book, key)))


@app.command()
def assign(key: Key, owner: Annotated[str, typer.Argument(help="Who looks after it.")]) -> None:
    """Give an alert an owner."""
    _tell(_tried(lambda book: ledger.assign(book, key, owner)))


@app.command()
def acknowledge(
    key: Key, owner: Annotated[str | None, typer.Option(help="Who has seen it.")] = None
) -> None:
    """Say that somebody has seen it and is on it."""
    _tell(_tried(lambda book: ledger.acknowledge(book, key, owner)))


@app.command()
def waive(
    key: Key,
    until: Annotated[datetime, typer.Option(formats=["%Y-%m-%d"], help="Its last silent day.")],
    reason: Annotated[str, typer.Option(help="Why this is acceptable until then.")],
) -> None:
    """Silence an alert through a day; a waived critical check does not stop a run.

    Rows that fail a waived row check are still quarantined.
    """
    today = clock.now().date()
    _tell(
        _tried(lambda book: ledger.waive(book, key, until=until.date(), reason=reason, today=today))
    )


@app.command()
def resolve(
    key: Key, reason: Annotated[str | None, typer.Option(help="What was done.")] = None
) -> None:
    """Say that the cause is gone; if the check fails again, the alert reopens."""
    _tell(_tried(lambda book: ledger.resolve(book, key, reason)))


def _tried(ask: Callable[[Ledger], Any]) -> Any:
    """Ask the ledger; a LedgerError is told in a line, with exit code 1."""
    try:
        return ask(ledger.open_ledger(Settings().ledger))
    except LedgerError as error:
        Console(stderr=True, soft_wrap=True).print(escape(str(error)), style="red")
        raise typer.Exit(1) from None


def _tell(alert: Alert) -> None:
    Console(soft_wrap=True).print(f"{alert.id} {escape(alert.check)}: {escape(_standing(alert))}")


def _standing(alert: Alert) -> str:
    """The status in words: until when and why, and whose it is."""
    until = f" until {alert.waived_until}" if alert.waived_until else ""
    lapsed = alert.status is Status.WAIVED and not alert.is_waived(clock.now().date())
    reason = f" ({alert.reason})" if alert.reason else ""
    owner = f", owner {alert.owner}" if alert.owner else ""
    return f"{alert.status}{until}{' (lapsed)' if lapsed else ''}{reason}{owner}"


def _listed(alerts: tuple[Alert, ...]) -> Table:
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("id", justify="right")
    grid.add_column("check", overflow="fold")
    grid.add_column("severity")
    grid.add_column("failing", justify="right")
    grid.add_column("seen", justify="right")
    grid.add_column("last seen", no_wrap=True)
    grid.add_column("status", overflow="fold")
    for alert in alerts:
        grid.add_row(
            str(alert.id),
            escape(alert.check),
            f"[{_COLOUR[alert.severity]}]{alert.severity}[/]",
            f"{alert.count:,}",
            f"{alert.occurrences}x",
            _when(alert.last_seen),
            escape(_standing(alert)),
        )
    return grid


def _show(alert: Alert) -> None:
    facts = {
        "why": alert.why,
        "table": alert.table,
        "severity": alert.severity,
        "failing": f"{alert.count:,}",
        "first seen": _when(alert.first_seen),
        "last seen": f"{_when(alert.last_seen)}, {alert.occurrences}x, by {alert.run}",
        "last passed": _when(alert.last_passed) if alert.last_passed else "never",
        "status": _standing(alert),
        "fingerprint": alert.fingerprint,
    }
    grid = Table.grid(padding=(0, 2))
    for name, value in facts.items():
        grid.add_row(f"[bold]{name}[/]", escape(value))
    console = Console()
    console.print(Panel(grid, title=f"{alert.id} {escape(alert.check)}", title_align="left"))
    for row in alert.sample:
        shown = ", ".join(f"{column}={value}" for column, value in row.items())
        console.print(f"  {escape(shown)}", soft_wrap=True)


def _when(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"
