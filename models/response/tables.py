"""The tables of a fitted response model: all that it has besides its network. No Keras here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.response.shrinkage import Tree
from models.runtime import stderr
from pricebook.errors import TrainingError

Floats = NDArray[np.float64]

Z_90 = 1.645  # standard errors on each side of a 90 % interval


@dataclass(frozen=True)
class Summary:
    """Figures of the shop as a whole.

    Attributes:
        pooled: random-effects mean of the series' slopes, corrected for errors in the price,
            before shrinkage and the sign constraint. The prior's elasticity if no series has
            evidence.
        pooled_stderr: its standard error, which includes how much departments and categories
            differ, and the uncertainty of the correction.
        pooled_without_promotion_controls: the same without control for promotions; the difference
            is what promotions would add to the effect of price.
        mean: mean of the fitted elasticities, weighted by units.
        series: the number of series.
        series_with_evidence: those with enough periods and price variation to estimate a slope.
        rows: the number of usable rows.
        pooled_uncorrected: `pooled` without the correction (`models.prices.reliability`).
        reliability: the share of the price variation that is not error; 1 where the panel has no
            halves to measure it with, so that nothing is corrected.
    """

    pooled: float
    pooled_stderr: float
    pooled_without_promotion_controls: float
    mean: float
    series: int
    series_with_evidence: int
    rows: int
    pooled_uncorrected: float
    reliability: float = 1.0

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Summary:
        """Read a saved summary; one of an earlier version has no correction."""
        return cls(**{"pooled_uncorrected": content["pooled"], **content})

    @property
    def corrected(self) -> bool:
        """Whether the elasticities are corrected for errors in the price."""
        return self.reliability < 1


@dataclass(frozen=True)
class Tables:
    """The tables of a fitted model. Variances and standard deviations are before the softplus.

    Attributes:
        tree: the hierarchy of the series.
        segments: the named segments.
        sds: for each level, the standard deviation of its effects.
        variances: Laplace variance of every node's value: [1] for the shop, then [n_l] for each
            level.
        segment_sds: standard deviation of each named segment's effect.
        summary: figures of the shop.
        cross: cross elasticities (`models.response.cross_price`).
    """

    tree: Tree
    segments: tuple[str, ...]
    sds: tuple[float, ...]
    variances: tuple[Floats, ...]
    segment_sds: Floats
    summary: Summary
    cross: pd.DataFrame

    def to_json(self) -> dict[str, Any]:
        """All but `cross`, as plain values."""
        return {
            "keys": self.tree.keys,
            "parents": [parents.tolist() for parents in self.tree.parents],
            "segments": self.segments,
            "sds": self.sds,
            "variances": [values.tolist() for values in self.variances],
            "segment_sds": self.segment_sds.tolist(),
            "summary": asdict(self.summary),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any], cross: pd.DataFrame) -> Tables:
        """The inverse of `to_json`."""
        tree = Tree(
            tuple(np.array(parents, np.int64) for parents in content["parents"]),
            tuple(tuple(tuple(key) for key in keys) for keys in content["keys"]),
        )
        return cls(
            tree,
            tuple(content["segments"]),
            tuple(content["sds"]),
            tuple(np.array(values) for values in content["variances"]),
            np.array(content["segment_sds"]),
            Summary.from_json(content["summary"]),
            cross,
        )


def with_interval(keys: pd.DataFrame, value: Floats, variance: Floats) -> pd.DataFrame:
    """Keys with elasticity, standard error and 90 % interval.

    The interval is log-normal, so both its ends are below 0.

    Args:
        value: elasticities [n].
        variance: variances of the values before the softplus [n].
    """
    error = stderr(value, variance)
    ratio = np.exp(Z_90 * error / -value)
    return keys.assign(elasticity=value, stderr=error, low=value * ratio, high=value / ratio)


def check_negative(elasticity: Floats, tree: Tree) -> None:
    """Check the elasticity of each series [n].

    In float32, -softplus is 0 at very negative values, which a far too high learning rate reaches.

    Raises:
        TrainingError: an elasticity is not finite or not below 0.
    """
    bad = ~(np.isfinite(elasticity) & (elasticity < 0))
    if bad.any():
        sku, zone = tree.keys[-1][int(bad.argmax())]
        raise TrainingError(
            f"An elasticity must be finite and below 0; {int(bad.sum())} of {tree.size} series are "
            f"not, first sku {sku!r}, zone {zone!r}. Lower train.response.learning_rate. "
            f"Received: {elasticity[bad][0]}"
        )


def check_finite(what: str, table: pd.DataFrame) -> None:
    """Check a table of elasticities with intervals.

    Args:
        what: what a row is, for the message.

    Raises:
        TrainingError: an elasticity, a standard error or an end of an interval is not finite.
    """
    bad = ~np.isfinite(table[["elasticity", "stderr", "low", "high"]].to_numpy(float)).all(axis=1)
    if bad.any():
        row = table.iloc[int(bad.argmax())]
        raise TrainingError(
            f"A {what} or its interval is not finite; {int(bad.sum())} of {len(table)} rows are "
            f"not, first sku {row['sku']!r}, zone {row['zone']!r}. "
            f"Received: {row['elasticity']} ± {row['stderr']}"
        )
