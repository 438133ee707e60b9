"""backtest: compare Pricebook's forecasts of the shop's past with the methods it could use instead.

Each origin is a cut-off. The models are fitted again on what was known before it. Prices and
promotions of the periods after it count as planned. The report reads the feature files. Where they
are missing, or belong to another cut-off or level, it makes its own.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.evaluation.panel import read_features, with_halves
from pricebook import metrics
from pricebook.config import Params, Settings, cutoff
from pricebook.errors import EmptyHistory
from pricebook.files import atomic_dir, read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("pricebook.backtest")

SERIES = ["sku", "zone"]
KEY = [*SERIES, "period"]
LABELS = ["department", "category", "product_type"]
OURS, ETS = "Pricebook", "AutoETS"
INTERVALS = {"in 50 %": ("q25", "q75"), "in 80 %": ("q10", "q90"), "in 90 %": ("q05", "q95")}
RESULTS = ("forecasts.parquet", "scores.json", "backtest.png")


@dataclass(frozen=True)
class BacktestSpec:
    """How to run a backtest.

    Attributes:
        origins: how many cut-offs to forecast from.
        horizon: periods to forecast from each; `train.horizon` if None.
        series: how many series, those with most units; all if None.
        ets_series: how many series AutoETS forecasts at most, because it is slow. Beyond that it
            forecasts a fixed sample, and the methods are compared with it on that sample.
    """

    origins: int = 2
    horizon: int | None = None
    series: int | None = None
    ets_series: int = 2000


def backtest(as_of: date, params: Params, settings: Settings, spec: BacktestSpec) -> dict[str, Any]:
    """Forecast the last `origins` x `horizon` periods with every method, and score the forecasts.

    Writes forecasts.parquet (of every method, with our quantiles), scores.json and backtest.png
    into .pricebook/backtest of the home, all at once.

    Returns:
        `scores`, one row per method; `sample`, the same on the series of AutoETS if it forecast a
        sample, else empty; `folder`, where the files are.

    Raises:
        EmptyHistory: there are too few periods for the origins and the horizon, or nothing was sold
            in the periods to forecast.
        TrainingError: a loss or a forecast is not finite.
    """
    import pandas as pd

    horizon = spec.horizon or params.train.horizon
    home = report_home(as_of, params, settings)
    panel = largest_series(history(as_of, params, home), spec.series)
    forecasts = pd.concat(_forecasts(panel, params, horizon, spec), ignore_index=True)
    past = panel[panel["period"] < forecasts["period"].min()]
    sampled = _ets_is_sampled(forecasts)
    report = {
        "as_of": str(as_of),
        "series": int(panel.groupby(SERIES).ngroups),
        "horizon": horizon,
        "origins": sorted(str(day)[:10] for day in forecasts["origin"].unique()),
        "scores": _scores(forecasts[forecasts["method"] != ETS] if sampled else forecasts, past),
        "sample": _scores(_series_of_ets(forecasts), past) if sampled else [],
    }
    folder = settings.state / "backtest"
    with atomic_dir(folder) as partial:
        forecasts.to_parquet(partial / RESULTS[0], index=False)
        write_json(partial / RESULTS[1], report)
        _draw(report, partial / RESULTS[2])
    return {**report, "folder": str(folder)}


def report_home(as_of: date, params: Params, settings: Settings) -> Settings:
    """The home whose features have this cut-off and level.

    It is the shop's own home, or else one inside it, which is refreshed. The features that the shop
    trains on and serves from, and its alerts, are not changed.
    """
    if not _is_stale(as_of, params, settings):
        return settings
    inside = {"home": settings.state / "judged", "ledger_url": None}
    home = Settings(**settings.model_dump() | inside)
    if _is_stale(as_of, params, home):
        _refresh(as_of, params, home)
    return home


def history(as_of: date, params: Params, settings: Settings) -> pd.DataFrame:
    """Every series before `as_of` with its labels and halves, from the feature files of a home."""
    import pandas as pd

    rows = read_features("sku_period", settings)
    rows = rows[rows["event_timestamp"] <= cutoff(as_of, params.shop.timezone)]
    book = read_features("price_book", settings, [*SERIES, *LABELS])
    joined = rows.merge(book, on=SERIES, how="left").drop(
        columns=["event_timestamp", "created_timestamp", "sku_period_at"]
    )
    joined["period"] = pd.to_datetime(joined["period"])
    return with_halves(joined, settings).sort_values(KEY, ignore_index=True)


def _is_stale(as_of: date, params: Params, settings: Settings) -> bool:
    file = settings.features / "manifest.json"
    if not file.exists():
        return True
    manifest = read_json(file)
    features = (manifest["as_of"], manifest["grain"], manifest.get("by_zone"))
    return features != (str(as_of), params.shop.grain, params.shop.by_zone)


def _refresh(as_of: date, params: Params, settings: Settings) -> None:
    from pipelines.featurize import featurize
    from pipelines.ingest import ingest
    from pipelines.validate import validate

    for stage in (ingest, validate, featurize):
        log.info("%s, because the features are missing or stale", stage.__name__)
        stage(as_of, params, settings)


def largest_series(panel: pd.DataFrame, count: int | None) -> pd.DataFrame:
    """The rows of the `count` series with most units; all rows if None."""
    from models.evaluation.holdout import best_sellers

    return panel.merge(best_sellers(panel, count), on=SERIES) if count else panel


def _forecasts(
    panel: pd.DataFrame, params: Params, horizon: int, spec: BacktestSpec
) -> Iterator[pd.DataFrame]:
    """The forecast of every method from every origin, with the units that were sold."""
    periods = np.sort(panel["period"].unique())
    needed = (spec.origins + 2) * horizon
    if len(periods) < needed:
        raise EmptyHistory(
            f"{spec.origins} origins, {horizon} periods ahead of each, need {needed} periods. "
            f"Received: {len(periods)} periods"
        )
    for number in range(spec.origins, 0, -1):
        start = len(periods) - number * horizon
        origin, end = periods[start], periods[start + horizon - 1]
        before = panel[panel["period"] < origin]
        after = panel[(panel["period"] >= origin) & (panel["period"] <= end)]
        units = after[[*KEY, "units"]]
        _check_sold(units)
        plan = after.drop(columns=["units", "revenue"])
        for method, forecast in _methods(before, plan, params, spec):
            log.info("origin %s: %s is done", str(origin)[:10], method)
            yield forecast.merge(units, on=KEY).assign(method=method, origin=origin)


def _check_sold(units: pd.DataFrame) -> None:
    if units["units"].sum() == 0:
        start, end = (str(units["period"].agg(bound))[:10] for bound in ("min", "max"))
        raise EmptyHistory(
            f"Nothing was sold from {start} to {end}, so no error can be measured. "
            "Choose another --as-of or --cutoffs. Received: 0 units"
        )


def _methods(
    before: pd.DataFrame, plan: pd.DataFrame, params: Params, spec: BacktestSpec
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Each method's name and forecast from one origin."""
    from models.demand import baselines
    from models.demand import model as demand

    horizon, train = plan["period"].nunique(), params.train
    log.info("Training on %d series", before.groupby(SERIES).ngroups)

    def on_epoch(epoch: int, losses: dict[str, float]) -> None:
        log.info("epoch %d of %d, loss %.4f", epoch, train.demand.epochs, losses["loss"])

    model = demand.fit(before, train.demand, horizon, train.seed, on_epoch)
    yield OURS, model.forecast(before, plan)
    yield "seasonal naive", baselines.seasonal_naive(before, horizon)
    yield "mean of the last four", baselines.four_period_mean(before, horizon)
    yield ETS, baselines.auto_ets(_sample(before, spec.ets_series, train.seed), horizon)


