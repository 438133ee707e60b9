"""The demand model: units over the horizon at a planned price, from one LSTM for all series.

`fit` trains on a panel. `DemandModel.forecast` takes any series with a history, trained on or not.
`models.demand.network` holds the network, `models.demand.windows` its inputs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.backend import keras, ops, save_network, tf
from models.demand.grid import Floats, Grid, Ints, append_plan, long_frame, to_grid
from models.demand.network import OnEpoch, batches, build_network, train
from models.demand.windows import Windows, calendar, make_windows, targets, training_pairs
from pricebook.config import Demand
from pricebook.errors import EmptyHistory, TrainingError

MAX_WINDOWS = 40_000
FORECAST_BATCH = 4096
EMBEDDING_WIDTH = {"zone": 4, "department": 4, "category": 8, "product_type": 8, "sku": 12}
MIN_DAYS_FOR_A_SEASON = 540  # a shorter history cannot separate a yearly season from a trend
MIN_OUTCOMES_TO_CALIBRATE = 100
SPREAD_RANGE = (0.5, 2.0)


@dataclass(frozen=True)
class Shape:
    """The dimensions and vocabularies of a network; saved beside its weights."""

    context: int
    horizon: int
    quantiles: tuple[float, ...]
    yearly: bool
    words: dict[str, tuple[str, ...]]  # vocabulary of each static column; index 0 is unknown


@dataclass(frozen=True)
class DemandModel:
    """A trained network, its shape and the calibration of its quantiles.

    `spread` multiplies each quantile's distance from the median.
    """

    network: keras.Model
    shape: Shape
    spread: float = 1.0

    def forecast(self, history: pd.DataFrame, planned: pd.DataFrame) -> pd.DataFrame:
        """Forecast every series in `planned` over the horizon that follows `history`.

        Args:
            history: panel rows before the first planned period, with the columns that `fit` takes.
                A sku without training data is forecast from its category and its own past.
            planned: one row per series and period of the horizon, with sku, zone, period, price,
                display, mailer and promotion. The price is in minor units; a null price means the
                last known price.

        Returns:
            sku, zone, period, step (from 1), mean, and a column per quantile (q05, …). The
            forecasts are in units, sorted by series and step.

        Raises:
            ValueError: a column is missing, or `planned` is not the whole horizon.
            EmptyHistory: a planned series has no history.
            TrainingError: an input value is negative, infinite or too large, or the forecast is
                not finite.
        """
        grid, origin = append_plan(history, planned, self.shape.horizon)
        names = ["mean", *(f"q{round(100 * q):02d}" for q in self.shape.quantiles)]
        values = self._predict(grid, origin).reshape(-1, len(names))
        frame = long_frame(grid.keys, grid.periods[origin:])
        return frame.assign(**dict(zip(names, values.T, strict=True)))

    def _predict(self, grid: Grid, origin: int) -> Floats:
        """Forecasts in units [series, horizon, 1 + quantiles] from column `origin` of the grid."""
        rows = np.arange(len(grid.keys))
        window, inputs = _network_inputs(grid, self.shape, (rows, np.full_like(rows, origin)))
        starts = range(0, len(rows), FORECAST_BATCH)
        parts = [
            self._batch({k: v[i : i + FORECAST_BATCH] for k, v in inputs.items()}) for i in starts
        ]
        predicted: Floats = np.concatenate(parts) * window.scale[:, None, None]
        _check_finite(predicted, grid, origin)
        return predicted

    def _batch(self, inputs: dict[str, Any]) -> Floats:
        outputs = self.network(inputs)
        mean, quantiles = (ops.convert_to_numpy(outputs[name]) for name in ("mean", "quantiles"))
        median = quantiles[..., [_median(self.shape.quantiles)]]
        calibrated = np.maximum(median + self.spread * (quantiles - median), 0)
        return np.concatenate([mean, calibrated], axis=-1)

    def save(self, folder: Path) -> None:
        """Write demand.keras and demand.json into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        save_network(self.network, folder / "demand.keras")
        fields = {"spread": self.spread, **asdict(self.shape)}
        (folder / "demand.json").write_text(json.dumps(fields, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> DemandModel:
        """Read a model that `save` wrote."""
        fields = json.loads((folder / "demand.json").read_text())
        spread, quantiles = fields.pop("spread"), tuple(fields.pop("quantiles"))
        words = {name: tuple(values) for name, values in fields.pop("words").items()}
        shape = Shape(**fields, quantiles=quantiles, words=words)
        return cls(keras.models.load_model(folder / "demand.keras", compile=False), shape, spread)


def load_registered(path: str) -> _RegisteredModel:
    """Load a saved model for MLflow."""
    return _RegisteredModel(DemandModel.load(Path(path)))


@dataclass(frozen=True)
class _RegisteredModel:
    """The model with MLflow's interface: one frame with history and plan.

    Planned rows have null units.
    """

    model: DemandModel

    def predict(self, frame: pd.DataFrame, params: object = None) -> pd.DataFrame:
        planned = frame["units"].isna()
        return self.model.forecast(frame[~planned], frame[planned])


def fit(
    panel: pd.DataFrame, params: Demand, horizon: int, seed: int, on_epoch: OnEpoch
) -> DemandModel:
    """Train on the `max_series` best-selling series. The same panel and seed give the same model.

    Quantiles fitted in sample are too narrow out of sample. Therefore a first, shorter training
    leaves out the last `horizon` periods and forecasts them. Its errors calibrate the quantiles of
    the final model.

    Args:
        panel: sku_period rows strictly before the cut-off, at any grain, with sku, zone, period,
            units, price, display, mailer and promotion; optionally department, category and
            product_type.
        horizon: number of periods to forecast.
        on_epoch: called after each epoch of the final training with its number, from 1, and its
            losses.

    Raises:
        EmptyHistory: the history is too short for one training window.
        TrainingError: a value is negative, infinite or too large, units are null, or the loss or
            a forecast is not finite.
        ValueError: a column is missing or a series has two rows for one period.
    """
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    grid = _best_sellers(to_grid(panel), params.max_series)
    shape = _shape(grid, params, horizon)
    spread = _calibrated_spread(grid, shape, params, seed)
    return DemandModel(_train(grid, shape, params, seed, on_epoch), shape, spread)


def _best_sellers(grid: Grid, count: int | None) -> Grid:
    order = np.argsort(-grid.units.sum(axis=1), kind="stable")[:count]
    return grid.take(np.sort(order))


def _shape(grid: Grid, params: Demand, horizon: int) -> Shape:
    words = {
        name: tuple(sorted(set(grid.keys[name].dropna().astype(str))))
        for name in EMBEDDING_WIDTH
        if name in grid.keys
    }
    if len(words["zone"]) < 2:
        del words["zone"]
    return Shape(
        context=max(2, min(params.context, grid.shape[1] - horizon)),
        horizon=horizon,
        quantiles=params.quantiles,
        yearly=(grid.periods[-1] - grid.periods[0]).days >= MIN_DAYS_FOR_A_SEASON,
        words=words,
    )


def _train(grid: Grid, shape: Shape, params: Demand, seed: int, on_epoch: OnEpoch) -> keras.Model:
    pairs = training_pairs(grid, shape.context, shape.horizon, MAX_WINDOWS)
    window, inputs = _network_inputs(grid, shape, pairs)
    target = targets(grid, pairs, window.scale, shape.horizon)
    widths = {n: (len(values) + 1, EMBEDDING_WIDTH[n]) for n, values in shape.words.items()}
    model = build_network(inputs, widths, params.units, len(shape.quantiles))
    data = batches(inputs, target, window.scale, params.batch_size, seed)
    try:
        train(model, data, params, on_epoch)
    except FloatingPointError as error:
        raise TrainingError(f"{error}. {_largest_target(grid, pairs, target)}") from None
    return model


def _largest_target(grid: Grid, pairs: tuple[Ints, Ints], target: Floats) -> str:
    """Name the series and period of the target farthest above its own scale.

    `to_grid` has checked that the inputs are finite. So a diverging loss usually comes from an
    extreme value.
    """
    demand = target[..., 0]
    window, step = np.unravel_index(int(demand.argmax()), demand.shape)
    row, column = pairs[0][window], pairs[1][window] + step
    key = grid.keys.iloc[row]
    return (
        f"The most extreme target is {demand[window, step]:.4g} times its usual value: sku "
        f"{key['sku']!r}, zone {key['zone']!r}, period {str(grid.periods[column])[:10]}. "
        f"Received: {grid.units[row, column]:g} units"
    )


def _check_finite(forecast: Floats, grid: Grid, origin: int) -> None:
    invalid = np.argwhere(~np.isfinite(forecast).all(axis=-1))
    if len(invalid):
        row, step = invalid[0]
        key, period = grid.keys.iloc[row], str(grid.periods[origin + step])[:10]
        raise TrainingError(
            f"{len(invalid)} forecasts are not finite, first sku {key['sku']!r}, zone "
            f"{key['zone']!r}, period {period}. Received: {forecast[row, step].tolist()}"
        )


def _calibrated_spread(grid: Grid, shape: Shape, params: Demand, seed: int) -> float:
    """Train without the last horizon, forecast it, and compare the quantiles with the outcomes.

    Returns 1.0 (no change) if there is too little data.
    """
    origin = grid.shape[1] - shape.horizon
    if len(grid.keys) * shape.horizon < MIN_OUTCOMES_TO_CALIBRATE:
        return 1.0
    shorter = params.model_copy(update={"epochs": max(1, params.epochs // 2)})
    try:
        model = _train(grid.before(origin), shape, shorter, seed, lambda *_: None)
    except EmptyHistory:
        return 1.0
    forecast = DemandModel(model, shape)._predict(grid, origin)[..., 1:]
    return conformal_spread(grid.demand[:, origin:], forecast, shape.quantiles)


def conformal_spread(actual: Floats, forecast: Floats, quantiles: tuple[float, ...]) -> float:
    """The factor by which the central interval must widen to reach its nominal coverage.

    Romano, Patterson and Candès (2019), "Conformalized quantile regression", NeurIPS 32. The
    score of an outcome is its distance from the median, divided by the distance of the interval's
    end on the same side. The interval is the second widest (10-90 % by default), because extreme
    quantiles are less reliable.

    Args:
        actual: [series, horizon].
        forecast: [series, horizon, quantiles].
        quantiles: the levels of `forecast`.
    """
    i = min(1, (len(quantiles) - 1) // 2)
    low, middle, high = (forecast[..., k] for k in (i, _median(quantiles), len(quantiles) - 1 - i))
    half_width = np.where(actual > middle, high - middle, middle - low)
    score = np.abs(actual - middle) / np.maximum(half_width, 1e-6)
    share = quantiles[len(quantiles) - 1 - i] - quantiles[i]
    return float(np.clip(np.quantile(score, share), *SPREAD_RANGE))


def _median(quantiles: tuple[float, ...]) -> int:
    return int(np.argmin(np.abs(np.asarray(quantiles) - 0.5)))


def _network_inputs(
    grid: Grid, shape: Shape, pairs: tuple[Ints, Ints]
) -> tuple[Windows, dict[str, Any]]:
    dates = calendar(grid.periods, shape.yearly)
    window = make_windows(grid, dates, pairs, shape.context, shape.horizon)
    static = _codes(grid.keys, shape.words)[window.series]
    return window, {
        "past": window.past,
        "future": window.future,
        "lifts": window.lifts,
        "log_price": window.log_price[..., None],
        "static": static.astype(np.int32),
        "known": (static > 0).astype(np.float32),
    }


def _codes(keys: pd.DataFrame, words: dict[str, tuple[str, ...]]) -> Ints:
    """Codes [series, static column]: position in the vocabulary from 1, or 0 if unknown."""
    unknown = pd.Series([None] * len(keys), index=keys.index, dtype=object)
    columns = [
        pd.Index(values, dtype=object).get_indexer(_text(keys.get(name, unknown))) + 1
        for name, values in words.items()
    ]
    return np.stack(columns, axis=1).astype(np.int64)


def _text(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.isna(), column.astype(str))
