"""How demand changes with price, for every series and shopper segment.

    elasticity = -softplus(shop + department + category + product type + sku + series + segment)

is negative by construction. The effects are fitted to cross-fitted residuals (`orthogonal`), so
that promotion and season do not pass for price, under Gaussian priors whose widths the data choose
(`hierarchy`): the fit is their mode, and a series with little price variation keeps its category's
elasticity. Standard errors come from the Laplace approximation around the mode, carried through the
softplus by the delta method.

The prior of the shop's elasticity has its median at -1.5 and a standard deviation of 1 before the
softplus (90 % between -.5 and -3): meta-analyses put the mean of brands at -1.8 (Tellis 1988) and
-2.6 (Bijmolt, van Heerde & Pieters 2005).
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.response import network
from models.response.controls import PROMOTION, coded, plain, usable
from models.response.cross_price import cross
from models.response.evidence import Evidence, evidence
from models.response.network import OnEpoch
from models.response.residuals import Residuals, residuals
from models.response.segments import EVERYONE, Deviations, deviations
from models.response.shrinkage import EFFECT_SD, LEVELS, Posterior, Tree, posterior, tree
from models.runtime import stderr
from pricebook.config import Response

Floats = NDArray[np.float64]

SHOP_PRIOR = (float(np.log(np.expm1(1.5))), 1.0)  # before the softplus: mean, standard deviation
SURE = 1.645  # standard errors either side of a 90 % interval
SEGMENT_SD = 0.3  # before the softplus: how far a segment may stray from the shop
ROUNDS = 60

log = logging.getLogger("pricebook.train")


@dataclass(frozen=True)
class Summary:
    """The shop in one line each: the pooled elasticity, and what leaving the promotions in does.

    `pooled` is the random-effects mean of the series' slopes, before the hierarchy and the sign;
    `mean` is the mean of the fitted elasticities by units.
    """

    pooled: float
    pooled_stderr: float
    pooled_without_promotion_controls: float
    mean: float
    series: int
    series_with_evidence: int
    rows: int


@dataclass(frozen=True)
class Tables:
    """What a fitted model knows beside its network.

    `variances` is the Laplace variance of every node before the softplus: shop, then each level;
    `sds` the width of a node's effect per level; `segment_sds` of every named segment.
    """

    tree: Tree
    segments: tuple[str, ...]
    sds: tuple[float, ...]
    variances: tuple[Floats, ...]
    segment_sds: Floats
    summary: Summary
    cross: pd.DataFrame


class ResponseModel:
    """A fitted price-response model: the Keras network and its tables."""

    def __init__(self, keras: Any, tables: Tables) -> None:
        self.keras, self.tables = keras, tables

    @property
    def summary(self) -> Summary:
        return self.tables.summary

    def elasticities(self) -> pd.DataFrame:
        """Columns sku, zone, segment, elasticity, stderr, low, high; `everyone` first."""
        ancestry = self.tables.tree.ancestry + 1
        variances = [0.0, *self.tables.segment_sds**2]
        series = pd.DataFrame(self.tables.tree.keys[-1], columns=["sku", "zone"])
        frames = []
        for index, segment in enumerate((EVERYONE, *self.tables.segments)):
            value = network.elasticity(self.keras, _with_segment(ancestry, index))
            variance = self.tables.variances[-1] + variances[index]
            frames.append(_bounded(series.assign(segment=segment), value, variance))
        return pd.concat(frames, ignore_index=True)

    def by_sku(self) -> pd.DataFrame:
        """Columns sku, elasticity, stderr, low, high: of everyone, pooled over the zones."""
        ancestry = self.tables.tree.ancestry + 1
        skus, first = np.unique(ancestry[:, -2], return_index=True)
        indices = _with_segment(ancestry[first], 0)
        indices[:, -2] = 0
        keys = pd.DataFrame({"sku": [key[-1] for key in self.tables.tree.keys[-2]]})
        value = network.elasticity(self.keras, indices)
        found = _bounded(keys.iloc[skus - 1], value, self.tables.variances[-2][skus - 1])
        return found.sort_values("sku", ignore_index=True)

    def cross(self) -> pd.DataFrame:
        """Columns sku, zone, rival, kind, elasticity, stderr, low, high; see `models.response.cross_price`."""
        return self.tables.cross

    def save(self, directory: Path) -> None:
        """Write response.keras, tables.json and cross.parquet into an existing directory."""
        self.tables.cross.to_parquet(directory / "cross.parquet", index=False)
        self.keras.save(directory / "response.keras")
        (directory / "tables.json").write_text(json.dumps(_as_json(self.tables)))

    @classmethod
    def load(cls, directory: Path) -> ResponseModel:
        others = pd.read_parquet(directory / "cross.parquet")
        tables = _from_json(json.loads((directory / "tables.json").read_text()), others)
        return cls(network.load(directory / "response.keras"), tables)


def _bounded(keys: pd.DataFrame, value: Floats, variance: Floats) -> pd.DataFrame:
    """The keys with their elasticity, its error and 90 % interval, log-normal: it stays below 0."""
    error = stderr(value, variance)
    ratio = np.exp(SURE * error / -value)
    return keys.assign(elasticity=value, stderr=error, low=value * ratio, high=value / ratio)


def load_registered(path: str) -> _Registered:
    return _Registered(ResponseModel.load(Path(path)))


@dataclass(frozen=True)
class _Registered:
    """The model as MLflow calls it: sku, zone and segment in, elasticity and its error out."""

    model: ResponseModel

    def predict(self, frame: pd.DataFrame, params: object = None) -> pd.DataFrame:
        key = ["sku", "zone", "segment"]
        found = frame[key].merge(self.model.elasticities(), on=key, how="left")
        return found[["elasticity", "stderr"]]


def fit(
    panel: pd.DataFrame,
    segments: pd.DataFrame,
    params: Response,
    seed: int,
    on_epoch: OnEpoch = lambda epoch, logs: None,
) -> ResponseModel:
    """Fit the response model.

    Args:
        panel: sku_period rows before the cut-off with department, category, product_type.
        segments: segment_period rows; may be empty.
        on_epoch: called with the epoch, from 0, and its losses.

    Raises:
        EmptyHistory: no row has units and a price.
    """
    panel = coded(panel)
    rows = usable(panel)
    of = tree(panel.drop_duplicates("series").reset_index(drop=True))
    left = residuals(rows, params.folds)
    seen = evidence(left, len(of.parents[-1]), params.min_sales_periods)
    sds = _widths(of, seen)
    by_segment = deviations(plain(segments), _priced(rows, left))
    keras = network.build(
        [len(keys) for keys in of.keys], [*sds, SEGMENT_SD], len(by_segment.names), SHOP_PRIOR
    )
    network.train(keras, _series_rows(of, seen), params, seed, on_epoch, network.SERIES_LAYERS)
    _train_segments(keras, of, seen, by_segment, params, seed, on_epoch)
    summary = _summary(keras, of, seen, rows, params)
    log.info("Elasticity %.2f pooled over %d rows.", summary.pooled, summary.rows)
    others = cross(rows, of, params)
    return ResponseModel(keras, _tables(keras, of, seen, sds, by_segment, summary, others))


def _priced(rows: pd.DataFrame, left: Residuals) -> pd.DataFrame:
    columns = ["sku", "zone", "period", *(name for name in PROMOTION if name in rows)]
    return rows[columns].assign(price_residual=left.price)


def _widths(of: Tree, seen: Evidence) -> tuple[float, ...]:
    """Empirical Bayes: the width of every level's effects, by EM around a moving linearisation."""
    value = np.full(len(seen.slope), SHOP_PRIOR[0])
    sds: tuple[float, ...] = (EFFECT_SD,) * len(LEVELS)
    for _ in range(ROUNDS):
        found = _laplace(of, seen, sds, value)
        sds = tuple(float(np.sqrt(variance)) for variance in found.spread)
        value = (value + found.mean[-1]) / 2
    return sds


