"""How many units, over the horizon, at a planned price: one global LSTM over all series.

An encoder reads a series' past, a decoder what is already planned (promotions, calendar), and a
head gives the mean and the quantiles at the reference price. The planned price then enters only
as exp(−β · log(price / reference)) with β = softplus(…) > 0, and β never sees the planned price:
a higher price cannot mean more demand, at any step or quantile. Quantiles are a cumulative sum of
softplus terms times the mean, so they cannot cross.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd
import tensorflow as tf
from keras import layers, ops

from models import windows as seen
from models.windows import KEY, STATIC, Floats, Grid, Ints, Windows
from pricebook.config import Demand

OnEpoch = Callable[[int, dict[str, float]], None]

MOST_WINDOWS = 40_000
TWEEDIE_POWER = 1.5
UNKNOWN_RATE = 0.1
DROPOUT = 0.0
EMBEDDING_WIDTH = {"department": 4, "category": 8, "product_type": 8, "sku": 12}
FORECAST_BATCH = 4096


@dataclass(frozen=True)
class Shape:
    """What a trained network was built for; saved beside its weights."""

    context: int
    horizon: int
    units: int
    quantiles: tuple[float, ...]
    yearly: bool
    words: dict[str, tuple[str, ...]]  # static column: its vocabulary; index 0 is unknown


@dataclass(frozen=True)
class DemandModel:
    """A trained network and the shape it expects."""

    network: keras.Model
    shape: Shape

    def forecast(self, history: pd.DataFrame, planned: pd.DataFrame) -> pd.DataFrame:
        """Forecast every series in `planned` for the horizon that follows `history`.

        Args:
            history: panel rows up to the origin; the columns `fit` takes. Skus never trained on
                are welcome: they are read through their category and their own past.
            planned: sku, zone, period, price (minor units; null: as it was last), display,
                mailer, promotion: one row per series and period of the horizon.

        Returns:
            sku, zone, period, step (1 is the first), mean, and a column per quantile (q05 …), in
            units, sorted by series and step.

        Raises:
            ValueError: a column is missing, or `planned` is not the whole horizon.
            EmptyHistory: a planned series has no history.
        """
        grid, origin = seen.with_plan(history, planned, self.shape.horizon)
        rows = np.arange(len(grid.keys))
        dates = seen.calendar(grid.periods, self.shape.yearly)
        pairs = (rows, np.full_like(rows, origin))
        window = seen.windows(grid, dates, pairs, self.shape.context, self.shape.horizon)
        return self._told(grid, self._predicted(grid, window), grid.periods[origin:])

    def _predicted(self, grid: Grid, window: Windows) -> Floats:
        inputs = _inputs(window, _codes(grid.keys, self.shape.words))
        starts = range(0, len(window.scale), FORECAST_BATCH)
        parts = [
            ops.convert_to_numpy(
                self.network({k: v[i : i + FORECAST_BATCH] for k, v in inputs.items()})
            )
            for i in starts
        ]
        predicted: Floats = np.concatenate(parts) * window.scale[:, None, None]
        return predicted

    def _told(self, grid: Grid, values: Floats, periods: pd.DatetimeIndex) -> pd.DataFrame:
        names = ["mean", *(f"q{round(100 * q):02d}" for q in self.shape.quantiles)]
        frame = long_frame(grid.keys, periods)
        return frame.assign(**dict(zip(names, values.reshape(-1, len(names)).T, strict=True)))

    def save(self, folder: Path) -> None:
        """Write demand.keras and demand.json into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        self.network.save(folder / "demand.keras")
        (folder / "demand.json").write_text(json.dumps(self.shape.__dict__, indent=1) + "\n")

    @classmethod
    def load(cls, folder: Path) -> DemandModel:
        """Read what `save` wrote; forecasts are the same to the last bit."""
        told = json.loads((folder / "demand.json").read_text())
        words = {name: tuple(values) for name, values in told.pop("words").items()}
        shape = Shape(**{**told, "quantiles": tuple(told["quantiles"]), "words": words})
        return cls(keras.models.load_model(folder / "demand.keras", compile=False), shape)


