"""The summary of a demo run: tables made from the reports of the stages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from cli.demo.progress import Step
from cli.verdicts import next_steps, verdict_table
from pricebook.config import Settings
from pricebook.files import read_json
from pricebook.verdict import after_refusal

ALERTS_SHOWN = 15


@dataclass(frozen=True)
class SampleQuote:
    """A quote that the service returned.

    Attributes:
        name: the sku's name.
        shopper: the shopper in words.
        quote: the body of the response.
    """

    name: str
    shopper: str
    quote: Mapping[str, Any]


@dataclass(frozen=True)
class Money:
    """Formats amounts of minor units, such as cents."""

    currency: str
    digits: int

    def __call__(self, minor: float) -> str:
        return f"{minor / 10**self.digits:.{self.digits}f}"


def print_summary(
    console: Console,
    settings: Settings,
    steps: Iterable[Step],
    samples: Sequence[SampleQuote],
    forecast: Mapping[str, Any] | None,
) -> None:
    """Print all sections of the summary. Without a champion there is no forecast."""
    folder = settings.price_list if forecast is None else settings.bundle
    bundle, verdict = read_json(folder / "bundle.json"), _report("gate", settings)
    money = Money(bundle["currency"], bundle["minor_digits"])
    sections = (
        rows(_report("ingest", settings), _report("validate", settings)),
        alerts(settings),
        models(_report("train-demand", settings), _report("train-response", settings)),
        verdict_table(verdict),
        *next_steps(verdict),
        after_refusal(verdict),
        None if forecast is None else prices(verdict, _frontier(settings)),
        quotes(samples, money),
        None if forecast is None else outlook(forecast, money),
        timings(steps),
    )
    for section in filter(None, sections):
        console.print()
        console.print(section)


def rows(read: Mapping[str, int], checked: Mapping[str, Any]) -> RenderableType:
    """Rows read, validated and quarantined, by table, and whether any row is missing."""
    table = _table("Rows", "table", ">in", ">validated", ">quarantined", "by reason")
    missing = []
    for name, counts in checked["tables"].items():
        reasons = "\n".join(f"{check}  {count:,}" for check, count in counts["reasons"].items())
        columns = (f"{counts[key]:,}" for key in ("rows", "validated", "quarantined"))
        table.add_row(name, *columns, reasons)
        total = counts["validated"] + counts["quarantined"]
        if read.get(name, 0) != total:
            missing.append(f"{name}: {read.get(name, 0):,} read, {total:,} accounted for")
    if missing:
        return Group(table, Text("Rows are missing! " + "; ".join(missing), "bold red"))
    return Group(table, Text("Every row read is validated or quarantined.", "green"))


def alerts(settings: Settings) -> RenderableType:
    """The most severe alerts of the ledger."""
    from ledger import list_alerts, open_ledger

    all_alerts = list_alerts(open_ledger(settings.ledger))
    table = _table(f"Alerts: {len(all_alerts)}", "check", "severity", ">count", "why")
    for alert in all_alerts[:ALERTS_SHOWN]:
        table.add_row(alert.check, str(alert.severity), f"{alert.count:,}", alert.why)
    hidden = len(all_alerts) - ALERTS_SHOWN
    if hidden > 0:
        return Group(table, Text(f"and {hidden} more: pricebook alerts list"))
    return table


def models(demand: Mapping[str, Any], response: Mapping[str, Any]) -> RenderableType:
    """The forecast error, compared with a four-week mean, and the elasticities."""
    error, price = demand["metrics"], response["metrics"]
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
        f"{price['elasticity_mean']:.2f}",
        f"80 % of the series {price['elasticity_p10']:.2f} to {price['elasticity_p90']:.2f}",
    )
    table.add_row(
        "negative elasticities",
        f"{price['share_negative']:.0%}",
        f"median standard error {price['stderr_median']:.2f}",
    )
    return table


def prices(verdict: Mapping[str, Any], frontier: Mapping[str, Any]) -> RenderableType:
    """How the champion prices the book, and what the judge expects of these prices."""
    ours = frontier["outcomes"][0]
    table = _table("Prices", "figure", "value", "")
    table.add_row(
        "best price is the list price",
        f"{ours['at_list']:.0%}",
        f"of the modelled skus; objective: {ours['objective']}",
    )
    table.add_row(
        "offered below list",
        f"{ours['below']:.0%}",
        f"by {ours['reduction']:.1%} (median); {ours['from_model']:.0%} of them by the model, the "
        "others by a limit",
    )
    for segment, share in frontier["personal"].items():
        if share:
            table.add_row(f"lower for {segment}", f"{share:.0%}", "of the modelled skus")
    (check,) = (check for check in verdict["checks"] if check["name"] == "backtested_profit")
    for name in ("long_run", "short_run"):
        mean, low, high = (check["figures"][f"{name}_{end}"] for end in ("mean", "low", "high"))
        label, interval = name.replace("_", "-"), f"90 % interval {low:+.1%} to {high:+.1%}"
        table.add_row(f"{label} profit, judged", f"{mean:+.1%}", f"of today's; {interval}")
    table.add_row("units, judged", f"{check['figures']['units']:+.1%}", "of today's")
    note = "Today: the prices charged in the held-out periods. The shop's own price cuts stay."
    return Group(table, Text(note))


def quotes(samples: Sequence[SampleQuote], money: Money) -> RenderableType:
    """Each quote with the reasons for its price."""
    table = _table(f"Quotes ({money.currency})", "sku", "shopper", ">list", ">price", "reasons")
    for sample in samples:
        amounts = (money(sample.quote[key]) for key in ("list_price", "price"))
        reasons = "\n".join(_reason(reason, money) for reason in sample.quote["reasons"])
        table.add_row(sample.name, sample.shopper, *amounts, reasons)
    return table


def _reason(reason: Mapping[str, Any], money: Money) -> str:
    if reason["before"] == reason["after"]:
        return str(reason["text"])
    return f"{reason['rule']}: {money(reason['before'])} → {money(reason['after'])}"


def outlook(forecast: Mapping[str, Any], money: Money) -> RenderableType:
    """A forecast, with its 80 % interval."""
    price = money(forecast["price"])
    title = f"Forecast: {forecast['sku']} at {price} {forecast['currency']}"
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
    """A table. A column whose heading starts with `>` is aligned to the right."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for column in columns:
        is_right = column.startswith(">")
        table.add_column(column.removeprefix(">"), justify="right" if is_right else "left")
    return table


def _frontier(settings: Settings) -> Any:
    return read_json(settings.state / "frontier" / "frontier.json")


def _report(stage: str, settings: Settings) -> Any:
    return read_json(settings.report(stage))
