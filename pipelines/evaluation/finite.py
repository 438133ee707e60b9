"""Refuses a model whose numbers are not finite, before anything of it is registered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

import numpy as np

from pricebook.errors import TrainingError

if TYPE_CHECKING:
    import pandas as pd


def check_losses(model: str, epoch: int, losses: Mapping[str, float]) -> None:
    """Check the losses of one epoch.

    Raises:
        TrainingError: a loss is NaN or infinite.
    """
    _check_numbers(f"A loss of the {model} model in epoch {epoch}", losses)


def check_metrics(model: str, metrics: Mapping[str, float]) -> None:
    """Check the held-out metrics.

    Raises:
        TrainingError: a metric is NaN or infinite.
    """
    _check_numbers(f"A held-out metric of the {model} model", metrics)


def check_weights(model: str, network: Any) -> None:
    """Check the weights of a Keras network.

    Raises:
        TrainingError: a weight is NaN or infinite.
    """
    for weight in network.weights:
        if not np.isfinite(weight.value.numpy()).all():
            raise TrainingError(
                f"A weight of the {model} model is not finite. Received: {weight.path}"
            )


def check_table(what: str, table: pd.DataFrame, key: Sequence[str]) -> None:
    """Check every number of a table, such as a forecast or elasticities.

    Args:
        what: what a row is, for the message.
        key: the columns that name a row.

    Raises:
        TrainingError: a number is NaN or infinite. The message names the first such row.
    """
    numbers = table.select_dtypes("number")
    bad = ~np.isfinite(numbers.to_numpy(float))
    if bad.any():
        row, column = np.argwhere(bad)[0]
        name = ", ".join(f"{label} {str(table[label].iloc[row])[:10]}" for label in key)
        raise TrainingError(
            f"A {what} is not finite: {numbers.columns[column]} of {name}; "
            f"{int(bad.any(axis=1).sum())} of {len(table)} rows. "
            f"Received: {numbers.iloc[row, column]}"
        )


def _check_numbers(what: str, numbers: Mapping[str, float]) -> None:
    for name, value in numbers.items():
        if not isfinite(value):
            raise TrainingError(f"{what} is not finite. Received: {name} {value}")
