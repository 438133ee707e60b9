"""Predictions of registered models, recorded by `train` so that later stages need no TensorFlow.

`train` stores predictions with the files of the model it registers. `gate` and `promote` read them.
A response model's predictions depend on the model alone. A demand model's forecasts also depend on
the panel and on a few params, which `ForecastTask.key` names. Where no record has the same key, the
model is loaded and predicts again, by the same functions, so both ways give the same figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from models.evaluation.holdout import SERIES, Holdout, hold_out
from pipelines.evaluation.panel import panel, panel_version
from pricebook.config import Params, Settings
from pricebook.errors import RegistryError
from pricebook.files import read_json, write_json

if TYPE_CHECKING:
    from models.registry import Registry

FOLDER = "predictions"
PERIOD = {"day": pd.DateOffset(days=1), "week": pd.DateOffset(weeks=1)}


@dataclass(frozen=True)
class ForecastTask:
    """What a demand model forecasts: a panel, the horizon in periods and the length of a period.

    `version` is the digest of the panel (`panel_version`).
    """

    as_of: date
    panel: pd.DataFrame
    version: str
    horizon: int
    grain: str

    @classmethod
    def from_home(cls, as_of: date, params: Params, settings: Settings) -> ForecastTask:
        """The panel of a home at a cut-off; raises as `panel` does."""
        rows = panel(as_of, params, settings)
        version = panel_version(as_of, params, settings)
        return cls(as_of, rows, version, params.train.horizon, params.shop.grain)

    @property
    def key(self) -> dict[str, Any]:
        """Two tasks with equal keys have equal forecasts."""
        return {
            "as_of": str(self.as_of),
            "panel": self.version,
            "horizon": self.horizon,
            "grain": self.grain,
        }

    @cached_property
    def held_out(self) -> Holdout:
        """The panel cut before its last `horizon` periods."""
        return hold_out(self.panel, self.horizon)

    def next_plan(self) -> pd.DataFrame:
        """The periods after the panel: every series at its reference price, without promotions."""
        latest = self.panel.groupby(SERIES, as_index=False).tail(1)
        reference = latest["reference_price"].fillna(latest["price"])
        plan = {"price": reference, "display": 0.0, "mailer": 0.0, "promotion": 0.0}
        parts = [latest[SERIES].assign(period=day, **plan) for day in self._next_periods()]
        return pd.concat(parts, ignore_index=True)

    def _next_periods(self) -> list[date]:
        last = pd.Timestamp(self.panel["period"].max())
        step = PERIOD.get(self.grain, pd.DateOffset(months=1))
        return [(last + step * number).date() for number in range(1, self.horizon + 1)]


@dataclass(frozen=True)
class Forecasts:
    """A demand model's forecasts for a task, as `DemandModel.forecast` returns them.

    Attributes:
        held_out: of the held-out periods, from the history before them.
        next_horizon: of the periods after the panel, at reference prices, which are in the
            column `reference_price`.
    """

    held_out: pd.DataFrame
    next_horizon: pd.DataFrame

    def write(self, folder: Path, task: ForecastTask) -> None:
        """Write the forecasts and the key of their task into a new folder."""
        folder.mkdir(parents=True)
        self.held_out.to_parquet(folder / "held_out.parquet", index=False)
        self.next_horizon.to_parquet(folder / "next_horizon.parquet", index=False)
        write_json(folder / "key.json", task.key)

    @classmethod
    def read(cls, folder: Path) -> Forecasts:
        names = ("held_out", "next_horizon")
        return cls(*(pd.read_parquet(folder / f"{name}.parquet") for name in names))


@dataclass(frozen=True)
class Responses:
    """A response model's tables: `elasticities`, `cross` and the outputs of its Keras network.

    `keras_outputs` is what `models.export_check` compares the exported model with.
    """

    elasticities: pd.DataFrame
    cross: pd.DataFrame
    keras_outputs: pd.DataFrame

    def write(self, folder: Path) -> None:
        """Write the tables into a new folder."""
        folder.mkdir(parents=True)
        for name, table in vars(self).items():
            table.to_parquet(folder / f"{name}.parquet", index=False)

    @classmethod
    def read(cls, folder: Path) -> Responses:
        names = ("elasticities", "cross", "keras_outputs")
        return cls(*(pd.read_parquet(folder / f"{name}.parquet") for name in names))


def forecast(saved: Path, task: ForecastTask) -> Forecasts:
    """Load a saved demand model and forecast. Imports TensorFlow.

    Raises:
        RegistryError: the model was trained for another horizon.
    """
    from models.demand.model import DemandModel

    model = DemandModel.load(saved)
    if model.shape.horizon != task.horizon:
        raise RegistryError(
            f"This demand model forecasts {model.shape.horizon} periods. Train it again, or set "
            f"train.horizon back. Received: a horizon of {task.horizon}"
        )
    held, plan = task.held_out, task.next_plan()
    reference = plan.drop_duplicates(SERIES)[[*SERIES, "price"]]
    following = model.forecast(task.panel, plan)
    following = following.merge(reference.rename(columns={"price": "reference_price"}), on=SERIES)
    return Forecasts(model.forecast(held.history, held.planned), following)


def respond(saved: Path) -> Responses:
    """Load a saved response model and make its tables. Imports TensorFlow."""
    from models.export import keras_outputs
    from models.response.model import ResponseModel

    model = ResponseModel.load(saved)
    return Responses(model.elasticities(), model.cross(), keras_outputs(model))


class SavedModels:
    """The files and predictions of registered versions, each version downloaded at most once."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._registry, self._folder = registry, folder

    def files(self, name: str, version: str) -> Path:
        """The folder with what the model's `save` wrote."""
        folder = self._folder / f"{name}-{version}"
        return folder if folder.exists() else self._registry.download(name, version, folder)

    def responses(self, version: str) -> Responses:
        """The tables of a response version, recorded or computed."""
        saved = self.files("response", version)
        recorded = saved / FOLDER
        return Responses.read(recorded) if recorded.exists() else respond(saved)

    def forecasts(self, version: str, task: ForecastTask, recorder: str | None = None) -> Forecasts:
        """The forecasts of a demand version, recorded or computed.

        Args:
            recorder: another demand version. Its training recorded them if `version` was the
                champion then.
        """
        for folder in self._records(version, recorder):
            if (folder / "key.json").exists() and read_json(folder / "key.json") == task.key:
                return Forecasts.read(folder)
        return forecast(self.files("demand", version), task)

    def _records(self, version: str, recorder: str | None) -> Iterator[Path]:
        if recorder is not None:
            yield self.files("demand", recorder) / FOLDER / champion_folder(version)
        yield self.files("demand", version) / FOLDER / "own"


def champion_folder(version: str) -> str:
    """Where `train` records the forecasts of the champion of the day, in a challenger's files."""
    return f"champion-{version}"
