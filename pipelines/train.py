"""train: fit a model on everything before the held-out periods, evaluate it there, register it.

The weights see nothing of the held-out periods, and what is evaluated is what is served: there is
no refit on all data between the gate and the shop.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import lineage
from pricebook.config import Params, Settings, cutoff
from pricebook.errors import ConfigError, EmptyHistory
from pricebook.files import write_json

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from models.demand.model import DemandModel
    from models.response.model import ResponseModel

log = logging.getLogger("pricebook.train")

EPOCHS_TOLD = 20
OnEpoch = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Fitted:
    """A trained model with its held-out figures; `example` and `output` give its signature."""

    model: DemandModel | ResponseModel
    metrics: dict[str, float]
    figures: dict[str, Figure]
    example: pd.DataFrame
    output: pd.DataFrame


def train(model: str, as_of: date, params: Params, settings: Settings) -> dict[str, Any]:
    """Train `demand` or `response` and register it as a challenger.

    Returns:
        the model's name, its new version, the MLflow run and the held-out metrics.

    Raises:
        ConfigError: no such model.
        EmptyHistory: too few periods before the held-out ones.
    """
    from models.registry import MODELS, Registry

    if model not in MODELS:
        raise ConfigError(f"model: must be one of {', '.join(MODELS)}. Received: {model!r}")
    registry = Registry(settings)
    with registry.run(f"train-{model}") as run, tempfile.TemporaryDirectory() as scratch:
        run.params(_flat({"train": params.train.model_dump(mode="json")}) | {"as_of": as_of})
        run.record(
            {"as_of": str(as_of), **params.model_dump(mode="json", by_alias=True)}, "params.json"
        )
        data = lineage.versions(settings)
        run.tags({f"data.{folder}": version for folder, version in data.items()})

        told_every = max(1, getattr(params.train, model).epochs // EPOCHS_TOLD)

        def on_epoch(epoch: int, losses: dict[str, float]) -> None:
            run.metrics({f"epoch_{name}": value for name, value in losses.items()}, step=epoch)
            if epoch % told_every == 0:
                log.info("%s epoch %d: %s", model, epoch, _told(losses))

        fitted = fit(model, as_of, params, settings, on_epoch)
        run.metrics(fitted.metrics)
        for name, figure in fitted.figures.items():
            run.figure(figure, name)
        save(fitted.model, Path(scratch))
        version = registry.register(model, Path(scratch), fitted.example, fitted.output)
        registry.tag(model, version, {"as_of": str(as_of), **data})
        report = {"model": model, "version": version, "run_id": run.id, "metrics": fitted.metrics}
    write_json(settings.report(f"train-{model}"), report)
    log.info("%s is version %s: %s", model, version, _told(fitted.metrics))
    return report


def fit(model: str, as_of: date, params: Params, settings: Settings, on_epoch: OnEpoch) -> Fitted:
    """Fit and evaluate without registering: the same call for `train` and `reproduce`."""
    fits = {"demand": _fit_demand, "response": _fit_response}
    return fits[model](as_of, params, settings, on_epoch)


def save(model: DemandModel | ResponseModel, folder: Path) -> None:
    """Write all that is registered of a model: its own files, and a response model's export."""
    from models.export import export
    from models.response.model import ResponseModel

    model.save(folder)
    if isinstance(model, ResponseModel):
        export(model, folder)


def panel(as_of: date, params: Params, settings: Settings) -> pd.DataFrame:
    """The series before `as_of` as the feature store gives them, point in time.

    Returns:
        a row a series and period, with the columns of the views `sku_period` and `sku`.

    Raises:
        LeakageError: a row was known only at or after the cut-off.
        EmptyHistory: there is none before it.
    """
    import pandas as pd

    from pipelines.materialize import open_store, training_frame

    known = ["sku", "zone", "period", "event_timestamp"]
    rows = pd.read_parquet(settings.features / "sku_period.parquet", columns=known)
    rows = rows[rows["event_timestamp"] <= cutoff(as_of, params.shop.timezone)]
    if rows.empty:
        raise EmptyHistory(
            f"{settings.features} has no period before the cut-off. Received: {as_of}"
        )
    frame = training_frame(open_store(settings), "demand", rows)
    frame["period"] = pd.to_datetime(frame["period"])
    return frame.sort_values(["sku", "zone", "period"], ignore_index=True)


def _fit_demand(as_of: date, params: Params, settings: Settings, on_epoch: OnEpoch) -> Fitted:
    from models.demand import model as demand
    from models.evaluation import holdout as backtest
    from models.evaluation import plots

    spec = params.train
    held = backtest.hold_out(panel(as_of, params, settings), spec.horizon)
    log.info(
        "Training on %d series up to %s; %d periods are held out.",
        held.history["sku"].nunique(),
        held.start,
        spec.horizon,
    )
    model = demand.fit(held.history, spec.demand, spec.horizon, spec.seed, on_epoch)
    forecast = model.forecast(held.history, held.planned)
    metrics = backtest.demand_metrics(forecast, held, spec.demand.max_series)
    example = backtest.as_model_input(held)
    return Fitted(
        model,
        metrics,
        {
            "forecast_fan": plots.forecast_fan(forecast, held),
            "calibration": plots.calibration(forecast, held),
        },
        example.head(5),
        forecast.head(5),
    )


def _fit_response(as_of: date, params: Params, settings: Settings, on_epoch: OnEpoch) -> Fitted:
    import pandas as pd

    from models.evaluation import holdout as backtest
    from models.evaluation import plots
    from models.response import model as response

    spec = params.train
    held = backtest.hold_out(panel(as_of, params, settings), spec.horizon)
    segments = pd.read_parquet(settings.features / "segment_period.parquet")
    segments["period"] = pd.to_datetime(segments["period"])
    segments = segments[segments["period"] < pd.Timestamp(held.start)]
    model = response.fit(held.history, segments, spec.response, spec.seed, on_epoch)
    elasticities = model.elasticities()
    return Fitted(
        model,
        backtest.response_metrics(elasticities, model.summary),
        {
            "elasticities": plots.elasticities(elasticities),
            "price_response": plots.price_response(elasticities),
        },
        elasticities[["sku", "zone", "segment"]].head(5),
        elasticities[["elasticity", "stderr"]].head(5),
    )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        flat |= _flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return flat


def _told(metrics: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
