"""What a run of the demo came to, as tables a person can read. It reads the stages' reports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.demo.progress import Step
from pricebook.config import Settings
from pricebook.files import read_json

ALERTS_SHOWN = 15


@dataclass(frozen=True)
class Asked:
    """A quote that was asked for: who, of what, and the reply."""

    name: str
    shopper: str
    quote: Mapping[str, Any]


@dataclass(frozen=True)
class Money:
    """How amounts in minor units are written."""

    currency: str
    digits: int

    def __call__(self, minor: float) -> str:
        return f"{minor / 10**self.digits:.{self.digits}f}"


def print_summary(
    console: Console,
    settings: Settings,
    steps: Iterable[Step],
    asked: Sequence[Asked],
    forecast: Mapping[str, Any],
) -> None:
    """Print the whole of it, section by section."""
    bundle = read_json(settings.bundle / "bundle.json")
    money = Money(bundle["currency"], bundle["minor_digits"])
    for section in (
        rows(_report("ingest", settings), _report("validate", settings)),
        alerts(settings),
        models(_report("train-demand", settings), _report("train-response", settings)),
        verdict(_report("gate", settings)),
        quotes(asked, money),
        outlook(forecast, money),
        timings(steps),
    ):
        console.print()
        console.print(section)


def rows(read: Mapping[str, int], checked: Mapping[str, Any]) -> RenderableType:
    """Rows in, validated and quarantined, by table; and that none was lost."""
    table = _table("Rows", "table", ">in", ">validated", ">quarantined", "by reason")
    for name, of in checked["tables"].items():
        reasons = "\n".join(f"{check}  {count:,}" for check, count in of["reasons"].items())
        counts = (f"{of[key]:,}" for key in ("rows", "validated", "quarantined"))
        table.add_row(name, *counts, reasons)
    lost = [
        f"{name}: {read.get(name, 0):,} read, {of['validated'] + of['quarantined']:,} accounted for"
        for name, of in checked["tables"].items()
        if read.get(name, 0) != of["validated"] + of["quarantined"]
    ]
    kept = Text("Every row read is validated or quarantined.", "green")
    return Group(table, Text("Rows are lost! " + "; ".join(lost), "bold red") if lost else kept)


def alerts(settings: Settings) -> RenderableType:
    """The gravest alerts of the ledger."""
    from ledger import list_alerts, open_ledger

    found = list_alerts(open_ledger(settings.ledger))
    table = _table(f"Alerts: {len(found)}", "check", "severity", ">count", "why")
    for alert in found[:ALERTS_SHOWN]:
        table.add_row(alert.check, str(alert.severity), f"{alert.count:,}", alert.why)
    more = len(found) - ALERTS_SHOWN
    return Group(table, Text(f"and {more} more: pricebook alerts list")) if more > 0 else table


def models(demand: Mapping[str, Any], response: Mapping[str, Any]) -> RenderableType:
    """Forecast error against the four-week mean, and the elasticities."""
    error, slope = demand["metrics"], response["metrics"]
    gain = 1 - error["wape"] / error["wape_four_period_mean"]
    table = _table("Models", "figure", "value", "")
    table.add_row(
        "forecast error (WAPE)",
        f"{error['wape']:.3f}",
        f"mean of the last four periods {error['wape_four_period_mean']:.3f}: {gain:.0%} lower",
    )
    table.add_row("forecast bias", f"{error['bias']:+.1%}", "of all units, on held-out periods")
    table.add_row("80 % interval covers", f"{error['coverage_80']:.0%}", "of the held-out periods")
    table.add_row(
        "elasticity, mean",
        f"{slope['elasticity_mean']:.2f}",
        f"80 % of the series {slope['elasticity_p10']:.2f} to {slope['elasticity_p90']:.2f}",
    )
    table.add_row(
        "negative elasticities",
        f"{slope['share_negative']:.0%}",
        f"median standard error {slope['stderr_median']:.2f}",
    )
    return table


def verdict(found: Mapping[str, Any]) -> RenderableType:
    """The gate's checks, each with its figure and the bar it had to keep."""
    word, colour = ("passed", "green") if found["passed"] else ("refused", "red")
    table = _table(f"Verdict: {word}", "check", "", ">figure", ">bar", "reason")
    table.title_style = f"bold {colour}"
    for check in found["checks"]:
        mark = Text("pass", "green") if check["passed"] else Text("FAIL", "bold red")
        figures = (f"{check[key]:.4g}" for key in ("figure", "bar"))
        table.add_row(check["name"], mark, *figures, check["reason"])
    return table


def quotes(asked: Sequence[Asked], money: Money) -> RenderableType:
    """Each quote, and why it is what it is."""
    table = _table(f"Quotes ({money.currency})", "sku", "shopper", ">list", ">price", "reasons")
    for one in asked:
        amounts = (money(one.quote[key]) for key in ("list_price", "price"))
        reasons = "\n".join(_reason(reason, money) for reason in one.quote["reasons"])
        table.add_row(one.name, one.shopper, *amounts, reasons)
    return table


def _reason(reason: Mapping[str, Any], money: Money) -> str:
    if reason["before"] == reason["after"]:
        return str(reason["text"])
    return f"{reason['rule']}: {money(reason['before'])} → {money(reason['after'])}"


def outlook(forecast: Mapping[str, Any], money: Money) -> RenderableType:
    """A forecast, with its 80 % interval."""
    at = money(forecast["price"])
    title = f"Forecast: {forecast['sku']} at {at} {forecast['currency']}"
    table = _table(title, "period", ">units", ">80 % interval")
    for step in forecast["steps"]:
        low, high = step["quantiles"]["q10"], step["quantiles"]["q90"]
        table.add_row(step["period"][:10], f"{step['mean']:.1f}", f"{low:.1f} to {high:.1f}")
    return table


def timings(steps: Iterable[Step]) -> RenderableType:
    """How long each step took."""
    table = _table("Time", "step", ">seconds")
    for step in steps:
        if step.seconds is not None:
            table.add_row(step.name, f"{step.seconds:.1f}")
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        right = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if right else "left")
    return table


def _report(stage: str, settings: Settings) -> Any:
    return read_json(settings.report(stage))
