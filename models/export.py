"""Exports a fitted response model for the service: response.tflite and response.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models.export_check import DEMAND, KEY, price_ratios, series_of
from models.response.model import ResponseModel
from models.response.network import predict
from models.response.segments import EVERYONE
from models.response.shrinkage import LEVELS
from models.response.tables import Tables
from models.runtime import FORMAT, MODEL, TABLES, Vocabulary


def export(model: ResponseModel, directory: Path) -> None:
    """Write both files into `directory`, which is created if needed.

    The exported network takes any number of rows and rungs. The two files are not written
    atomically: callers export into a new directory and swap directories.
    """
    directory.mkdir(parents=True, exist_ok=True)
    model.network.export(str(directory / MODEL), format="litert", verbose=False)
    tables = {**_lookup(model.tables), "elasticities": _elasticities(model)}
    (directory / TABLES).write_text(json.dumps(tables))


def _lookup(tables: Tables) -> dict[str, Any]:
    """The tables that `Vocabulary` reads."""
    return {
        "format": FORMAT,
        "vocabularies": _vocabularies(tables),
        "ancestry": tables.tree.ancestry.tolist(),
        "variances": [values.tolist() for values in tables.variances],
        "effect_sds": tables.sds,
        "segment_sds": tables.segment_sds.tolist(),
    }


def _vocabularies(tables: Tables) -> dict[str, Any]:
    """Names by kind. The index of a name is its position plus 1; 0 means unknown."""
    return {**dict(zip(LEVELS, tables.tree.keys, strict=True)), "segment": tables.segments}


def _elasticities(model: ResponseModel) -> dict[str, dict[str, list[float]]]:
    """Elasticities and standard errors by segment, in the order of the series."""
    frame = model.elasticities().groupby("segment", sort=False)
    return {
        str(segment): {name: rows[name].round(6).tolist() for name in ("elasticity", "stderr")}
        for segment, rows in frame
    }


def keras_outputs(model: ResponseModel) -> pd.DataFrame:
    """The outputs of the Keras network for every series, as everyone and as each segment.

    Returns:
        columns sku, zone, segment, elasticity and `export_check.DEMAND`: the demand ratios at
        `export_check.price_ratios`. Network and table use float32.
    """
    names = (EVERYONE, *model.tables.segments)
    keys = model.tables.tree.keys[-1]
    rows = [(sku, zone, segment) for segment in names for sku, zone in keys]
    frame = pd.DataFrame(rows, columns=KEY)
    indices = Vocabulary(_lookup(model.tables)).indices(series_of(frame))
    demand, elasticity = predict(model.network, indices, price_ratios(len(rows)))
    ratios = pd.DataFrame(demand.astype(np.float32), columns=DEMAND)
    return pd.concat([frame.assign(elasticity=elasticity), ratios], axis=1)
