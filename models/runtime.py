"""Runs an exported response model with LiteRT and NumPy only; the service imports nothing else.

A lock guards the one interpreter. An evaluation takes microseconds; a new batch size or number of
rungs adds about ten.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pricebook.errors import RegistryError

Floats = NDArray[np.float64]
Indices = NDArray[np.int32]

FORMAT = 2
MODEL, TABLES = "response.tflite", "response.json"
KINDS = ("department", "category", "product_type")
COLUMNS = (*KINDS, "sku", "series", "segment")
MISFIT = 0.1  # share of an elasticity: error of a constant elasticity at a single price


@dataclass(frozen=True)
class Series:
    """A sku in a zone for a shopper segment. The labels are used only if the series is unknown."""

    sku: str
    zone: str = "all"
    segment: str = "everyone"
    department: str = ""
    category: str = ""
    product_type: str = ""


def stderr(elasticity: Floats, variance: Floats) -> Floats:
    """Standard errors [n] of elasticities.

    The delta method carries the variance [n] of the value before the softplus through it. No real
    demand curve has the same elasticity at every price; MISFIT adds the error of that assumption.
    """
    slope = -np.expm1(elasticity)
    return np.sqrt(slope**2 * variance + (MISFIT * elasticity) ** 2)


class Vocabulary:
    """Translates names to indices, and holds the variances of their effects (response.json)."""

    def __init__(self, tables: Mapping[str, Any]) -> None:
        nodes = tables["vocabularies"]
        self._kinds = [
            {tuple(key): number + 1 for number, key in enumerate(nodes[level])} for level in KINDS
        ]
        above = np.array(tables["ancestry"], np.int64).reshape(-1, len(COLUMNS) - 1) + 1
        labels = [tuple(key) for key in nodes["series"]]
        paths = [tuple(row) for row in above.tolist()]
        self._series = dict(zip(labels, paths, strict=True))
        self._skus = {sku: (*path[:-1], 0) for (sku, _), path in self._series.items()}
        self._segments = {name: number + 1 for number, name in enumerate(nodes["segment"])}
        self._variances = [np.array([0.0, *values]) for values in tables["variances"][1:]]
        self._shop_variance = float(tables["variances"][0][0])
        self._effect_variances = np.array(tables["effect_sds"]) ** 2
        self._segment_variances = np.array([0.0, *tables["segment_sds"]]) ** 2

    def indices(self, rows: Sequence[Series]) -> Indices:
        """[n, 6]: department, category, product type, sku, series, segment; 0 is unknown."""
        indices = [(*self._path(row), self._segments.get(row.segment, 0)) for row in rows]
        return np.array(indices, np.int32).reshape(-1, len(COLUMNS))

    def _path(self, row: Series) -> tuple[int, ...]:
        return self._series.get((row.sku, row.zone)) or self._skus.get(row.sku) or self._labels(row)

    def _labels(self, row: Series) -> tuple[int, ...]:
        path = (row.department, row.category, row.product_type)
        known = [paths.get(path[: depth + 1], 0) for depth, paths in enumerate(self._kinds)]
        return (*known, 0, 0)

    def variance(self, indices: Indices) -> Floats:
        """Variance [n] of the value before the softplus; an unknown level adds its prior's."""
        variance = np.full(len(indices), self._shop_variance)
        for level, (values, effect) in enumerate(
            zip(self._variances, self._effect_variances, strict=True)
        ):
            column = indices[:, level]
            variance = np.where(column > 0, values[column], variance + effect)
        return np.asarray(variance + self._segment_variances[indices[:, -1]])


class ResponseRuntime:
    """An exported response model; safe to share between threads.

    An unknown series gets the elasticity of its most specific known label (sku, product type,
    category, department, shop) and a larger standard error. An unknown segment is `everyone`.
    """

    def __init__(self, interpreter: Any, vocabulary: Vocabulary) -> None:
        signature = interpreter.get_signature_runner()
        inputs, outputs = signature.get_input_details(), signature.get_output_details()
        self._indices, self._ratios = inputs["indices"]["index"], inputs["log_ratios"]["index"]
        self._demand = outputs["demand_ratio"]["index"]
        self._elasticity = outputs["elasticity"]["index"]
        self._interpreter, self._lock = interpreter, threading.Lock()
        self._shape: tuple[int, int] | None = None
        self.vocabulary = vocabulary

    @classmethod
    def load(cls, directory: Path) -> ResponseRuntime:
        """Read response.tflite and response.json.

        Raises:
            RegistryError: a file is missing, or has another format version.
        """
        from ai_edge_litert.interpreter import Interpreter

        try:
            content = (directory / MODEL).read_bytes()
            tables = json.loads((directory / TABLES).read_text())
        except FileNotFoundError as error:
            raise RegistryError(f"No exported model. Received: {error.filename}") from None
        if tables.get("format") != FORMAT:
            raise RegistryError(
                f"{directory / TABLES}: format must be {FORMAT}. Received: {tables.get('format')!r}"
            )
        return cls(Interpreter(model_content=content, num_threads=1), Vocabulary(tables))

    def demand_ratio(self, rows: Sequence[Series], ratios: Floats) -> Floats:
        """Expected demand [n, k] at each price, relative to demand at the reference price.

        Args:
            ratios: [n, k], price over reference price.

        Raises:
            ValueError: `ratios` has another number of rows, or a value that is not finite and
                above 0.
        """
        if ratios.ndim != 2 or len(ratios) != len(rows):
            raise ValueError(f"ratios must be [{len(rows)}, k]. Received: {ratios.shape}")
        if not ((ratios > 0) & (ratios < np.inf)).all():
            raise ValueError(f"ratios must be finite and above 0. Received: {ratios}")
        return self._run(self.vocabulary.indices(rows), np.log(ratios))[0]

    def elasticity(self, rows: Sequence[Series]) -> Floats:
        """Own-price elasticities [n], each below zero."""
        return self._run(self.vocabulary.indices(rows), np.zeros((len(rows), 1)))[1]

    def stderr(self, rows: Sequence[Series]) -> Floats:
        """Standard errors [n] of the elasticities, see `stderr`."""
        indices = self.vocabulary.indices(rows)
        value = self._run(indices, np.zeros((len(rows), 1)))[1]
        return stderr(value, self.vocabulary.variance(indices))

    def _run(self, indices: Indices, log_ratios: Floats) -> tuple[Floats, Floats]:
        if log_ratios.size == 0:
            return np.empty(log_ratios.shape), np.empty(len(indices))
        with self._lock:
            self._resize(log_ratios.shape[0], log_ratios.shape[1])
            self._interpreter.set_tensor(self._indices, indices)
            self._interpreter.set_tensor(self._ratios, log_ratios.astype(np.float32))
            self._interpreter.invoke()
            demand = self._interpreter.get_tensor(self._demand)
            value = self._interpreter.get_tensor(self._elasticity)
        return demand.astype(np.float64), value.astype(np.float64)

    def _resize(self, rows: int, rungs: int) -> None:
        if self._shape != (rows, rungs):
            self._interpreter.resize_tensor_input(self._indices, [rows, len(COLUMNS)])
            self._interpreter.resize_tensor_input(self._ratios, [rows, rungs])
            self._interpreter.allocate_tensors()
            self._shape = (rows, rungs)
