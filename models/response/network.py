"""The Keras network of the response model.

Inputs:
    indices [n, 6] int32: department, category, product type, sku, series, segment. Index 0 is
        "unknown"; for the segment it is "everyone".
    log_ratios [n, k]: log of price / reference price, for k prices.

Outputs:
    elasticity [n]: -softplus(shop + the six effects).
    demand_ratio [n, k]: demand / demand at the reference price: exp(elasticity · log_ratio).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.backend import keras, layers, ops
from pricebook.config import Response
from pricebook.errors import TrainingError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
OnEpoch = Callable[[int, dict[str, float]], None]

COLUMNS = ("department", "category", "product_type", "sku", "series", "segment")
SERIES_LAYERS = ("elasticity", *COLUMNS[:-1])
# Segments train separately. Trained together, index 0 (everyone) would be one segment of several,
# and the shop's elasticity would become a compromise between them.
SEGMENT_LAYERS = ("segment",)


@keras.saving.register_keras_serializable(package="pricebook")
class Elasticity(layers.Layer):  # type: ignore[misc]
    """-softplus of the shop's value plus all effects, each scaled by its prior standard deviation.

    With this scaling the prior of every weight is N(0, 1), so one L2 penalty and one learning rate
    suit all of them.
    """

    def __init__(self, centre: float, sds: Sequence[float], penalty: float, **kwargs: Any) -> None:
        """Create the layer.

        Args:
            centre: prior mean of the shop's value, before the softplus.
            sds: prior standard deviations: the shop's, then those of each column's effects.
            penalty: L2 penalty of the shop's weight.
        """
        super().__init__(**kwargs)
        self.centre, self.sds, self.penalty = float(centre), [float(sd) for sd in sds], penalty

    def build(self, shape: Any) -> None:
        prior = keras.regularizers.L2(self.penalty)
        self.shop = self.add_weight(name="shop", shape=(), initializer="zeros", regularizer=prior)

    def call(self, effects: Any) -> Any:
        """Effects [n, 6] to elasticity [n]."""
        widths = ops.convert_to_tensor(self.sds[1:], dtype=self.compute_dtype)
        total = self.centre + self.sds[0] * self.shop + ops.sum(effects * widths, axis=-1)
        return -ops.softplus(total)

    def get_config(self) -> dict[str, Any]:
        config = {"centre": self.centre, "sds": self.sds, "penalty": self.penalty}
        return {**super().get_config(), **config}


def build_network(
    sizes: Sequence[int], sds: Sequence[float], segments: int, shop: tuple[float, float]
) -> Any:
    """Build an untrained network; all its elasticities are the prior's.

    Args:
        sizes: the number of nodes at each level, department to series.
        sds: the prior standard deviation of the effects of each column.
        segments: the number of named segments.
        shop: prior mean and standard deviation of the shop's value.
    """
    indices = keras.Input((len(COLUMNS),), dtype="int32", name="indices")
    ratios = keras.Input((None,), dtype="float32", name="log_ratios")
    # The loss is a mean over the series; with this penalty, it is proportional to the negative log
    # posterior (2 / number of series times it).
    penalty = 1 / sizes[-1]
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
    """One weight per node, and one for "unknown", which never trains and so stays 0."""
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
    trainable: Collection[str],
) -> None:
    """Find the mode of the posterior with full-batch Adam; changes `network` in place.

    Args:
        rows: indices [m, 6], slopes [m] and precisions of the slopes [m].
        trainable: the names of the layers to train; the others stay as they are.

    Raises:
        TrainingError: the loss of an epoch is not finite.
    """
    indices, slopes, precisions = rows
    keras.utils.set_random_seed(seed)
    _set_trainable(network, trainable)
    column = ops.expand_dims(network.get_layer("elasticity").output, -1)  # the loss needs [m, 1]
    mode = keras.Model(network.get_layer("indices").output, column)
    rate = keras.optimizers.schedules.CosineDecay(params.learning_rate, params.epochs, alpha=0.01)
    mode.compile(optimizer=keras.optimizers.Adam(rate), loss="mse", jit_compile=False)
    batch = (
        indices.astype(np.int32),
        slopes.astype(np.float32)[:, None],
        (precisions * len(indices) / _series_count(network)).astype(np.float32),
    )
    for epoch in range(params.epochs):
        logs = mode.train_on_batch(*batch, return_dict=True)
        losses = {name: float(value) for name, value in logs.items()}
        _check_finite(epoch, losses)
        on_epoch(epoch, losses)


def _check_finite(epoch: int, losses: dict[str, float]) -> None:
    for name, value in losses.items():
        if not np.isfinite(value):
            raise TrainingError(
                f"The training of the response model stopped: its {name} is not finite in epoch "
                f"{epoch}. Lower train.response.learning_rate. Received: {value}"
            )


def _series_count(network: Any) -> int:
    return int(network.get_layer("series").input_dim) - 1


def _set_trainable(network: Any, names: Collection[str]) -> None:
    for layer in network.layers:
        layer.trainable = layer.name in names


def predict(
    network: Any, indices: NDArray[np.integer[Any]], ratios: Floats
) -> tuple[Floats, Floats]:
    """Demand ratios [n, k] at price ratios [n, k], and elasticities [n]."""
    outputs = network(
        {
            "indices": ops.convert_to_tensor(indices.astype(np.int32)),
            "log_ratios": ops.convert_to_tensor(np.log(ratios).astype(np.float32)),
        }
    )
    demand, value = outputs["demand_ratio"], outputs["elasticity"]
    return (
        ops.convert_to_numpy(demand).astype(np.float64),
        ops.convert_to_numpy(value).astype(np.float64),
    )


def predict_elasticity(network: Any, indices: Ints) -> Floats:
    """Elasticities [n] for indices [n, 6]."""
    return predict(network, indices, np.ones((len(indices), 1)))[1]


def load_network(path: Path) -> Any:
    """Read a saved .keras file."""
    return keras.saving.load_model(path, compile=False)
