"""A fitted response model as the service reads it: response.tflite and response.json."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.response import network
from models.response.model import ResponseModel, Tables
from models.response.segments import EVERYONE
from models.response.shrinkage import LEVELS
from models.runtime import FORMAT, MODEL, TABLES, ResponseRuntime, Series, Vocabulary

Floats = NDArray[np.float64]

RUNGS = 30
DEEPEST_MARKDOWN = 0.5


def export(model: ResponseModel, directory: Path) -> None:
    """Write both files into `directory`, which is made if absent.

    The network takes any number of rows and rungs. The caller swaps whole directories, so a reader
    never sees the files of two models.
    """
    directory.mkdir(parents=True, exist_ok=True)
    model.keras.export(str(directory / MODEL), format="litert", verbose=False)
    tables = {**_lookup(model.tables), "elasticities": _elasticities(model)}
    (directory / TABLES).write_text(json.dumps(tables))


def _lookup(tables: Tables) -> dict[str, Any]:
    """What a `Vocabulary` is made of."""
    return {
        "format": FORMAT,
        "vocabularies": _vocabularies(tables),
        "ancestry": tables.tree.ancestry.tolist(),
        "variances": [values.tolist() for values in tables.variances],
        "effect_sds": tables.sds,
        "segment_sds": tables.segment_sds.tolist(),
    }


def _vocabularies(tables: Tables) -> dict[str, Any]:
    """Each name's index is its place, from 1."""
    return {**dict(zip(LEVELS, tables.tree.keys, strict=True)), "segment": tables.segments}


def _elasticities(model: ResponseModel) -> dict[str, dict[str, list[float]]]:
    """Per segment, in the order of the series: elasticity and standard error."""
    frame = model.elasticities().groupby("segment", sort=False)
    return {
        str(segment): {name: rows[name].round(6).tolist() for name in ("elasticity", "stderr")}
        for segment, rows in frame
    }


def export_error(model: ResponseModel, runtime: ResponseRuntime, sample: Sequence[Series]) -> float:
    """The largest relative difference between the Keras network and its export.

    Each looks the sample up in its own tables and answers for a ladder from half the reference
    price to the whole of it, so a stale or mixed-up response.json counts too.

    Returns:
        0 for an empty sample.
    """
    if not sample:
        return 0.0
    ladder = np.linspace(1 - DEEPEST_MARKDOWN, 1.0, RUNGS)
    ratios = np.tile(ladder, (len(sample), 1))
    here = network.predict(model.keras, Vocabulary(_lookup(model.tables)).indices(sample), ratios)
    there = runtime.demand_ratio(sample, ratios), runtime.elasticity(sample)
    pairs = zip(here, there, strict=True)
    return max(float(np.max(np.abs(b / a - 1))) for a, b in pairs)


def every_series(model: ResponseModel) -> list[Series]:
    """A sample with every series of the model, as everyone and as each segment."""
    names = (EVERYONE, *model.tables.segments)
    keys = model.tables.tree.keys[-1]
    return [Series(sku, zone, segment) for segment in names for sku, zone in keys]