def fit(
    panel: pd.DataFrame, params: Demand, horizon: int, seed: int, on_epoch: OnEpoch
) -> DemandModel:
    """Train on the `max_series` series that sold most; the same seed and panel repeat exactly.

    Args:
        panel: sku_period rows strictly before the cut-off, any grain: sku, zone, period, units,
            price, display, mailer, promotion, and where known department, category, product_type.
        horizon: periods to forecast.
        on_epoch: called after each epoch with its number (from 1) and its losses.

    Raises:
        EmptyHistory: the history is too short for one training window.
        ValueError: a column is missing or a series has a period twice.
    """
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    grid = _best_sellers(seen.to_grid(panel), params.max_series)
    shape = _shape(grid, params, horizon)
    pairs = seen.training_pairs(grid, shape.context, horizon, MOST_WINDOWS)
    window = seen.windows(
        grid, seen.calendar(grid.periods, shape.yearly), pairs, shape.context, horizon
    )
    inputs = _inputs(window, _codes(grid.keys, shape.words))
    sold = seen.targets(grid, pairs, window.scale, horizon)
    network = _network(shape, inputs, seed)
    _train(network, _Batches(inputs, sold, _weights(window.scale)), params, seed, on_epoch)
    return DemandModel(network, shape)


def four_period_mean(history: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """The baseline to beat: each series repeats the mean of its last four periods.

    Returns sku, zone, period, step, mean as `forecast` does.
    """
    grid = seen.to_grid(history)
    frame = long_frame(grid.keys, seen.after(grid.periods, horizon))
    return frame.assign(mean=np.repeat(grid.units[:, -4:].mean(axis=1), horizon))


def long_frame(keys: pd.DataFrame, periods: pd.DatetimeIndex) -> pd.DataFrame:
    """sku, zone, period, step: one row per series and period."""
    repeated = keys[KEY].loc[keys.index.repeat(len(periods))].reset_index(drop=True)
    steps = np.tile(np.arange(1, len(periods) + 1), len(keys))
    return repeated.assign(period=np.tile(periods.to_numpy(), len(keys)), step=steps)


def _best_sellers(grid: Grid, most: int | None) -> Grid:
    order = np.argsort(-grid.units.sum(axis=1), kind="stable")[:most]
    return grid.take(np.sort(order))


def _shape(grid: Grid, params: Demand, horizon: int) -> Shape:
    periods = grid.shape[1]
    days = (grid.periods[-1] - grid.periods[0]).days
    words = {
        name: tuple(sorted(set(grid.keys[name].dropna().astype(str))))
        for name in STATIC
        if name in grid.keys
    }
    return Shape(
        context=max(2, min(params.context, periods - horizon)),
        horizon=horizon,
        units=params.units,
        quantiles=params.quantiles,
        yearly=days >= 2 * 365,
        words=words,
    )


def _codes(keys: pd.DataFrame, words: dict[str, tuple[str, ...]]) -> Ints:
    """[series, static column]: the position in the vocabulary from 1, or 0 if it is not in it."""
    empty = pd.Series([None] * len(keys), index=keys.index, dtype=object)
    columns = [pd.Index(words[n]).get_indexer(_text(keys.get(n, empty))) + 1 for n in words]
    return np.stack(columns, axis=1).astype(np.int64)


def _text(column: pd.Series) -> pd.Series:
    return column.astype(object).where(column.isna(), column.astype(str))


def _inputs(window: Windows, codes: Ints) -> dict[str, Any]:
    static = codes[window.series]
    return {
        "past": window.past,
        "future": window.future,
        "log_price": window.log_price[..., None],
        "static": static.astype(np.int32),
        "known": (static > 0).astype(np.float32),
    }


def _weights(scale: Floats) -> Floats:
    """By the root of the size, [window]: between every series alike and every unit alike."""
    root = np.sqrt(scale)
    weights: Floats = root / root.mean()
    return weights


def _network(shape: Shape, inputs: dict[str, Any], seed: int) -> keras.Model:
    given = {
        name: keras.Input(value.shape[1:], name=name, dtype=value.dtype)
        for name, value in inputs.items()
    }
    about = _embedded(shape, given["static"], given["known"], seed)
    state = layers.LSTM(shape.units, name="encoder")(_beside(given["past"], about, shape.context))
    start = [layers.Dense(shape.units, activation="tanh")(state) for _ in "hc"]
    ahead = layers.LSTM(shape.units, return_sequences=True, name="decoder")(
        _beside(given["future"], about, shape.horizon), initial_state=start
    )
    both = ops.concatenate([ahead, _beside(given["future"], state, shape.horizon)], axis=-1)
    hidden = layers.Dense(shape.units, activation="gelu", name="hidden")(
        layers.Dropout(DROPOUT, seed=seed)(_beside(both, about, shape.horizon))
    )
    return keras.Model(given, _demand(hidden, given["log_price"], len(shape.quantiles)))


def _embedded(shape: Shape, static: Any, known: Any, seed: int) -> Any:
    """One vector per series; an unknown word is zeros, and so is a known one now and then."""
    known = layers.Dropout(UNKNOWN_RATE, seed=seed, name="forget")(known)
    parts = [
        layers.Embedding(len(words) + 1, EMBEDDING_WIDTH[name], name=name)(static[:, i])
        * known[:, i : i + 1]
        for i, (name, words) in enumerate(shape.words.items())
    ]
    return ops.concatenate(parts, axis=-1)


def _beside(sequence: Any, vector: Any, length: int) -> Any:
    return ops.concatenate([sequence, layers.RepeatVector(length)(vector)], axis=-1)


def _demand(hidden: Any, log_price: Any, quantiles: int) -> Any:
    """[window, horizon, 1 + quantiles]: the mean, then the quantiles, in units over scale."""
    start = keras.initializers.Constant
    beta = layers.Dense(1, activation="softplus", bias_initializer=start(1.0), name="beta")(hidden)
    level = layers.Dense(1, name="level")(hidden)
    mean = ops.exp(ops.clip(level, -8.0, 4.0) - beta * log_price)
    gaps = layers.Dense(
        quantiles, activation="softplus", bias_initializer=start(-1.5), name="gaps"
    )(hidden)
    return ops.concatenate([mean, mean * ops.cumsum(gaps, axis=-1)], axis=-1)


@dataclass(frozen=True)
class _Batches:
    inputs: dict[str, Any]
    sold: Floats
    weight: Floats

    def dataset(self, size: int, seed: int) -> tf.data.Dataset:
        weight = np.repeat(self.weight[:, None], self.sold.shape[1], axis=1)
        whole = tf.data.Dataset.from_tensor_slices((self.inputs, self.sold[..., None], weight))
        return whole.shuffle(len(self.sold), seed=seed).batch(size).prefetch(2)

    def steps(self, size: int) -> int:
        return -(-len(self.sold) // size)


def _loss(quantiles: Sequence[float]) -> Callable[[Any, Any], Any]:
    """Tweedie deviance on the mean plus the pinball losses of the quantiles, [window, horizon].

    The deviance, without the terms of y alone, is −y μ^(1−p)/(1−p) + μ^(2−p)/(2−p): Jørgensen
    (1987), "Exponential dispersion models", JRSS B 49(2).
    """
    levels = np.asarray(quantiles, dtype=np.float32)
    power = TWEEDIE_POWER

    def loss(sold: Any, said: Any) -> Any:
        mean = said[..., 0]
        y = sold[..., 0]
        deviance = ops.power(mean, 2 - power) / (2 - power) + y * ops.power(mean, 1 - power) / (
            power - 1
        )
        error = sold - said[..., 1:]
        return deviance + ops.mean(ops.maximum(levels * error, (levels - 1) * error), axis=-1)

    return loss


def _train(
    network: keras.Model, batches: _Batches, params: Demand, seed: int, on_epoch: OnEpoch
) -> None:
    steps = params.epochs * batches.steps(params.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(params.learning_rate, steps)
    network.compile(
        keras.optimizers.Adam(rate, clipnorm=1.0), loss=_loss(params.quantiles), jit_compile=False
    )
    told = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: on_epoch(epoch + 1, dict(logs or {}))
    )
    network.fit(
        batches.dataset(params.batch_size, seed),
        epochs=params.epochs,
        shuffle=False,  # the dataset shuffles itself
        verbose=0,
        callbacks=[told],
    )
