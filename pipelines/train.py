"""train: fit a model on everything before the held-out periods, evaluate it there, register it.

The weights see nothing of the held-out periods, and the evaluated model is the served one: it is
not refitted on all data between the gate and the shop.
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
from pipelines.evaluation import finite
from pipelines.evaluation.panel import panel, read_features
from pricebook.config import Params, Settings
from pricebook.errors import ConfigError, PricebookError
from pricebook.files import write_json

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from models.demand.model import DemandModel
    from models.registry import Run
    from models.response.model import ResponseModel
    from pipelines.evaluation.predictions import ForecastTask

log = logging.getLogger("pricebook.train")

LOGGED_EPOCHS = 20  # about how many epochs of a training are logged
SEGMENT, CROSS = ["sku", "zone", "segment"], ["sku", "zone", "rival"]
OnEpoch = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Fitted:
    """A trained model with its held-out metrics and figures.

    `example` and `output` are rows of its input and output, from which MLflow infers the signature.
    """

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
        ConfigError: there is no such model.
        EmptyHistory: there are no features, or too few periods before the held-out ones.
        TrainingError: a loss, metric, weight, forecast or elasticity is not finite. Nothing is
            registered.
    """
    from models.registry import MODELS, Registry

    if model not in MODELS:
        raise ConfigError(f"model: must be one of {', '.join(MODELS)}. Received: {model!r}")
    registry = Registry(settings)
    with registry.run(f"train-{model}") as run, tempfile.TemporaryDirectory() as scratch:
        data = _record_inputs(run, as_of, params, settings)
        fitted = fit(model, as_of, params, settings, _on_epoch(model, params, run))
        run.metrics(fitted.metrics)
        for name, figure in fitted.figures.items():
            run.figure(figure, name)
        saved = Path(scratch) / model
        save(fitted.model, saved)
        _record_predictions(model, saved, as_of, params, settings)
        version = registry.register(model, saved, fitted.example, fitted.output)
        registry.tag(model, version, {"as_of": str(as_of), **data})
        report = {"model": model, "version": version, "run_id": run.id, "metrics": fitted.metrics}
    write_json(settings.report(f"train-{model}"), report)
    log.info("%s is version %s: %s", model, version, _listed(fitted.metrics))
    return report


def fit(model: str, as_of: date, params: Params, settings: Settings, on_epoch: OnEpoch) -> Fitted:
    """Fit and evaluate without registering; `train` and `reproduce` both call it.

    Raises:
        EmptyHistory: there are no features, or too few periods before the held-out ones.
        TrainingError: a metric, weight, forecast or elasticity is not finite.
    """
    fits = {"demand": _fit_demand, "response": _fit_response}
    fitted = fits[model](as_of, params, settings, on_epoch)
    finite.check_metrics(model, fitted.metrics)
    return fitted


def save(model: DemandModel | ResponseModel, folder: Path) -> None:
    """Write everything that is registered of a model: its own files, and a response's export."""
    from models.export import export
    from models.response.model import ResponseModel

    folder.mkdir(parents=True, exist_ok=True)
    model.save(folder)
    if isinstance(model, ResponseModel):
        export(model, folder)


def _record_inputs(run: Run, as_of: date, params: Params, settings: Settings) -> dict[str, str]:
    """Log all that `reproduce` needs, and return the data version of each folder."""
    run.params(_flat({"train": params.train.model_dump(mode="json")}) | {"as_of": as_of})
    everything = params.model_dump(mode="json", by_alias=True)
    run.record({"as_of": str(as_of), **everything}, "params.json")
    data = lineage.versions(settings)
    run.tags({f"data.{folder}": version for folder, version in data.items()})
    return data


