"""The demand network: its layers, its losses and its training.

An encoder LSTM reads a series' past, a decoder LSTM what is already planned (promotions,
calendar), and a layer joins both with what the series' own past says of promotions (`lifts`). The
planned price enters last, and only as exp(−β · log(price / reference)) with
β = softplus(…) > 0, where β never sees the planned price: by construction a higher price cannot
mean more demand, at any step or quantile. Quantiles are the mean times a cumulative sum of softplus
terms, so they cannot cross.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from models.backend import keras, layers, ops, tf
from models.demand.grid import Floats
from pricebook.config import Demand

OnEpoch = Callable[[int, dict[str, float]], None]

TWEEDIE_POWER = 1.5
FORGET_RATE = 0.7
DROPOUT = 0.3
MEAN_SIZE_POWER, QUANTILE_SIZE_POWER = 1.0, 0.0
LOG_LEVEL_RANGE = (-8.0, 4.0)


def network(
    inputs: dict[str, Any], words: dict[str, tuple[int, int]], units: int, quantiles: int
) -> keras.Model:
    """The untrained network: {past, future, lifts, log_price, static, known} to {mean, quantiles}.

    Args:
        inputs: arrays of the shapes and dtypes to come, each [window, …].
        words: per column of `static`, its vocabulary size (0 is unknown) and embedding width.
        units: width of both LSTMs and of the layer after them.
        quantiles: how many.
    """
    given = {
        name: keras.Input(value.shape[1:], name=name, dtype=value.dtype)
        for name, value in inputs.items()
    }
    context, horizon = inputs["past"].shape[1], inputs["future"].shape[1]
    about = _embedded(words, given["static"], given["known"])
    state = layers.LSTM(units, name="encoder")(_beside(given["past"], about, context))
    start = [layers.Dense(units, activation="tanh", name=f"start_{s}")(state) for s in "hc"]
    plan = _beside(given["future"], about, horizon)
    decoder = layers.LSTM(units, return_sequences=True, name="decoder")
    decoded = decoder(plan, initial_state=start)
    joined = ops.concatenate([decoded, plan, given["lifts"]], axis=-1)
    dropped = layers.Dropout(DROPOUT)(_beside(joined, state, horizon))
    hidden = layers.Dense(units, activation="gelu", name="hidden")(dropped)
    return keras.Model(given, _demand(hidden, given["lifts"], given["log_price"], quantiles))


def _embedded(words: dict[str, tuple[int, int]], static: Any, known: Any) -> Any:
    """One vector per series. An unknown word is zeros, and in training a known one often is too:
    the network learns what a stranger sells, and cannot learn a series by heart."""
    parts = []
    for i, (name, (size, width)) in enumerate(words.items()):
        kept = layers.Dropout(FORGET_RATE, name=f"forget_{name}")(known[:, i : i + 1])
        parts.append(layers.Embedding(size, width, name=name)(static[:, i]) * kept)
    return ops.concatenate(parts, axis=-1)


def _beside(sequence: Any, vector: Any, length: int) -> Any:
    return ops.concatenate([sequence, layers.RepeatVector(length)(vector)], axis=-1)


def _demand(hidden: Any, lifts: Any, log_price: Any, quantiles: int) -> dict[str, Any]:
    """mean [window, horizon, 1] and quantiles [window, horizon, q], in units over scale.

    The network learns by how much to correct what the series' own past expects.
    The quantiles learn their distance from the mean and leave the mean alone.
    """
    start = keras.initializers.Constant
    beta = layers.Dense(1, activation="softplus", bias_initializer=start(1.0), name="beta")(hidden)
    level = lifts[..., :1] + layers.Dense(1, name="level")(hidden)
    mean = ops.exp(ops.clip(level, *LOG_LEVEL_RANGE) - beta * log_price)
    gap = layers.Dense(quantiles, activation="softplus", bias_initializer=start(-1.5), name="gap")
    spread = ops.cumsum(gap(hidden), axis=-1)
    return {"mean": mean, "quantiles": ops.stop_gradient(mean) * spread}


def tweedie(sold: Any, mean: Any) -> Any:
    """Tweedie deviance without the terms of y alone, −y μ^(1−p) / (1−p) + μ^(2−p) / (2−p).

    `sold` is [window, horizon, 2]: units asked for, and how far to trust that (`windows.targets`).
    Jørgensen (1987), "Exponential dispersion models", JRSS B 49(2).
    """
    p = TWEEDIE_POWER
    asked, trust = sold[..., :1], sold[..., 1:]
    each = ops.power(mean, 2 - p) / (2 - p) + asked * ops.power(mean, 1 - p) / (p - 1)
    return ops.mean(trust * each, axis=-1)


def pinball(quantiles: Sequence[float]) -> Callable[[Any, Any], Any]:
    """The mean pinball loss over quantiles, as `pricebook.metrics.pinball` has it."""
    levels = np.asarray(quantiles, dtype=np.float32)

    def loss(sold: Any, said: Any) -> Any:
        error = sold[..., :1] - said
        each = ops.maximum(levels * error, (levels - 1) * error)
        return ops.mean(sold[..., 1:] * each, axis=-1)

    return loss


def batches(
    inputs: dict[str, Any], sold: Floats, scale: Floats, size: int, seed: int
) -> tf.data.Dataset:
    """Shuffled batches of (inputs, goals, weights).

    The mean is weighted by a window's size, as the error in total units is; the quantiles count
    every series alike, as coverage does.
    """
    powers = {"mean": MEAN_SIZE_POWER, "quantiles": QUANTILE_SIZE_POWER}
    weights = {name: _weight(scale**power, sold.shape[1]) for name, power in powers.items()}
    goals = dict.fromkeys(powers, sold)
    whole = tf.nest.map_structure(tf.constant, (inputs, goals, weights))
    order = tf.data.Dataset.range(len(sold)).shuffle(len(sold), seed=seed).batch(size)
    return order.map(lambda rows: _gathered(whole, rows)).prefetch(2)


def _gathered(arrays: Any, rows: Any) -> Any:
    """A batch at once: window by window costs three times as much."""
    return tf.nest.map_structure(lambda array: tf.gather(array, rows), arrays)


def _weight(size: Floats, horizon: int) -> Floats:
    return np.repeat((size / size.mean())[:, None], horizon, axis=1)


def train(model: keras.Model, data: tf.data.Dataset, params: Demand, on_epoch: OnEpoch) -> None:
    """Fit in place: Adam, its rate falling to nothing along a cosine."""
    steps = params.epochs * int(data.cardinality())
    rate = keras.optimizers.schedules.CosineDecay(params.learning_rate, steps)
    model.compile(
        keras.optimizers.Adam(rate, clipnorm=1.0),
        loss={"mean": tweedie, "quantiles": pinball(params.quantiles)},
        jit_compile=False,
    )
    told = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: on_epoch(epoch + 1, dict(logs or {}))
    )
    # shuffle=False: the dataset shuffles itself
    model.fit(data, epochs=params.epochs, shuffle=False, verbose=0, callbacks=[told])
