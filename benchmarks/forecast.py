"""Compare the forecasts of the demand model with those of other methods.

    python -m benchmarks.forecast [--series all] [--cutoffs 28 32 36 40] [--methods ours mean]

Every method is trained again at each cut-off (a week number) and forecasts the next four weeks.
Planned prices and promotions are known. Cut-offs 44 and 48 are reported. Settings were chosen on
cut-offs 28 to 40.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console

from benchmarks import rivals
from benchmarks.inputs.panel import benchmark_panel
from benchmarks.report import Bar, Plot, Row, print_result, write_result
from pricebook.config import REPO_ROOT, Train, load_params
from pricebook.metrics import bias, coverage, mase, pinball, rmsse, wape

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

REPORTED = (44, 48)
KEY = ["sku", "zone", "period"]
PRICE, PROMOTIONS = ("price",), ("display", "mailer")
OURS, WITHOUT_PRICES = "ours", "ours without price and promotion"
TREES, TREE_QUANTILES = "LightGBM + price, display, mailer", "LightGBM quantile models"
ON_ALL = ("mean", TREES, OURS)
TARGET_RATIO = 0.95  # our error / LightGBM's error
Floats = NDArray[np.float64]
Method = Callable[[pd.DataFrame, pd.DataFrame], pd.DataFrame]


@dataclass(frozen=True)
class Window:
    """One method's forecast from one cut-off.

    Attributes:
        forecast: a row for each series and period, with `units` (actual), `mean` and quantiles.
        history: the units before the cut-off [series, periods].
        seconds: the time of training and forecasting.
    """

    forecast: pd.DataFrame
    history: Floats
    seconds: float

    def grid(self, column: str) -> Floats:
        """A column of the forecast as an array [series, horizon]."""
        values: Floats = self.forecast[column].to_numpy(np.float64).reshape(len(self.history), -1)
        return values


def methods(train: Train) -> dict[str, Method]:
    """All methods by name: (history, plan) -> sku, zone, period, mean and quantiles."""
    known = (*PRICE, *PROMOTIONS)
    return {
        "mean of last 4 weeks": lambda history, plan: _four_weeks(history, train.horizon),
        "AutoETS": rivals.auto_ets,
        "LightGBM": partial(rivals.lightgbm, known=()),
        "LightGBM + display, mailer": partial(rivals.lightgbm, known=PROMOTIONS),
        "LightGBM + price": partial(rivals.lightgbm, known=PRICE),
        TREES: partial(rivals.lightgbm, known=known),
        TREE_QUANTILES: partial(
            rivals.lightgbm_quantiles, known=known, quantiles=train.demand.quantiles
        ),
        WITHOUT_PRICES: lambda history, plan: ours(*_without_prices(history, plan), train),
        OURS: lambda history, plan: ours(history, plan, train),
    }


def ours(history: pd.DataFrame, plan: pd.DataFrame, train: Train) -> pd.DataFrame:
    from models.demand.model import fit

    spec = train.demand.model_copy(update={"max_series": None})
    model = fit(history, spec, train.horizon, train.seed, lambda *_: None)
    return model.forecast(history, plan)


def _four_weeks(history: pd.DataFrame, horizon: int) -> pd.DataFrame:
    from models.demand.baselines import four_period_mean

    return four_period_mean(history, horizon)


def _without_prices(history: pd.DataFrame, plan: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both frames with one constant price per sku and without promotions."""
    usual = history.groupby("sku")["price"].median()
    history, plan = (
        frame.assign(price=frame["sku"].map(usual), display=0.0, mailer=0.0, promotion=0.0)
        for frame in (history, plan)
    )
    return history, plan


