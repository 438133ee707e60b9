"""`pricebook alerts`: list failed data-quality checks, name their owners, waive or resolve them."""

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
    help="Triage data-quality alerts. A check that fails again and again has one alert.",
    invoke_without_command=True,
)

Key = Annotated[
    str,
    typer.Argument(help="The alert: its id, its check, or the first letters of its fingerprint."),
]
COLOURS = {"critical": "bold red", "row": "yellow", "warning": "cyan"}


@app.callback()
def _without_command(context: typer.Context) -> None:
    if context.invoked_subcommand is None:
        list_()


@app.command("list")
def list_(
    status: Annotated[
        Status | None, typer.Option(help="List only alerts with this status.")
    ] = None,
    table: Annotated[str | None, typer.Option(help="List only alerts about this table.")] = None,
) -> None:
    """List alerts, the most severe first."""
    alerts = _call(lambda book: ledger.list_alerts(book, status=status, table=table))
    Console().print(_table(alerts) if alerts else "No alerts.")


@app.command()
def show(key: Key) -> None:
    """Show one alert with a sample of the rows that failed."""
    _print_details(_call(lambda book: ledger.find_alert(book, key)))


@app.command()
def assign(key: Key, owner: Annotated[str, typer.Argument(help="The owner's name.")]) -> None:
    """Name the owner of an alert."""
    _print_status(_call(lambda book: ledger.assign(book, key, owner)))


@app.command()
def acknowledge(
    key: Key,
    owner: Annotated[str | None, typer.Option(help="The owner's name. Default: as before.")] = None,
) -> None:
    """Record that the owner works on an alert."""
    _print_status(_call(lambda book: ledger.acknowledge(book, key, owner)))


@app.command()
def waive(
    key: Key,
    until: Annotated[
        datetime, typer.Option(formats=["%Y-%m-%d"], help="The last day of the waiver.")
    ],
    reason: Annotated[str, typer.Option(help="Why the failure is acceptable until then.")],
) -> None:
    """Accept a failing check for some days. A waived critical check does not stop a run.

    Rows that fail a waived row check are quarantined all the same.
    """
    today = clock.now().date()
    _print_status(
        _call(lambda book: ledger.waive(book, key, until=until.date(), reason=reason, today=today))
    )


@app.command()
def resolve(
    key: Key,
    reason: Annotated[str | None, typer.Option(help="What was done about the cause.")] = None,
) -> None:
    """Record that the cause is gone. The alert reopens if the check fails again."""
    _print_status(_call(lambda book: ledger.resolve(book, key, reason)))


def _call(operation: Callable[[Ledger], Any]) -> Any:
    """Run an operation on the ledger. Prints a LedgerError as one line and exits with code 1."""
    try:
        return operation(ledger.open_ledger(Settings().ledger))
    except LedgerError as error:
        Console(stderr=True, soft_wrap=True).print(escape(str(error)), style="red")
        raise typer.Exit(1) from None


def _print_status(alert: Alert) -> None:
    Console(soft_wrap=True).print(f"{alert.id} {escape(alert.check)}: {escape(_status(alert))}")


def _status(alert: Alert) -> str:
    """The status with the end of a waiver, the reason and the owner."""
    until = f" until {alert.waived_until}" if alert.waived_until else ""
    has_expired = alert.status is Status.WAIVED and not alert.is_waived(clock.now().date())
    reason = f" ({alert.reason})" if alert.reason else ""
    owner = f", owner {alert.owner}" if alert.owner else ""
    return f"{alert.status}{until}{' (expired)' if has_expired else ''}{reason}{owner}"


def _table(alerts: tuple[Alert, ...]) -> Table:
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
            f"[{COLOURS[alert.severity]}]{alert.severity}[/]",
            f"{alert.count:,}",
            f"{alert.occurrences}x",
            _format(alert.last_seen),
            escape(_status(alert)),
        )
    return grid


def _print_details(alert: Alert) -> None:
    details = {
        "why": alert.why,
        "table": alert.table,
        "severity": alert.severity,
        "failing": f"{alert.count:,}",
        "first seen": _format(alert.first_seen),
        "last seen": f"{_format(alert.last_seen)}, {alert.occurrences}x, by {alert.run}",
        "last passed": _format(alert.last_passed) if alert.last_passed else "never",
        "status": _status(alert),
        "fingerprint": alert.fingerprint,
    }
    grid = Table.grid(padding=(0, 2))
    for name, value in details.items():
        grid.add_row(f"[bold]{name}[/]", escape(value))
    console = Console()
    console.print(Panel(grid, title=f"{alert.id} {escape(alert.check)}", title_align="left"))
    for row in alert.sample:
        values = ", ".join(f"{column}={value}" for column, value in row.items())
        console.print(f"  {values}", markup=False, soft_wrap=True)


def _format(instant: datetime) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M}"
