"""`pricebook verdicts`: what the gate decided, check by check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.options import console
from pricebook.config import Settings
from pricebook.verdict import after_refusal


def verdicts(
    last: Annotated[int, typer.Option(min=1, help="How many verdicts to print.")] = 3,
) -> None:
    """Print the gate's latest verdicts, newest first."""
    from ledger import last_verdicts, open_ledger

    recorded = last_verdicts(open_ledger(Settings().ledger), last)
    if not recorded:
        console.print("No verdict yet. Run `pricebook gate`, or trigger `retrain` in Airflow.")
    for verdict in recorded:
        print_verdict(verdict.body)
    for verdict in recorded[:1]:  # an earlier refusal says nothing about the prices of today
        print_refusal(verdict.body)


def print_verdict(verdict: Mapping[str, Any], console: Console = console) -> None:
    """Print a verdict: its checks, what to do about the failed ones, and the versions compared."""
    console.print(verdict_table(verdict))
    for step in next_steps(verdict):
        console.print(step)
    challenger, champion = _pair(verdict["challenger"]), _pair(verdict["champion"])
    console.print(f"challenger {challenger}, champion {champion}")


def verdict_table(verdict: Mapping[str, Any]) -> Table:
    """A row for each check, with its figure, its limit and its reason."""
    word, colour = ("passed", "green") if verdict["passed"] else ("refused", "red")
    table = Table("check", "", title=f"Verdict {verdict['id']}: {word}", title_style=colour)
    for heading in ("figure", "limit"):
        table.add_column(heading, justify="right")
    table.add_column("reason")
    for check in verdict["checks"]:
        mark = Text("pass", "green") if check["passed"] else Text("FAIL", "bold red")
        figures = (f"{check[key]:.4g}" for key in ("figure", "bar"))
        table.add_row(check["name"], mark, *figures, Text(check["reason"]))
    return table


def print_refusal(verdict: Mapping[str, Any], console: Console = console) -> None:
    """Print what the refusal of a pair means for the prices in service; nothing if it passed."""
    if text := after_refusal(verdict):
        console.print(Text(text))


def next_steps(verdict: Mapping[str, Any]) -> list[Text]:
    """What to do about each failed check. Verdicts of earlier versions do not say it."""
    failed = (check for check in verdict["checks"] if check.get("next_step"))
    return [Text(f"{check['name']}: {check['next_step']}") for check in failed]


def _pair(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} v{version}" for name, version in versions.items()) or "none"