def split(panel: pd.DataFrame, cutoff: int, horizon: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The panel up to week `cutoff`, and the weeks to forecast."""
    known, ahead = panel["week"] <= cutoff, panel["week"] <= cutoff + horizon
    return panel[known].drop(columns="week"), panel[ahead & ~known].drop(columns="week")


def window(method: Method, panel: pd.DataFrame, cutoff: int, horizon: int) -> Window:
    """Train a method at a cut-off and forecast."""
    history, future = split(panel, cutoff, horizon)
    plan = future.drop(columns=["units", "revenue"])
    start = time.perf_counter()
    forecast = method(history, plan)
    seconds = time.perf_counter() - start
    joined = forecast.merge(future[[*KEY, "units"]], on=KEY, validate="1:1").sort_values(KEY)
    past = history.pivot(index=["sku", "zone"], columns="period", values="units").sort_index()
    return Window(joined, past.to_numpy(np.float64), seconds)


def score(method: str, windows: Sequence[Window], quantiles: Sequence[float]) -> dict[str, Any]:
    """The scores of a method.

    WAPE and bias pool all windows. RMSSE and MASE are means over skus and windows.
    """
    units, mean = _stacked(windows, "units"), _stacked(windows, "mean")
    arrays = [(w.grid("units"), w.grid("mean"), w.history) for w in windows]
    quantile_scores = _quantile_scores(windows, quantiles) if "q50" in windows[0].forecast else {}
    return {
        "method": method,
        "WAPE": wape(units, mean),
        "RMSSE": float(np.mean([rmsse(*window) for window in arrays])),
        "MASE": float(np.mean([mase(*window) for window in arrays])),
        "bias": bias(units, mean),
        "in 80 %": quantile_scores.get("in 80 %"),
        "pinball": quantile_scores.get("pinball"),
        "seconds": sum(window.seconds for window in windows),
    }


def _quantile_scores(windows: Sequence[Window], quantiles: Sequence[float]) -> dict[str, float]:
    units = _stacked(windows, "units")
    forecasts = {q: _stacked(windows, f"q{round(100 * q):02d}") for q in quantiles}
    return {
        "in 80 %": coverage(units, forecasts[0.1], forecasts[0.9]),
        "pinball": float(
            np.mean([pinball(units, forecast, q) for q, forecast in forecasts.items()])
        ),
    }


def _stacked(windows: Sequence[Window], column: str) -> Floats:
    return np.concatenate([window.grid(column) for window in windows])


def bars(rows: Sequence[Row]) -> list[Bar]:
    """The targets for the methods that ran."""
    scores = {row["method"]: row for row in rows}
    result: list[Bar] = []
    if OURS in scores:
        us = scores[OURS]
        result += [
            Bar("WAPE, ours", us["WAPE"], 0.325),
            Bar("RMSSE, ours", us["RMSSE"], 0.600),
            Bar("absolute bias, ours", abs(us["bias"]), 0.02),
            Bar("coverage of the 80 % interval, ours", us["in 80 %"], 0.77, at_most=False),
            Bar("coverage of the 80 % interval, ours", us["in 80 %"], 0.83),
        ]
        result += _against_trees(us, scores)
    if WITHOUT_PRICES in scores:
        result.append(
            Bar("WAPE, ours without price and promotion", scores[WITHOUT_PRICES]["WAPE"], 0.475)
        )
    return result


def _against_trees(us: Row, scores: dict[str, Row]) -> list[Bar]:
    bars = [
        Bar(f"{error}, ours / LightGBM", us[error] / scores[TREES][error], TARGET_RATIO)
        for error in ("WAPE", "RMSSE")
        if TREES in scores
    ]
    if TREE_QUANTILES in scores:
        rival = scores[TREE_QUANTILES]["pinball"]
        bars.append(Bar("pinball, ours / LightGBM", us["pinball"] / rival, 1.0))
    return bars


def scaling(panels: dict[str, pd.DataFrame], train: Train) -> tuple[list[Row], list[Bar]]:
    """The training time on all skus and on the 500 best sellers.

    Call it when TensorFlow has started and nothing else runs.
    """
    seconds = {}
    for name, panel in panels.items():
        history, _ = split(panel, REPORTED[0], train.horizon)
        start = time.perf_counter()
        _train(history, train)
        seconds[name] = time.perf_counter() - start
    skus = {name: panel["sku"].nunique() for name, panel in panels.items()}
    rows: list[Row] = [{"training": f"{skus[n]} skus", "seconds": s} for n, s in seconds.items()]
    growth = (seconds["all"] / seconds["best"]) / (skus["all"] / skus["best"])
    return rows, [
        Bar("training on all skus, minutes", seconds["all"] / 60, 5.0),
        Bar("growth of training time / growth of sku count", growth, 1.1),
    ]


def _train(history: pd.DataFrame, train: Train) -> None:
    from models.demand.model import fit

    spec = train.demand.model_copy(update={"max_series": None})
    fit(history, spec, train.horizon, train.seed, lambda *_: None)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cutoffs", type=int, nargs="+", default=list(REPORTED), metavar="WEEK")
    parser.add_argument("--series", choices=["best", "all"], default="best")
    parser.add_argument("--methods", nargs="+", help="words of their names; default: all methods")
    return parser.parse_args()


def _run(arguments: argparse.Namespace, panel: pd.DataFrame, train: Train) -> list[Row]:
    rows: list[Row] = []
    with Console(stderr=True).status("") as status:
        for name, method in methods(train).items():
            words = arguments.methods or (ON_ALL if arguments.series == "all" else [name])
            if not any(word in name for word in words) or (
                arguments.series == "all" and name == WITHOUT_PRICES
            ):
                continue
            windows = []
            for cutoff in arguments.cutoffs:
                status.update(f"{name}, from week {cutoff}")
                windows.append(window(method, panel, cutoff, train.horizon))
            rows.append(score(name, windows, train.demand.quantiles))
            if name == OURS:
                rows += [
                    score(f"ours, from week {cutoff}", [window_], train.demand.quantiles)
                    for cutoff, window_ in zip(arguments.cutoffs, windows, strict=True)
                ]
    return rows


def main() -> None:
    arguments = _arguments()
    train = load_params(REPO_ROOT / "params.yaml").train
    panel = benchmark_panel(arguments.series)
    rows = _run(arguments, panel, train)
    targets, details = bars(rows), {}
    if arguments.series == "all":
        ratios = [bar for bar in targets if bar.what.endswith("/ LightGBM")]
        trainings, limits = scaling({"best": benchmark_panel(), "all": panel}, train)
        targets = [*(Bar(ratio.what, ratio.figure, 1.0) for ratio in ratios), *limits]
        details = {"training": trainings}
    skus, weeks = panel["sku"].nunique(), " and ".join(map(str, arguments.cutoffs))
    title = f"Demand: {skus:,} skus of Complete Journey, four weeks ahead of weeks {weeks}"
    print_result(title, rows, targets)
    if tuple(arguments.cutoffs) == REPORTED and not arguments.methods:
        name = "forecast" if arguments.series == "best" else "forecast-all"
        command = "python -m benchmarks.forecast" + (" --series all" * (arguments.series == "all"))
        write_result(name, title, command, rows, targets, Plot("method", "WAPE"), **details)


if __name__ == "__main__":
    main()