def _laplace(of: Tree, seen: Evidence, sds: tuple[float, ...], value: Floats) -> Posterior:
    """The Gaussian around `value` [n]: the slopes seen through the softplus."""
    slope = network.slope(-network.softplus(value))
    target = value - (seen.slope + network.softplus(value)) / slope
    return posterior(of, target, slope**2 * seen.precision, sds, SHOP_PRIOR)


def _series_rows(of: Tree, seen: Evidence) -> tuple[NDArray[np.int64], Floats, Floats]:
    return _with_segment(of.ancestry + 1, 0), seen.slope, seen.precision


def _with_segment(ancestry: NDArray[np.int64], segment: int) -> NDArray[np.int64]:
    """[n, 6]: department, category, product type, sku, series, segment; 0: unknown, or everyone."""
    return np.column_stack([ancestry, np.full(len(ancestry), segment)])


def _train_segments(
    keras: Any,
    of: Tree,
    seen: Evidence,
    by_segment: Deviations,
    params: Response,
    seed: int,
    on_epoch: OnEpoch,
) -> None:
    """Fit the segment effects with every other held: a segment should deviate as it was seen to.

    The information of a segment is spread over the series, in proportion to theirs.
    """
    if not by_segment.names or not seen.precision.any():
        return
    share = seen.precision / seen.precision.sum()
    indices, targets, weights = [], [], []
    everyone = network.elasticity(keras, _with_segment(of.ancestry + 1, 0))
    for number, deviation in enumerate(by_segment.deviation):
        indices.append(_with_segment(of.ancestry + 1, number + 1))
        targets.append(everyone + deviation)
        weights.append(share / by_segment.stderr[number] ** 2)
    stacked = np.vstack(indices), np.concatenate(targets), np.concatenate(weights)

    def after(epoch: int, logs: dict[str, float]) -> None:
        on_epoch(params.epochs + epoch, logs)

    network.train(keras, stacked, params, seed, after, network.SEGMENT_LAYERS)


