"""elasticities: estimate own-price and cross-price elasticities, with standard errors."""

from __future__ import annotations

import logging
from datetime import date
from typing import TYPE_CHECKING, Any

from pipelines.reports.backtest import history, largest_series, report_home
from pricebook.config import Params, Settings
from pricebook.files import atomic_dir, write_json

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger("pricebook.elasticities")

LOGGED_EPOCHS = 50  # every 50th epoch is logged


def elasticities(
    as_of: date, params: Params, settings: Settings, series: int | None = None
) -> dict[str, Any]:
    """Fit the response model on all periods before `as_of`, and write its elasticities.

    Writes own.parquet (a row per series and shopper segment), by_sku.parquet, cross.parquet,
    summary.json and elasticities.png into .pricebook/elasticities of the home, all at once.

    Args:
        series: how many series, those with most units; all if None.

    Returns:
        `summary` (plain values), `by_sku` and `cross` (frames), and `folder`, the folder with the
        files. `summary["naive"]` is the slope of `least_squares`; None if no price varied.

    Raises:
        ConfigError: the level does not suit the shop's orders.
        EmptyHistory: there are too few periods, or no row has units and a price above zero.
        TrainingError: a value of the panel, a loss or an elasticity is not a usable number.
    """
    import pandas as pd

    from models.evaluation import plots
    from models.response import model as response

    home = report_home(as_of, params, settings)
    panel = largest_series(history(as_of, params, home), series)
    segments = pd.read_parquet(home.features / "segment_period.parquet")
    segments["period"] = pd.to_datetime(segments["period"])
    model = response.fit(panel, segments, params.train.response, params.train.seed, _log_epoch)
    own, by_sku, cross = model.elasticities(), model.by_sku(), model.cross()
    summary = {"as_of": str(as_of), **vars(model.summary), "naive": least_squares(panel)}
    folder = settings.state / "elasticities"
    with atomic_dir(folder) as partial:
        for name, frame in {"own": own, "by_sku": by_sku, "cross": cross}.items():
            frame.to_parquet(partial / f"{name}.parquet", index=False)
        write_json(partial / "summary.json", summary)
        plots.intervals(by_sku).savefig(partial / "elasticities.png", dpi=120)
    return {"summary": summary, "by_sku": by_sku, "cross": cross, "folder": str(folder)}


def least_squares(panel: pd.DataFrame) -> float | None:
    """The slope of log units on log price, with series and period effects; a naive comparison.

    It has no controls, so price gets the credit for promotions, too. None if no price varied.
    """
    import numpy as np

    rows = panel[(panel["units"] > 0) & (panel["price"] > 0)]
    logs = rows.assign(units=np.log(rows["units"]), price=np.log(rows["price"]))
    for key in (["sku", "zone"], ["period"], ["sku", "zone"]):
        values = logs[["units", "price"]]
        logs[["units", "price"]] = values - logs.groupby(key)[["units", "price"]].transform("mean")
    squares = float((logs["price"] ** 2).sum())
    if squares <= 1e-12 * len(logs):  # constant prices differ from their mean by rounding only
        return None
    return float((logs["price"] * logs["units"]).sum() / squares)


def _log_epoch(epoch: int, losses: dict[str, float]) -> None:
    if epoch % LOGGED_EPOCHS == 0:
        log.info("epoch %d, loss %.4f", epoch, losses["loss"])