def _on_epoch(model: str, params: Params, run: Run) -> OnEpoch:
    interval = max(1, getattr(params.train, model).epochs // LOGGED_EPOCHS)

    def on_epoch(epoch: int, losses: dict[str, float]) -> None:
        finite.check_losses(model, epoch, losses)
        run.metrics({f"epoch_{name}": value for name, value in losses.items()}, step=epoch)
        if epoch % interval == 0:
            log.info("%s epoch %d: %s", model, epoch, _listed(losses))

    return on_epoch


def _record_predictions(
    model: str, saved: Path, as_of: date, params: Params, settings: Settings
) -> None:
    """Store the saved model's predictions with its files, for `gate` and `promote`."""
    from pipelines.evaluation import predictions

    folder = saved / predictions.FOLDER
    if model == "response":
        responses = predictions.respond(saved)
        responses.write(folder)
        return
    task = predictions.ForecastTask.from_home(as_of, params, settings)
    forecasts = predictions.forecast(saved, task)
    forecasts.write(folder / "own", task)
    _record_champion(folder, task, settings)


def _record_champion(folder: Path, task: ForecastTask, settings: Settings) -> None:
    """Store what the champion of the day forecasts for the same task.

    A champion that cannot forecast it does not stop a training: the gate says why.
    """
    from models.registry import CHAMPION, Registry
    from pipelines.evaluation.predictions import champion_folder, forecast

    registry = Registry(settings)
    version = registry.aliased(CHAMPION).get("demand")
    if version is None:
        return
    with tempfile.TemporaryDirectory() as scratch:
        try:
            forecasts = forecast(registry.download("demand", version, Path(scratch)), task)
        except PricebookError as error:
            log.warning("The champion's forecast is not recorded: %s", error)
            return
    forecasts.write(folder / champion_folder(version), task)


def _fit_demand(as_of: date, params: Params, settings: Settings, on_epoch: OnEpoch) -> Fitted:
    from models.demand import model as demand
    from models.evaluation import holdout, plots

    spec = params.train
    held = holdout.hold_out(panel(as_of, params, settings), spec.horizon)
    log.info(
        "Training on %d series up to %s; %d periods are held out.",
        held.history["sku"].nunique(),
        held.start,
        spec.horizon,
    )
    model = demand.fit(held.history, spec.demand, spec.horizon, spec.seed, on_epoch)
    finite.check_weights("demand", model.network)
    forecast = model.forecast(held.history, held.planned)
    return Fitted(
        model,
        holdout.demand_metrics(forecast, held, spec.demand.max_series),
        {
            "forecast_fan": plots.forecast_fan(forecast, held),
            "calibration": plots.calibration(forecast, held),
        },
        holdout.as_model_input(held).head(5),
        forecast.head(5),
    )


def _fit_response(as_of: date, params: Params, settings: Settings, on_epoch: OnEpoch) -> Fitted:
    import pandas as pd

    from models.evaluation import holdout, plots
    from models.response import model as response

    spec = params.train
    held = holdout.hold_out(panel(as_of, params, settings), spec.horizon)
    segments = read_features("segment_period", settings)
    segments["period"] = pd.to_datetime(segments["period"])
    segments = segments[segments["period"] < pd.Timestamp(held.start)]
    model = response.fit(held.history, segments, spec.response, spec.seed, on_epoch)
    finite.check_weights("response", model.network)
    elasticities = model.elasticities()
    finite.check_table("elasticity", elasticities, SEGMENT)
    finite.check_table("cross elasticity", model.cross(), CROSS)
    return Fitted(
        model,
        holdout.response_metrics(elasticities, model.summary),
        {
            "elasticities": plots.elasticities(elasticities),
            "price_response": plots.price_response(elasticities),
        },
        elasticities[SEGMENT].head(5),
        elasticities[["elasticity", "stderr"]].head(5),
    )


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested params as MLflow logs them: {"train.seed": 7, ...}."""
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        path = f"{prefix}{name}"
        flat |= _flat(value, f"{path}.") if isinstance(value, dict) else {path: value}
    return flat


def _listed(numbers: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in numbers.items())