def _tables(
    keras: Any,
    of: Tree,
    seen: Evidence,
    sds: tuple[float, ...],
    by_segment: Deviations,
    summary: Summary,
    others: pd.DataFrame,
) -> Tables:
    mode = network.before_softplus(network.elasticity(keras, _with_segment(of.ancestry + 1, 0)))
    found = _laplace(of, seen, sds, mode)
    share = seen.precision / max(seen.precision.sum(), 1e-300)
    slope = float(share @ network.slope(-network.softplus(mode)) ** 2)
    precision = slope / by_segment.stderr**2 + SEGMENT_SD**-2
    return Tables(of, by_segment.names, sds, found.variance, precision**-0.5, summary, others)


def _summary(keras: Any, of: Tree, seen: Evidence, rows: pd.DataFrame, params: Response) -> Summary:
    size = len(seen.slope)
    plain = residuals(rows, params.folds, promotions=False)
    without = evidence(plain, size, params.min_sales_periods)
    units = np.bincount(rows["series"], rows["units"], size)
    value = network.elasticity(keras, _with_segment(of.ancestry + 1, 0))
    return Summary(
        *seen.pooled,
        pooled_without_promotion_controls=without.pooled[0],
        mean=float(units @ value / units.sum()),
        series=size,
        series_with_evidence=int((seen.precision > 0).sum()),
        rows=len(rows),
    )


def _as_json(tables: Tables) -> dict[str, Any]:
    return {
        "keys": tables.tree.keys,
        "parents": [parents.tolist() for parents in tables.tree.parents],
        "segments": tables.segments,
        "sds": tables.sds,
        "variances": [values.tolist() for values in tables.variances],
        "segment_sds": tables.segment_sds.tolist(),
        "summary": asdict(tables.summary),
    }


def _from_json(read: Mapping[str, Any], others: pd.DataFrame) -> Tables:
    of = Tree(
        tuple(np.array(parents, np.int64) for parents in read["parents"]),
        tuple(tuple(tuple(key) for key in keys) for keys in read["keys"]),
    )
    return Tables(
        of,
        tuple(read["segments"]),
        tuple(read["sds"]),
        tuple(np.array(values) for values in read["variances"]),
        np.array(read["segment_sds"]),
        Summary(**read["summary"]),
        others,
    )
