"""`pricebook verdicts`: what the gate decided, check by check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.table import Table

from cli.options import console
from pricebook.config import Settings


def verdicts(
    last: Annotated[int, typer.Option(help="how many")] = 3,
) -> None:
    """Print the last verdicts of the gate, newest first."""
    from ledger import last_verdicts, open_ledger

    found = last_verdicts(open_ledger(Settings().ledger), last)
    if not found:
        console.print("No verdict yet. Run `pricebook gate`, or trigger `retrain` in Airflow.")
    for verdict in found:
        print_verdict(verdict.body)


def print_verdict(verdict: Mapping[str, Any]) -> None:
    colour = "green" if verdict["passed"] else "red"
    word = "passed" if verdict["passed"] else "refused"
    table = Table("check", "", "figure", "bar", "why", title=f"verdict {verdict['id']}: {word}")
    table.title_style = colour
    for check in verdict["checks"]:
        mark = "[green]pass[/]" if check["passed"] else "[red]FAIL[/]"
        table.add_row(
            check["name"], mark, f"{check['figure']:.4g}", f"{check['bar']:.4g}", check["reason"]
        )
    console.print(table)
    for check in verdict["checks"]:
        if check.get("next_step"):  # verdicts of earlier versions have none
            console.print(f"{check['name']}: {check['next_step']}", highlight=False)
    console.print(
        f"challenger {_pair(verdict['challenger'])}, champion {_pair(verdict['champion'])}"
    )


def _pair(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} v{version}" for name, version in versions.items()) or "none"
