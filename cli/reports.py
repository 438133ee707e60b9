"""The commands that evaluate models without changing the champion."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from cli.options import AsOf, Level, MaxSeries, console, stage_inputs, with_level
from pricebook.config import Settings


def backtest(
    as_of: AsOf = None,
    origins: Annotated[
        int, typer.Option("--cutoffs", min=1, help="How many cut-offs to forecast from.")
    ] = 2,
    horizon: Annotated[
        int | None,
        typer.Option(min=1, help="How many periods ahead. Default: train.horizon of params.yaml."),
    ] = None,
    level: Level = None,
    max_series: MaxSeries = None,
    ets_series: Annotated[
        int, typer.Option(min=1, help="AutoETS forecasts a sample of at most this many series.")
    ] = 2000,
) -> None:
    """Compare forecasts of this shop's past with other methods.

    Every method forecasts from several cut-offs, and reads only what was known then.
    """
    from pipelines.reports.backtest import BacktestSpec
    from pipelines.reports.backtest import backtest as run

    day, params, settings = stage_inputs(as_of)
    spec = BacktestSpec(origins, horizon, max_series, ets_series)
    report = run(day, with_level(level, params), settings, spec)
    cutoffs = ", ".join(report["origins"])
    title = f"{report['series']:,} series, {report['horizon']} periods ahead of {cutoffs}"
    console.print(_scores_table(title, report["scores"]))
    if report["sample"]:
        title = f"The same for the {ets_series:,} series that AutoETS forecast"
        console.print(_scores_table(title, report["sample"]))
    console.print(f"All forecasts, the scores and a plot: {report['folder']}", soft_wrap=True)


def _scores_table(title: str, rows: list[dict[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*names, title=title)
    for row in rows:
        values = (row.get(name, "") for name in names)
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else value for value in values))
    return table


def elasticities(
    as_of: AsOf = None,
    level: Level = None,
    max_series: MaxSeries = None,
    rows: Annotated[int, typer.Option(min=1, help="How many rows of each table to print.")] = 15,
) -> None:
    """Estimate own-price and cross-price elasticities.

    Prints the most precise ones, with their standard errors.
    """
    from pipelines.reports.elasticities import elasticities as run

    day, params, settings = stage_inputs(as_of)
    report = run(day, with_level(level, params), settings, max_series)
    console.print(_elasticities_table("Own price", report["by_sku"], rows))
    if len(report["cross"]):
        console.print(_elasticities_table("Cross price", report["cross"], rows))
    else:
        console.print("No other price varied enough to estimate a cross-price elasticity.")
    console.print(_summary_text(report["summary"]), soft_wrap=True)
    console.print(f"All figures and a plot: {report['folder']}", soft_wrap=True)


def _summary_text(summary: dict[str, Any]) -> str:
    if not summary["series_with_evidence"]:
        return "No price varied enough to estimate an elasticity. All of them are assumptions."
    naive, reliability = summary["naive"], summary["reliability"]
    correction = (
        f" {reliability:.0%} of the variation of the prices is real, the rest is error; without "
        f"correction for it: {summary['pooled_uncorrected']:.2f}."
    )
    return (
        f"Pooled {summary['pooled']:.2f} ± {summary['pooled_stderr']:.2f} over "
        f"{summary['series']:,} series.{correction if reliability < 1 else ''} "
        "Without control for promotions: "
        f"{summary['pooled_without_promotion_controls']:.2f}. By least squares: "
        f"{'not defined' if naive is None else f'{naive:.2f}'}."
    )


def _elasticities_table(title: str, frame: Any, rows: int) -> Table:
    """The rows with the smallest standard error relative to the elasticity, most elastic first."""
    ratio = (frame["elasticity"].abs() / frame["stderr"]).sort_values(ascending=False)
    top = frame.loc[ratio.index[:rows]].sort_values("elasticity")
    if len(frame) > rows:
        title += f" (the {len(top):,} most precise of {len(frame):,})"
    table = Table(*frame.columns, title=title)
    for row in top.itertuples(index=False):
        table.add_row(*(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row))
    return table


def frontier(as_of: AsOf = None) -> None:
    """Compare the prices and profits of the objectives.

    Shows what each objective would charge and earn, and what more volume costs in profit. Uses the
    champion, or the newest response model before the first champion.
    """
    from pipelines.reports.frontier import frontier as run

    report = run(*stage_inputs(as_of))
    console.print(objectives_table(report["outcomes"]))
    console.print(_frontier_table(report["frontier"]))
    for segment, share in report["personal"].items():
        console.print(f"{segment}: a lower personal price for {share:.0%} of the modelled listings")
    console.print(f"All figures and a plot: {report['folder']}", soft_wrap=True)


def _frontier_table(points: list[dict[str, float]]) -> Table:
    columns = {"units": "+.1%", "revenue": "+.1%", "profit": "+.1%", "price_index": ".3f"}
    heads = (name.replace("_", " ") for name in columns)
    table = Table(*heads, title="More volume, less profit (long run, against the list prices)")
    for point in points:
        table.add_row(*(format(point[name], style) for name, style in columns.items()))
    return table


OUTCOME_COLUMNS = {
    "at list": ("at_list", ".0%"),
    "below list": ("below", ".0%"),
    "by the model": ("from_model", ".0%"),
    "median cut": ("reduction", ".1%"),
    "long-run profit": ("long_run_profit", "+.1%"),
    "short-run profit": ("short_run_profit", "+.1%"),
    "units": ("units", "+.1%"),
    "price index": ("price_index", ".3f"),
}


def objectives_table(outcomes: list[dict[str, Any]]) -> Table:
    """A row for each objective: its public prices, and changes against the list prices."""
    title = "Public prices by objective, against the list prices, as the model expects"
    table = Table("objective", *OUTCOME_COLUMNS, title=title)
    for row in outcomes:
        cells = (format(row[key], style) for key, style in OUTCOME_COLUMNS.values())
        table.add_row(row["objective"], *cells)
    return table


def reproduce(
    alias: Annotated[str, typer.Argument(help="The pair: champion or previous.")] = "champion",
) -> None:
    """Train a registered pair again and compare its metrics.

    Uses the recorded data, params and seed. Exit code 1 if a metric differs.
    """
    from pipelines.reports.reproduce import reproduce as run

    rows = run(alias, Settings())
    table = Table("model", "metric", "recorded", "again", "", title=f"Reproducing the {alias}")
    table.columns[1].overflow = "fold"
    for row in rows:
        mark = "[green]equal[/]" if row.equal else "[red]DIFFERS[/]"
        table.add_row(row.model, row.metric, f"{row.recorded:.10g}", f"{row.again:.10g}", mark)
    console.print(table)
    raise typer.Exit(0 if all(row.equal for row in rows) else 1)
