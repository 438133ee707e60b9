"""The demand network: its layers, losses and training.

An encoder LSTM reads a series' past, a decoder LSTM reads the plan (promotions, calendar), and a
dense layer joins both with the features of the series' own history (`lifts`). The planned price
enters last, and only as exp(−β · log(price / reference)) with β = softplus(…) > 0, where β does not
depend on the planned price. So a higher price cannot mean more demand, at any step or quantile.
Quantiles are the mean times a cumulative sum of softplus terms, so they cannot cross.
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
LABEL_DROPOUT = 0.7  # share of the labels that training hides, see `_embed`
DROPOUT = 0.3
MEAN_SIZE_POWER, QUANTILE_SIZE_POWER = 1.0, 0.0  # weight = scale ** power, see `batches`
LOG_LEVEL_RANGE = (-8.0, 4.0)  # of log(demand / scale); keeps the exponential finite


def build_network(
    inputs: dict[str, Any], words: dict[str, tuple[int, int]], units: int, quantiles: int
) -> keras.Model:
    """The untrained network, which maps `inputs` to {mean, quantiles}.

    Args:
        inputs: past, future, lifts, log_price, static and known, each [window, …]. Only their
            shapes and dtypes are used.
        words: for each column of `static`, its vocabulary size (0 is unknown) and embedding width.
        units: width of both LSTMs and of the dense layer after them.
        quantiles: number of quantiles.
    """
    tensors = {
        name: keras.Input(value.shape[1:], name=name, dtype=value.dtype)
        for name, value in inputs.items()
    }
    context, horizon = inputs["past"].shape[1], inputs["future"].shape[1]
    labels = _embed(words, tensors["static"], tensors["known"])
    state = layers.LSTM(units, name="encoder")(_append(tensors["past"], labels, context))
    start = [layers.Dense(units, activation="tanh", name=f"start_{s}")(state) for s in "hc"]
    plan = _append(tensors["future"], labels, horizon)
    decoder = layers.LSTM(units, return_sequences=True, name="decoder")
    decoded = decoder(plan, initial_state=start)
    joined = ops.concatenate([decoded, plan, tensors["lifts"]], axis=-1)
    dropped = layers.Dropout(DROPOUT)(_append(joined, state, horizon))
    hidden = layers.Dense(units, activation="gelu", name="hidden")(dropped)
    outputs = _demand(hidden, tensors["lifts"], tensors["log_price"], quantiles)
    return keras.Model(tensors, outputs)


def _embed(words: dict[str, tuple[int, int]], static: Any, known: Any) -> Any:
    """One vector per series from its labels; an unknown label is zeros.

    Training often hides known labels in the same way. The network thus learns to forecast series
    without labels, and cannot memorise a series.
    """
    parts = []
    for i, (name, (size, width)) in enumerate(words.items()):
        visible = layers.Dropout(LABEL_DROPOUT, name=f"forget_{name}")(known[:, i : i + 1])
        parts.append(layers.Embedding(size, width, name=name)(static[:, i]) * visible)
    return ops.concatenate(parts, axis=-1)


def _append(sequence: Any, vector: Any, length: int) -> Any:
    """Append the same vector to every step of the sequence [window, length, …]."""
    return ops.concatenate([sequence, layers.RepeatVector(length)(vector)], axis=-1)


def _demand(hidden: Any, lifts: Any, log_price: Any, quantiles: int) -> dict[str, Any]:
    """mean [window, horizon, 1] and quantiles [window, horizon, q], in units / scale.

    The first column of `lifts` is the forecast from the series' own history. The network learns a
    correction of it. The loss of the quantiles has no gradient to the mean.
    """
    start = keras.initializers.Constant
    beta = layers.Dense(1, activation="softplus", bias_initializer=start(1.0), name="beta")(hidden)
    level = lifts[..., :1] + layers.Dense(1, name="level")(hidden)
    mean = ops.exp(ops.clip(level, *LOG_LEVEL_RANGE) - beta * log_price)
    gap = layers.Dense(quantiles, activation="softplus", bias_initializer=start(-1.5), name="gap")
    spread = ops.cumsum(gap(hidden), axis=-1)
    return {"mean": mean, "quantiles": ops.stop_gradient(mean) * spread}


def tweedie(target: Any, mean: Any) -> Any:
    """Tweedie deviance: −y μ^(1−p) / (1−p) + μ^(2−p) / (2−p).

    The terms that do not depend on μ are left out. `target` is [window, horizon, 2]: demand and its
    weight (`windows.targets`). Jørgensen (1987), "Exponential dispersion models", JRSS B 49(2).
    """
    p = TWEEDIE_POWER
    demand, weight = target[..., :1], target[..., 1:]
    losses = ops.power(mean, 2 - p) / (2 - p) + demand * ops.power(mean, 1 - p) / (p - 1)
    return ops.mean(weight * losses, axis=-1)


def pinball(quantiles: Sequence[float]) -> Callable[[Any, Any], Any]:
    """The mean pinball loss over quantiles, as in `pricebook.metrics.pinball`."""
    levels = np.asarray(quantiles, dtype=np.float32)

    def loss(target: Any, forecast: Any) -> Any:
        error = target[..., :1] - forecast
        losses = ops.maximum(levels * error, (levels - 1) * error)
        return ops.mean(target[..., 1:] * losses, axis=-1)

    return loss


def batches(
    inputs: dict[str, Any], target: Floats, scale: Floats, size: int, seed: int
) -> tf.data.Dataset:
    """Shuffled batches of (inputs, targets, weights).

    In the loss of the mean, a window's weight is its scale, as in WAPE. In the loss of the
    quantiles, all windows have the same weight, as in coverage.
    """
    powers = {"mean": MEAN_SIZE_POWER, "quantiles": QUANTILE_SIZE_POWER}
    weights = {name: _weight(scale**power, target.shape[1]) for name, power in powers.items()}
    targets = dict.fromkeys(powers, target)
    arrays = tf.nest.map_structure(tf.constant, (inputs, targets, weights))
    order = tf.data.Dataset.range(len(target)).shuffle(len(target), seed=seed).batch(size)
    return order.map(lambda rows: _gather(arrays, rows)).prefetch(2)


def _gather(arrays: Any, rows: Any) -> Any:
    """Take all rows of a batch at once, which is three times as fast as row by row."""
    return tf.nest.map_structure(lambda array: tf.gather(array, rows), arrays)


def _weight(size: Floats, horizon: int) -> Floats:
    return np.repeat((size / size.mean())[:, None], horizon, axis=1)


def train(model: keras.Model, data: tf.data.Dataset, params: Demand, on_epoch: OnEpoch) -> None:
    """Fit the model in place, by Adam with a cosine-decayed learning rate.

    Raises:
        FloatingPointError: the loss became NaN or infinite; training stops at that batch.
    """
    steps = params.epochs * int(data.cardinality())
    rate = keras.optimizers.schedules.CosineDecay(params.learning_rate, steps)
    model.compile(
        keras.optimizers.Adam(rate, clipnorm=1.0),
        loss={"mean": tweedie, "quantiles": pinball(params.quantiles)},
        jit_compile=False,
    )
    # shuffle=False: the dataset already shuffles
    progress = _Progress(on_epoch)
    model.fit(data, epochs=params.epochs, shuffle=False, verbose=0, callbacks=[progress])


class _Progress(keras.callbacks.Callback):  # type: ignore[misc]
    """Reports the losses of each epoch, numbered from 1, and stops at a loss that is not finite."""

    def __init__(self, on_epoch: OnEpoch) -> None:
        super().__init__()
        self._on_epoch, self._epoch = on_epoch, 0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch = epoch + 1

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if not np.isfinite(loss):
            raise FloatingPointError(
                f"The loss is not finite in epoch {self._epoch}, batch {batch + 1}: {loss}"
            )

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self._on_epoch(epoch + 1, dict(logs or {}))
