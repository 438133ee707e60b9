"""Plots of a training run, for MLflow and the docs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from models.evaluation.holdout import SERIES, Holdout, best_sellers, with_actual
from pricebook.pricing.objective import Point


class Outcome(Protocol):
    """The prices of an objective, as `frontier` plots them."""

    @property
    def objective(self) -> str: ...
    @property
    def units(self) -> float: ...
    @property
    def long_run_profit(self) -> float: ...
    @property
    def price_index(self) -> float: ...


BLUE, GREY = "#2a6f97", "#8d99ae"


def _figure(title: str, x: str, y: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def forecast_fan(forecast: pd.DataFrame, held: Holdout, series: int = 6) -> Figure:
    """Actual and forecast units of the best sellers, with 50 % and 80 % intervals."""
    figure = Figure(figsize=(11, 6), layout="constrained")
    figure.suptitle("Held-out periods: actual units, forecast, 50 % and 80 % intervals")
    for axes, (_, key) in zip(
        figure.subplots(2, series // 2).flat,
        best_sellers(held.history, series).iterrows(),
        strict=False,
    ):
        past, actual, ahead = (
            frame.merge(key.to_frame().T, on=SERIES)
            for frame in (held.history, held.actual, forecast)
        )
        recent = pd.concat([past.tail(16), actual])
        axes.plot(pd.to_datetime(recent["period"]), recent["units"], color=GREY, label="actual")
        when = pd.to_datetime(ahead["period"])
        for low, high, alpha in (("q10", "q90", 0.2), ("q25", "q75", 0.35)):
            axes.fill_between(
                when, ahead[low].astype(float), ahead[high].astype(float), color=BLUE, alpha=alpha
            )
        axes.plot(when, ahead["mean"], color=BLUE, label="forecast")
        axes.set_title(f"sku {key['sku']}", fontsize=9)
        axes.tick_params(axis="x", rotation=45, labelsize=7)
    return figure


def calibration(forecast: pd.DataFrame, held: Holdout) -> Figure:
    """The share of held-out outcomes at or below each quantile forecast, against its level."""
    both = with_actual(forecast, held, None)
    names = sorted(
        column for column in forecast.columns if column[:1] == "q" and column[1:].isdigit()
    )
    levels = [int(name[1:]) / 100 for name in names]
    shares = [float((both["units"] <= both[name]).mean()) for name in names]
    figure, axes = _figure("Calibration", "level of the quantile", "share of outcomes at or below")
    axes.plot([0, 1], [0, 1], color=GREY, linestyle=":")
    axes.plot(levels, shares, marker="o", color=BLUE)
    return figure


def elasticities(table: pd.DataFrame) -> Figure:
    """Histogram of the elasticities of all series, for all shoppers together."""
    figure, axes = _figure("Own-price elasticities", "elasticity", "series")
    values = table.loc[table["segment"] == "everyone", "elasticity"]
    axes.hist(values, bins=40, color=BLUE)
    return figure


def price_response(table: pd.DataFrame) -> Figure:
    """Demand against price for the most, the median and the least elastic series."""
    figure, axes = _figure("Price response", "price / reference price", "demand / reference demand")
    ratio = np.linspace(0.7, 1.1, 41)
    ranked = table[table["segment"] == "everyone"].sort_values("elasticity", ignore_index=True)
    for position in (0, len(ranked) // 2, len(ranked) - 1):
        row = ranked.loc[position]
        low, high = (row["elasticity"] + side * 1.645 * row["stderr"] for side in (-1, 1))
        label = f"sku {row['sku']}: {row['elasticity']:.2f} ± {row['stderr']:.2f}"
        axes.fill_between(ratio, ratio**low, ratio**high, alpha=0.15)
        axes.plot(ratio, ratio ** row["elasticity"], label=label)
    axes.legend()
    return figure


def bars(title: str, names: Sequence[str], values: Sequence[float]) -> Figure:
    """A horizontal bar per name; the first, which is ours, in blue."""
    figure, axes = _figure(title, "", "")
    colours = [BLUE, *[GREY] * (len(names) - 1)][::-1]
    drawn = axes.barh(list(names)[::-1], list(values)[::-1], color=colours)
    axes.bar_label(drawn, fmt="%.3f", padding=3)
    return figure


def intervals(by_sku: pd.DataFrame) -> Figure:
    """The elasticity of each sku with its 90 % interval, sorted from most to least elastic."""
    figure, axes = _figure("Own-price elasticities, 90 % intervals", "elasticity", "skus")
    ranked = by_sku.sort_values("elasticity", ignore_index=True)
    axes.hlines(ranked.index, ranked["low"], ranked["high"], color=GREY, linewidth=0.8)
    axes.plot(ranked["elasticity"], ranked.index, ".", color=BLUE, markersize=4)
    return figure


def frontier(points: Sequence[Point], outcomes: Sequence[Outcome]) -> Figure:
    """Units against long-run profit, both relative to the list prices, and each objective."""
    figure, axes = _figure(
        "What more volume costs, against the list prices", "units", "long-run profit"
    )
    units, profit = zip(*((point.units, point.profit) for point in points), strict=True)
    axes.plot(units, profit, color=BLUE, marker=".", label="the best prices for each volume")
    axes.axhline(0, color=GREY, linestyle=":")
    markers = zip(outcomes, ("o", "s", "^", "D", "v"), strict=False)
    for outcome, marker in markers:
        label = f"{outcome.objective}: price index {outcome.price_index:.3f}"
        at = outcome.units, outcome.long_run_profit
        axes.plot(*at, marker, markersize=7, fillstyle="none", label=label)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(frameon=False)
    return figure
