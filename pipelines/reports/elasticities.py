"""elasticities: what price does to demand in this shop, own and cross, each with its error."""

from __future__ import annotations

import logging
from datetime import date
from typing import Any

from pipelines.reports.backtest import history, largest_series, report_home
from pricebook.config import Params, Settings
from pricebook.files import atomic_dir, write_json

log = logging.getLogger("pricebook.elasticities")

EPOCHS_TOLD = 50


def elasticities(
    as_of: date, params: Params, settings: Settings, series: int | None = None
) -> dict[str, Any]:
    """Fit the price response on every period before `as_of`, and write what it says.

    Writes own.parquet (a row a series and shopper segment), by_sku.parquet, cross.parquet,
    summary.json and elasticities.png into .pricebook/elasticities of the home, all at once.

    Args:
        series: the largest only; all if None.

    Returns:
        `summary`, and as frames `by_sku` and `cross`; `folder`: where the files are.
    """
    import pandas as pd

    from models.evaluation import plots
    from models.response import model as response

    judged = report_home(as_of, params, settings)
    panel = largest_series(history(as_of, params, judged), series)
    segments = pd.read_parquet(judged.features / "segment_period.parquet")
    segments["period"] = pd.to_datetime(segments["period"])
    model = response.fit(panel, segments, params.train.response, params.train.seed, _tell)
    own, by_sku, cross = model.elasticities(), model.by_sku(), model.cross()
    summary = {"as_of": str(as_of), **vars(model.summary), "naive": least_squares(panel)}
    folder = settings.state / "elasticities"
    with atomic_dir(folder) as partial:
        for name, frame in {"own": own, "by_sku": by_sku, "cross": cross}.items():
            frame.to_parquet(partial / f"{name}.parquet", index=False)
        write_json(partial / "summary.json", summary)
        plots.intervals(by_sku).savefig(partial / "elasticities.png", dpi=120)
    return {"summary": summary, "by_sku": by_sku, "cross": cross, "folder": str(folder)}


def least_squares(panel: Any) -> float:
    """The slope of log units on log price with series and period effects: what a first look says.

    It gives price the credit for whatever came with it; it is here to be compared with.
    """
    import numpy as np

    rows = panel[(panel["units"] > 0) & (panel["price"] > 0)]
    logs = rows.assign(units=np.log(rows["units"]), price=np.log(rows["price"]))
    for key in (["sku", "zone"], ["period"], ["sku", "zone"]):
        values = logs[["units", "price"]]
        logs[["units", "price"]] = values - logs.groupby(key)[["units", "price"]].transform("mean")
    squares = float((logs["price"] ** 2).sum())
    return float((logs["price"] * logs["units"]).sum() / squares) if squares > 0 else float("nan")


def _tell(epoch: int, losses: dict[str, float]) -> None:
    if epoch % EPOCHS_TOLD == 0:
        log.info("epoch %d, loss %.4f", epoch, losses["loss"])
