"""Compares an exported response model with recorded outputs of its Keras original.

The comparison needs LiteRT only: `models.export.keras_outputs` makes the outputs when a model is
trained.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.runtime import ResponseRuntime, Series

Floats = NDArray[np.float64]

KEY = ["sku", "zone", "segment"]
RUNGS = 30
DEEPEST_MARKDOWN = 0.5
DEMAND = [f"demand_{rung}" for rung in range(RUNGS)]


def price_ratios(rows: int) -> Floats:
    """[rows, RUNGS]: the price ladder of the comparison, from half the reference price to it."""
    return np.tile(np.linspace(1 - DEEPEST_MARKDOWN, 1.0, RUNGS), (rows, 1))


def series_of(outputs: pd.DataFrame) -> list[Series]:
    """The rows of a table with the columns sku, zone and segment, as the runtime takes them."""
    return [Series(*key) for key in outputs[KEY].itertuples(index=False, name=None)]


def export_error(outputs: pd.DataFrame, runtime: ResponseRuntime) -> float:
    """The largest relative difference between Keras outputs and those of an export.

    The runtime looks the series up in its own tables, so a stale or mixed-up response.json is
    found too.

    Args:
        outputs: of `models.export.keras_outputs`: KEY, elasticity and DEMAND.

    Returns:
        0 for no rows; NaN if any number is not finite.
    """
    if outputs.empty:
        return 0.0
    series = series_of(outputs)
    pairs = [
        (outputs[DEMAND], runtime.demand_ratio(series, price_ratios(len(series)))),
        (outputs["elasticity"], runtime.elasticity(series)),
    ]
    errors = [np.abs(exported / keras.to_numpy(np.float64) - 1) for keras, exported in pairs]
    return float(np.max([np.max(error) for error in errors]))
