"""The reports as commands: backtest, elasticities, reproduce."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from rich.table import Table

from cli.options import AsOf, Level, MaxSeries, at_level, console, stage_inputs
from pricebook.config import Settings


def backtest(
    as_of: AsOf = None,
    origins: Annotated[int, typer.Option("--cutoffs", min=1, help="refits to judge")] = 2,
    horizon: Annotated[
        int | None, typer.Option(min=1, help="periods ahead; train.horizon if not given")
    ] = None,
    level: Level = None,
    max_series: MaxSeries = None,
    ets_series: Annotated[
        int, typer.Option(min=1, help="AutoETS forecasts a sample of at most this many")
    ] = 2000,
) -> None:
    """Forecast this shop's past as if it were not known, beside what else it could use."""
    from pipelines.reports.backtest import Asked
    from pipelines.reports.backtest import backtest as judge

    day, params, settings = stage_inputs(as_of)
    asked = Asked(origins, horizon, max_series, ets_series)
    report = judge(day, at_level(level, params), settings, asked)
    said = f"{report['series']:,} series, {report['horizon']} periods ahead of "
    said += ", ".join(report["origins"])
    console.print(_scores_table(said, report["scores"]))
    if report["sample"]:
        title = f"The same on the {ets_series:,} series that AutoETS forecast"
        console.print(_scores_table(title, report["sample"]))
    console.print(f"Every forecast, the scores and a plot: {report['folder']}", soft_wrap=True)


def _scores_table(title: str, rows: list[dict[str, Any]]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*names, title=title)
    for row in rows:
        shown = (row.get(name, "") for name in names)
        table.add_row(*(f"{value:.3f}" if isinstance(value, float) else value for value in shown))
    return table


def elasticities(
    as_of: AsOf = None,
    level: Level = None,
    max_series: MaxSeries = None,
    rows: Annotated[int, typer.Option(min=1, help="rows to print of each table")] = 15,
) -> None:
    """What price does to demand here: own and cross elasticities with their errors."""
    from pipelines.reports.elasticities import elasticities as judge

    day, params, settings = stage_inputs(as_of)
    found = judge(day, at_level(level, params), settings, max_series)
    console.print(_elasticities_table("Own price, by sku", found["by_sku"], rows))
    if len(found["cross"]):
        console.print(_elasticities_table("Others' prices", found["cross"], rows))
    else:
        console.print("No other price moved enough to tell a cross elasticity.")
    told = found["summary"]
    console.print(
        f"Pooled {told['pooled']:.2f} ± {told['pooled_stderr']:.2f}, {told['series']:,} series; "
        f"{told['pooled_without_promotion_controls']:.2f} with promotions left in, "
        f"{told['naive']:.2f} by plain least squares.\n"
        f"Every figure and a plot: {found['folder']}",
        soft_wrap=True,
    )


def _elasticities_table(title: str, frame: Any, rows: int) -> Table:
    """The surest rows, most elastic first."""
    sure = (frame["elasticity"].abs() / frame["stderr"]).sort_values(ascending=False)
    surest = frame.loc[sure.index[:rows]].sort_values("elasticity")
    more = f" (the surest {len(surest):,} of {len(frame):,})" if len(frame) > rows else ""
    table = Table(*frame.columns, title=title + more)
    for row in surest.itertuples(index=False):
        table.add_row(*(f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row))
    return table


def reproduce(
    alias: Annotated[str, typer.Argument(help="champion or previous")] = "champion",
) -> None:
    """Restore a model pair's exact data, retrain with its params and seed, compare every metric."""
    from pipelines.reports.reproduce import reproduce as again

    rows = again(alias, Settings())
    table = Table("model", "metric", "recorded", "again", "", title=f"reproducing the {alias}")
    table.columns[1].overflow = "fold"
    for row in rows:
        mark = "[green]equal[/]" if row.equal else "[red]DIFFERS[/]"
        table.add_row(row.model, row.metric, f"{row.recorded:.10g}", f"{row.again:.10g}", mark)
    console.print(table)
    raise typer.Exit(0 if all(row.equal for row in rows) else 1)
