"""The Keras network of the response model: indices and log price ratios in, demand ratios out.

indices [n, 6] int32   department, category, product type, sku, series, segment; 0 is unknown
log_ratios [n, k]      log of price over reference price
demand_ratio [n, k]    exp(elasticity · log ratio)
elasticity [n]         -softplus(shop + the six effects)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.backend import keras, layers, ops
from pricebook.config import Response

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
OnEpoch = Callable[[int, dict[str, float]], None]

COLUMNS = ("department", "category", "product_type", "sku", "series", "segment")
SERIES_LAYERS = ("elasticity", *COLUMNS[:-1])
SEGMENT_LAYERS = ("segment",)  # alone, or everyone's row 0 would pass for the shop


@keras.saving.register_keras_serializable(package="pricebook")
class Elasticity(layers.Layer):  # type: ignore[misc]
    """-softplus of the shop's value plus the effects, each scaled by the width of its prior.

    Scaled, every weight has the prior N(0, 1): one penalty serves all, and one step size suits all.
    """

    def __init__(self, centre: float, sds: Sequence[float], penalty: float, **more: Any) -> None:
        """`centre` is the shop's prior mean; `sds` the shop's width, then each column's."""
        super().__init__(**more)
        self.centre, self.sds, self.penalty = float(centre), [float(sd) for sd in sds], penalty

    def build(self, shape: Any) -> None:
        prior = keras.regularizers.L2(self.penalty)
        self.shop = self.add_weight(name="shop", shape=(), initializer="zeros", regularizer=prior)

    def call(self, effects: Any) -> Any:
        """effects [n, 6] -> elasticity [n]."""
        widths = ops.convert_to_tensor(self.sds[1:], dtype=self.compute_dtype)
        total = self.centre + self.sds[0] * self.shop + ops.sum(effects * widths, axis=-1)
        return -ops.softplus(total)

    def get_config(self) -> dict[str, Any]:
        config = {"centre": self.centre, "sds": self.sds, "penalty": self.penalty}
        return {**super().get_config(), **config}


def build(
    sizes: Sequence[int], sds: Sequence[float], segments: int, shop: tuple[float, float]
) -> Any:
    """An untrained network: every elasticity is the prior's.

    Args:
        sizes: nodes per level, department to series.
        sds: the prior width of an effect, per column.
        shop: the prior mean and width of the shop's value.
    """
    indices = keras.Input((len(COLUMNS),), dtype="int32", name="indices")
    ratios = keras.Input((None,), dtype="float32", name="log_ratios")
    penalty = 1 / sizes[-1]  # the mean over the series of twice the negative log posterior
    effects = [
        _effect(name, size, penalty)(indices[:, column])
        for column, (name, size) in enumerate(zip(COLUMNS, [*sizes, segments], strict=True))
    ]
    joined = layers.Concatenate(name="effects")(effects)
    value = Elasticity(shop[0], [shop[1], *sds], penalty, name="elasticity")(joined)
    demand = ops.exp(ops.expand_dims(value, -1) * ratios)
    outputs = {"demand_ratio": demand, "elasticity": value}
    return keras.Model({"indices": indices, "log_ratios": ratios}, outputs, name="response")


def _effect(name: str, size: int, penalty: float) -> Any:
    """A weight per node, and one for the unknown, which never trains and so stays 0."""
    return layers.Embedding(
        size + 1,
        1,
        embeddings_initializer="zeros",
        embeddings_regularizer=keras.regularizers.L2(penalty),
        name=name,
    )


def train(
    network: Any,
    rows: tuple[Ints, Floats, Floats],
    params: Response,
    seed: int,
    on_epoch: OnEpoch,
    learns: Collection[str],
) -> None:
    """Full-batch Adam towards the mode of the posterior, in place.

    Args:
        rows: indices [m, 6], slopes [m] and their precisions [m].
        learns: the layers to train; the rest are held.
    """
    indices, slopes, precisions = rows
    keras.utils.set_random_seed(seed)
    _learn(network, learns)
    column = ops.expand_dims(network.get_layer("elasticity").output, -1)  # the loss needs [m, 1]
    mode = keras.Model(network.get_layer("indices").output, column)
    rate = keras.optimizers.schedules.CosineDecay(params.learning_rate, params.epochs, alpha=0.01)
    mode.compile(optimizer=keras.optimizers.Adam(rate), loss="mse", jit_compile=False)
    batch = (
        indices.astype(np.int32),
        slopes.astype(np.float32)[:, None],
        (precisions * len(indices) / _series(network)).astype(np.float32),
    )
    for epoch in range(params.epochs):
        logs = mode.train_on_batch(*batch, return_dict=True)
        on_epoch(epoch, {name: float(value) for name, value in logs.items()})


def _series(network: Any) -> int:
    return int(network.get_layer("series").input_dim) - 1


def _learn(network: Any, names: Collection[str]) -> None:
    for layer in network.layers:
        layer.trainable = layer.name in names


def predict(
    network: Any, indices: NDArray[np.integer[Any]], ratios: Floats
) -> tuple[Floats, Floats]:
    """Demand ratios [n, k] at price ratios [n, k], and elasticities [n]."""
    found = network(
        {
            "indices": ops.convert_to_tensor(indices.astype(np.int32)),
            "log_ratios": ops.convert_to_tensor(np.log(ratios).astype(np.float32)),
        }
    )
    demand, value = found["demand_ratio"], found["elasticity"]
    return (
        ops.convert_to_numpy(demand).astype(np.float64),
        ops.convert_to_numpy(value).astype(np.float64),
    )


def elasticity(network: Any, indices: Ints) -> Floats:
    """[n] for indices [n, 6]."""
    return predict(network, indices, np.ones((len(indices), 1)))[1]


def load(path: Path) -> Any:
    return keras.saving.load_model(path, compile=False)


def softplus(value: Floats) -> Floats:
    return np.logaddexp(0.0, value)


def slope(elasticity: Floats) -> Floats:
    """How fast an elasticity moves with the value under its softplus: the sigmoid of that value."""
    return -np.expm1(elasticity)


def before_softplus(elasticity: Floats) -> Floats:
    """The value whose -softplus is this elasticity."""
    return -elasticity + np.log(-np.expm1(elasticity))
