"""How far ahead of the four-week mean is the demand model? `python -m benchmarks.forecast`.

Refits at each cut-off (a week number) and forecasts the next four weeks, planned prices and
promotions known. 44 and 48 are for reporting; settings are chosen with
`--cutoffs 28 32 36 40`. Prints a table and writes benchmarks/results/forecast.json.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.panel import benchmark_panel
from pipelines.files import write_json
from pricebook.config import REPO_ROOT, Train, load_params
from pricebook.metrics import bias, coverage, mase, pinball, rmsse, wape

if TYPE_CHECKING:
    from models.forecaster import OnEpoch

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

REPORTED = (44, 48)
RESULTS = Path(__file__).parent / "results"
KEY = ["sku", "zone", "period"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Score:
    """One method over the windows; coverage and pinball only where it gives quantiles."""

    method: str
    wape: float
    rmsse: float
    mase: float | None
    bias: float | None = None
    coverage_80: float | None = None
    coverage_50: float | None = None
    pinball: float | None = None
    seconds: float | None = None


@dataclass(frozen=True)
class Window:
    """One method's forecast from one cut-off: a frame with `units` and forecasts, and the past."""

    told: pd.DataFrame
    history: Floats
    seconds: float

    def grid(self, column: str) -> Floats:
        """[series, horizon]"""
        values: Floats = self.told[column].to_numpy(np.float64).reshape(len(self.history), -1)
        return values


def split(panel: pd.DataFrame, cutoff: int, horizon: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """What was known at the end of week `cutoff`, and the weeks to forecast."""
    known, ahead = panel["week"] <= cutoff, panel["week"] <= cutoff + horizon
    return panel[known].drop(columns="week"), panel[ahead & ~known].drop(columns="week")


def ours(
    panel: pd.DataFrame, train: Train, cutoffs: list[int], on_epoch: OnEpoch
) -> Iterator[Window]:
    from models.demand import fit

    for cutoff in cutoffs:
        history, future = split(panel, cutoff, train.horizon)
        start = time.perf_counter()
        model = fit(history, train.demand, train.horizon, train.seed, on_epoch)
        told = model.forecast(history, future.drop(columns=["units", "revenue"]))
        yield _window(told, history, future, time.perf_counter() - start)


def four_week_mean(panel: pd.DataFrame, train: Train, cutoffs: list[int]) -> Iterator[Window]:
    from models.demand import four_period_mean

    for cutoff in cutoffs:
        history, future = split(panel, cutoff, train.horizon)
        start = time.perf_counter()
        told = four_period_mean(history, train.horizon)
        yield _window(told, history, future, time.perf_counter() - start)


def _window(
    told: pd.DataFrame, history: pd.DataFrame, future: pd.DataFrame, seconds: float
) -> Window:
    joined = told.merge(future[[*KEY, "units"]], on=KEY, validate="1:1").sort_values(KEY)
    past = history.pivot(index=["sku", "zone"], columns="period", values="units").sort_index()
    return Window(joined, past.to_numpy(np.float64), seconds)


def score(method: str, windows: list[Window], quantiles: tuple[float, ...]) -> Score:
    """WAPE and bias over all windows together; RMSSE and MASE as a mean over skus and windows."""
    sold, said = _stacked(windows, "units"), _stacked(windows, "mean")
    each = [(w.grid("units"), w.grid("mean"), w.history) for w in windows]
    return Score(
        method,
        wape(sold, said),
        float(np.mean([rmsse(*window) for window in each])),
        float(np.mean([mase(*window) for window in each])),
        bias(sold, said),
        seconds=sum(window.seconds for window in windows),
        **(_of_quantiles(windows, quantiles) if "q50" in windows[0].told else {}),
    )


def _of_quantiles(windows: list[Window], quantiles: tuple[float, ...]) -> dict[str, float]:
    sold = _stacked(windows, "units")
    at = {q: _stacked(windows, f"q{round(100 * q):02d}") for q in quantiles}
    return {
        "coverage_80": coverage(sold, at[0.1], at[0.9]),
        "coverage_50": coverage(sold, at[0.25], at[0.75]),
        "pinball": float(np.mean([pinball(sold, said, q) for q, said in at.items()])),
    }


def _stacked(windows: list[Window], column: str) -> Floats:
    return np.concatenate([window.grid(column) for window in windows])


def table(scores: list[Score], cutoffs: list[int]) -> Table:
    title = f"Complete Journey, 500 skus, 4 weeks ahead of weeks {', '.join(map(str, cutoffs))}"
    drawn = Table(title=title, box=SIMPLE_HEAD, pad_edge=False)
    drawn.add_column("method", no_wrap=True)
    for name in ("WAPE", "RMSSE", "MASE", "bias", "in 80%", "in 50%", "s"):
        drawn.add_column(name, justify="right", no_wrap=True)
    for row in scores:
        drawn.add_row(row.method, *_figures(row))
    return drawn


def _figures(row: Score) -> list[str]:
    errors = [_shown(error) for error in (row.wape, row.rmsse, row.mase)]
    shares = [_shown(share, ".1%") for share in (row.coverage_80, row.coverage_50)]
    return [*errors, _shown(row.bias, "+.1%"), *shares, _shown(row.seconds, ".0f")]


def _shown(value: float | None, how: str = ".3f") -> str:
    return "" if value is None else format(value, how)


def report(scores: list[Score], windows: list[Window], train: Train, cutoffs: list[int]) -> Any:
    each = [
        score(f"week {c}", [w], train.demand.quantiles)
        for c, w in zip(cutoffs, windows, strict=True)
    ]
    return {
        "cutoffs": cutoffs,
        "horizon": train.horizon,
        "seed": train.seed,
        "params": train.demand.model_dump(),
        "methods": [asdict(row) for row in scores],
        "demand_by_cutoff": [asdict(row) for row in each],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cutoffs", type=int, nargs="+", default=list(REPORTED), metavar="WEEK")
    cutoffs: list[int] = parser.parse_args().cutoffs
    console, train = Console(), load_params(REPO_ROOT / "params.yaml").train
    panel, reported = benchmark_panel(), tuple(cutoffs) == REPORTED
    with console.status("The benchmark's panel is ready; training") as status:
        said = list(
            ours(panel, train, cutoffs, lambda e, _: status.update(f"Training: epoch {e} is done"))
        )
    means = list(four_week_mean(panel, train, cutoffs))
    quantiles = train.demand.quantiles
    scores = [score("mean of last 4 weeks", means, quantiles), score("demand", said, quantiles)]
    console.print(table(scores, cutoffs))
    name = "forecast" if reported else f"forecast-{'-'.join(map(str, cutoffs))}"
    write_json(RESULTS / f"{name}.json", report(scores, said, train, cutoffs))
    console.print(f"Written to {RESULTS / name}.json", soft_wrap=True)


if __name__ == "__main__":
    main()
