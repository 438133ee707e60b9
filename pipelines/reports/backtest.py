"""backtest: how Pricebook would have forecast this shop, beside what it would otherwise use.

Every origin refits on what was known then. Prices and promotions of the periods to come count as
planned. Needs no server: it reads the feature files, and makes its own where those are missing or
of another cut-off or level.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

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
class Asked:
    """How to judge: refits, periods ahead, and how many series (the largest; all if None).

    AutoETS is slow: beyond `ets_series` it forecasts a fixed sample of that many, and every method
    is compared with it there.
    """

    origins: int = 2
    horizon: int | None = None
    series: int | None = None
    ets_series: int = 2000


def backtest(as_of: date, params: Params, settings: Settings, asked: Asked) -> dict[str, Any]:
    """Forecast the last `origins` x `horizon` periods as they would have been; score every method.

    Writes forecasts.parquet (every method's, with our quantiles), scores.json and backtest.png into
    .pricebook/backtest of the home, all at once.

    Returns:
        `scores`: a row a method; `sample`: the same where AutoETS ran on a sample, else empty;
        `folder`: where the files are.

    Raises:
        EmptyHistory: too few periods for the origins and the horizon.
    """
    import pandas as pd

    horizon = asked.horizon or params.train.horizon
    judged = judged_home(as_of, params, settings)
    panel = largest_series(history(as_of, params, judged), asked.series)
    told = pd.concat(_forecasts(panel, params, horizon, asked), ignore_index=True)
    past = panel[panel["period"] < told["period"].min()]
    report = {
        "as_of": str(as_of),
        "series": int(panel.groupby(SERIES).ngroups),
        "horizon": horizon,
        "origins": sorted(str(day)[:10] for day in told["origin"].unique()),
        "scores": _scores(told[told["method"] != ETS] if _sampled(told) else told, past),
        "sample": _scores(_where_ets_ran(told), past) if _sampled(told) else [],
    }
    folder = settings.state / "backtest"
    with atomic_dir(folder) as partial:
        told.to_parquet(partial / RESULTS[0], index=False)
        write_json(partial / RESULTS[1], report)
        _draw(report, partial / RESULTS[2])
    return {**report, "folder": str(folder)}


def judged_home(as_of: date, params: Params, settings: Settings) -> Settings:
    """This home if its features are of that cut-off and level; else one inside it, brought to them.

    What the shop trains on and serves from, and its alerts, stay as they are.
    """
    if not _stale(as_of, params, settings):
        return settings
    inside = {"home": settings.state / "judged", "ledger_url": None}
    judged = Settings(**settings.model_dump() | inside)
    if _stale(as_of, params, judged):
        _refresh(as_of, params, judged)
    return judged


def history(as_of: date, params: Params, settings: Settings) -> pd.DataFrame:
    """Every series before `as_of` with its labels, from the feature files of a home."""
    import pandas as pd

    rows = pd.read_parquet(settings.features / "sku_period.parquet")
    rows = rows[rows["event_timestamp"] <= cutoff(as_of, params.shop.timezone)]
    book = pd.read_parquet(settings.features / "price_book.parquet", columns=[*SERIES, *LABELS])
    joined = rows.merge(book, on=SERIES, how="left").drop(
        columns=["event_timestamp", "created_timestamp", "sku_period_at"]
    )
    joined["period"] = pd.to_datetime(joined["period"])
    return joined.sort_values(KEY, ignore_index=True)


def _stale(as_of: date, params: Params, settings: Settings) -> bool:
    manifest = settings.features / "manifest.json"
    if not manifest.exists():
        return True
    made = read_json(manifest)
    asked = (str(as_of), params.shop.grain, params.shop.by_zone)
    return (made["as_of"], made["grain"], made.get("by_zone")) != asked


def _refresh(as_of: date, params: Params, settings: Settings) -> None:
    from pipelines.featurize import featurize
    from pipelines.ingest import ingest
    from pipelines.validate import validate

    for stage in (ingest, validate, featurize):
        log.info("%s, for the features are missing or stale", stage.__name__)
        stage(as_of, params, settings)


def largest_series(panel: pd.DataFrame, most: int | None) -> pd.DataFrame:
    """The rows of the `most` series with most units; all where None."""
    from models.evaluation.holdout import largest

    return panel.merge(largest(panel, most), on=SERIES) if most else panel


def _forecasts(
    panel: pd.DataFrame, params: Params, horizon: int, asked: Asked
) -> Iterator[pd.DataFrame]:
    """Every method's forecast from every origin, with what was sold."""
    periods = np.sort(panel["period"].unique())
    if len(periods) < (asked.origins + 2) * horizon:
        raise EmptyHistory(
            f"{asked.origins} origins, {horizon} periods ahead of each, need "
            f"{(asked.origins + 2) * horizon} periods. Received: {len(periods)} periods"
        )
    for number in range(asked.origins, 0, -1):
        start = len(periods) - number * horizon
        origin, end = periods[start], periods[start + horizon - 1]
        known = panel[panel["period"] < origin]
        ahead = panel[(panel["period"] >= origin) & (panel["period"] <= end)]
        sold = ahead[[*KEY, "units"]]
        for name, told in _from(known, ahead.drop(columns=["units", "revenue"]), params, asked):
            log.info("origin %s: %s is done", str(origin)[:10], name)
            yield told.merge(sold, on=KEY).assign(method=name, origin=origin)


def _from(
    known: pd.DataFrame, planned: pd.DataFrame, params: Params, asked: Asked
) -> Iterator[tuple[str, pd.DataFrame]]:
    from models.demand import baselines as rivals
    from models.demand import model as demand

    horizon, spec = planned["period"].nunique(), params.train
    log.info("Training on %d series", known.groupby(SERIES).ngroups)
    model = demand.fit(known, spec.demand, horizon, spec.seed, _tell(spec.demand.epochs))
    yield OURS, model.forecast(known, planned)
    yield "seasonal naive", rivals.seasonal_naive(known, horizon)
    yield "mean of the last four", rivals.four_period_mean(known, horizon)
    yield ETS, rivals.auto_ets(_sample(known, asked.ets_series, spec.seed), horizon)


def _tell(epochs: int) -> Callable[[int, dict[str, float]], None]:
    return lambda epoch, losses: log.info(
        "epoch %d of %d, loss %.4f", epoch, epochs, losses["loss"]
    )


def _sample(known: pd.DataFrame, most: int, seed: int) -> pd.DataFrame:
    """The rows of `most` series drawn by the seed; all where there are no more."""
    keys = known[SERIES].drop_duplicates().sort_values(SERIES)
    return known if len(keys) <= most else known.merge(keys.sample(most, random_state=seed))


def _sampled(told: pd.DataFrame) -> bool:
    count = told.groupby("method").size()
    return bool(count[ETS] < count[OURS])


def _where_ets_ran(told: pd.DataFrame) -> pd.DataFrame:
    return told.merge(told.loc[told["method"] == ETS, SERIES].drop_duplicates(), on=SERIES)


def _scores(told: pd.DataFrame, past: pd.DataFrame) -> list[dict[str, Any]]:
    """A row a method: errors over all series and origins, and how often our intervals held."""
    scale = past.groupby(SERIES)["units"].agg(lambda units: float(np.abs(np.diff(units)).mean()))
    rows = []
    for name, one in told.groupby("method", sort=False):
        sold, said = one["units"].to_numpy(float), one["mean"].to_numpy(float)
        error = (one["units"] - one["mean"]).abs().groupby([one["sku"], one["zone"]]).mean()
        scaled = (error / scale[scale > 0]).dropna()
        row = {"method": name, "WAPE": metrics.wape(sold, said), "MASE": float(scaled.mean())}
        rows.append({**row, "bias": metrics.bias(sold, said), **_held(one, sold)})
    return rows


def _held(told: pd.DataFrame, sold: np.ndarray) -> dict[str, float]:
    if "q50" not in told or told["q50"].isna().all():
        return {}
    return {
        name: metrics.coverage(sold, told[low], told[high])
        for name, (low, high) in INTERVALS.items()
    }


def _draw(report: dict[str, Any], path: Path) -> None:
    from models.evaluation import plots

    rows = report["sample"] or report["scores"]
    title = f"Forecast error (WAPE), {report['horizon']} periods ahead"
    figure = plots.bars(title, [row["method"] for row in rows], [row["WAPE"] for row in rows])
    figure.savefig(path, dpi=120)