def _sample(panel: pd.DataFrame, count: int, seed: int) -> pd.DataFrame:
    """The rows of `count` series drawn with the seed; all rows if there are no more series."""
    keys = panel[SERIES].drop_duplicates().sort_values(SERIES)
    return panel if len(keys) <= count else panel.merge(keys.sample(count, random_state=seed))


def _ets_is_sampled(forecasts: pd.DataFrame) -> bool:
    count = forecasts.groupby("method").size()
    return bool(count[ETS] < count[OURS])


def _series_of_ets(forecasts: pd.DataFrame) -> pd.DataFrame:
    keys = forecasts.loc[forecasts["method"] == ETS, SERIES].drop_duplicates()
    return forecasts.merge(keys, on=SERIES)


def _scores(forecasts: pd.DataFrame, past: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per method: errors over all series and origins, and the coverage of our intervals."""
    scale = past.groupby(SERIES)["units"].agg(lambda units: units.diff().abs().mean())
    rows = []
    for method, group in forecasts.groupby("method", sort=False):
        units, mean = group["units"].to_numpy(float), group["mean"].to_numpy(float)
        series = [group[name] for name in SERIES]
        error = (group["units"] - group["mean"]).abs().groupby(series).mean()
        mase = float((error / scale[scale > 0]).dropna().mean())
        row = {"method": method, "WAPE": metrics.wape(units, mean), "MASE": mase}
        rows.append({**row, "bias": metrics.bias(units, mean), **_coverage(group, units)})
    return rows


def _coverage(forecasts: pd.DataFrame, units: np.ndarray) -> dict[str, float]:
    if "q50" not in forecasts or forecasts["q50"].isna().all():
        return {}
    return {
        name: metrics.coverage(units, forecasts[low], forecasts[high])
        for name, (low, high) in INTERVALS.items()
    }


def _draw(report: dict[str, Any], path: Path) -> None:
    from models.evaluation import plots

    rows = report["sample"] or report["scores"]
    title = f"Forecast error (WAPE), {report['horizon']} periods ahead"
    figure = plots.bars(title, [row["method"] for row in rows], [row["WAPE"] for row in rows])
    figure.savefig(path, dpi=120)
