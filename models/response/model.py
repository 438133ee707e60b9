"""The response model: how demand changes with price, for every series and shopper segment.

    elasticity = -softplus(shop + department + category + product type + sku + series + segment)

is negative by construction. The effects have Gaussian priors, whose widths are estimated
(empirical Bayes, `models.response.shrinkage`). A series with little price variation therefore gets
an elasticity close to its category's. The effects are fitted to the slopes of cross-fitted
residuals (`models.response.residuals`), so that promotions and season are not mistaken for price.
The fit is the mode of the posterior. Standard errors come from the Laplace approximation around the
mode; the delta method carries them through the softplus.

The prior of the shop's elasticity has its median at -1.5 and a standard deviation of 1 before the
softplus, so 90 % of it lies between -.5 and -3. Meta-analyses find a mean elasticity of brands of
-1.8 (Tellis 1988) and -2.6 (Bijmolt, van Heerde & Pieters 2005).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.backend import save_network
from models.panel import check_numbers
from models.prices.halves import HALVES
from models.prices.reliability import Evidence, evidence
from models.response.controls import DEAL, PROMOTION, clean_keys, usable_rows, with_series_codes
from models.response.cross_price import cross_elasticities
from models.response.laplace import (
    SHOP_PRIOR,
    effect_sds,
    inverse_softplus,
    laplace,
    prior_elasticity,
    softplus,
    softplus_derivative,
)
from models.response.network import (
    SEGMENT_LAYERS,
    SERIES_LAYERS,
    OnEpoch,
    build_network,
    load_network,
    predict_elasticity,
    train,
)
from models.response.residuals import Residuals, residualise
from models.response.segments import EVERYONE, SegmentDeviations, segment_deviations
from models.response.shrinkage import Tree, build_tree
from models.response.slopes import SeriesSlopes
from models.response.tables import Summary, Tables, check_finite, check_negative, with_interval
from pricebook.config import Response

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

SEGMENT_SD = 0.3  # before the softplus: prior standard deviation of a segment's effect
NUMBERS = (
    *("units", "price", *PROMOTION, "list_price", "competitor_price", "on_hand_share"),
    *HALVES,
)

log = logging.getLogger("pricebook.train")


class ResponseModel:
    """A fitted response model: a Keras network and its tables."""

    def __init__(self, network: Any, tables: Tables) -> None:
        self.network, self.tables = network, tables

    @property
    def summary(self) -> Summary:
        """Figures of the shop as a whole."""
        return self.tables.summary

    def elasticities(self) -> pd.DataFrame:
        """Own elasticities: sku, zone, segment, elasticity, stderr, low, high (90 % interval).

        One row per series and segment; the segment `everyone` comes first.
        """
        ancestry = self.tables.tree.ancestry + 1
        variances = [0.0, *self.tables.segment_sds**2]
        series = pd.DataFrame(self.tables.tree.keys[-1], columns=["sku", "zone"])
        frames = []
        for index, segment in enumerate((EVERYONE, *self.tables.segments)):
            value = predict_elasticity(self.network, _with_segment(ancestry, index))
            variance = self.tables.variances[-1] + variances[index]
            frames.append(with_interval(series.assign(segment=segment), value, variance))
        return pd.concat(frames, ignore_index=True)

    def by_sku(self) -> pd.DataFrame:
        """Own elasticities of everyone, pooled over zones: sku, elasticity, stderr, low, high."""
        ancestry = self.tables.tree.ancestry + 1
        skus, first = np.unique(ancestry[:, -2], return_index=True)
        indices = _with_segment(ancestry[first], 0)
        indices[:, -2] = 0
        keys = pd.DataFrame({"sku": [key[-1] for key in self.tables.tree.keys[-2]]})
        value = predict_elasticity(self.network, indices)
        table = with_interval(keys.iloc[skus - 1], value, self.tables.variances[-2][skus - 1])
        return table.sort_values("sku", ignore_index=True)

    def cross(self) -> pd.DataFrame:
        """Cross elasticities: sku, zone, rival, kind, elasticity, stderr, low, high.

        See `models.response.cross_price.cross_elasticities`.
        """
        return self.tables.cross

    def save(self, directory: Path) -> None:
        """Write response.keras, tables.json and cross.parquet into an existing directory."""
        self.tables.cross.to_parquet(directory / "cross.parquet", index=False)
        save_network(self.network, directory / "response.keras")
        (directory / "tables.json").write_text(json.dumps(self.tables.to_json()))

    @classmethod
    def load(cls, directory: Path) -> ResponseModel:
        """Read the files of `save`; the elasticities are the same."""
        cross = pd.read_parquet(directory / "cross.parquet")
        tables = Tables.from_json(json.loads((directory / "tables.json").read_text()), cross)
        return cls(load_network(directory / "response.keras"), tables)


def load_registered(path: str) -> _RegisteredModel:
    """The saved model behind the interface that MLflow calls."""
    return _RegisteredModel(ResponseModel.load(Path(path)))


@dataclass(frozen=True)
class _RegisteredModel:
    """MLflow's interface: sku, zone and segment in; elasticity and its standard error out."""

    model: ResponseModel

    def predict(self, frame: pd.DataFrame, params: object = None) -> pd.DataFrame:
        key = ["sku", "zone", "segment"]
        rows = frame[key].merge(self.model.elasticities(), on=key, how="left")
        return rows[["elasticity", "stderr"]]


@dataclass(frozen=True)
class _Task:
    """What all steps of a fit read."""

    tree: Tree
    evidence: Evidence
    params: Response
    seed: int
    on_epoch: OnEpoch

    @property
    def slopes(self) -> SeriesSlopes:
        return self.evidence.slopes

    def indices(self, segment: int) -> Ints:
        """The network's indices of all series [n, 6] for one segment; 0 is everyone."""
        return _with_segment(self.tree.ancestry + 1, segment)


def fit(
    panel: pd.DataFrame,
    segments: pd.DataFrame,
    params: Response,
    seed: int,
    on_epoch: OnEpoch = lambda epoch, losses: None,
) -> ResponseModel:
    """Fit the response model; the same seed and data give the same model.

    Args:
        panel: sku_period rows before the cut-off: sku, zone, period, units, price; department,
            category, product_type, display, mailer, promotion, list_price, competitor_price and
            on_hand_share where known; units_a, price_a, units_b and price_b, the two halves of the
            sales, where known.
        segments: segment_period rows: sku, zone, segment, period, units; may be empty.
        on_epoch: called after each epoch with its number, from 0, and its losses.

    Raises:
        EmptyHistory: no row has units and a price above zero.
        TrainingError: a price or units are negative, a number is infinite or too large, units are
            null, or a loss or an elasticity is not finite.
    """
    panel, segments = with_series_codes(panel), clean_keys(segments)
    _check_inputs(panel, segments)
    rows = usable_rows(panel)
    tree = build_tree(panel.drop_duplicates("series").reset_index(drop=True))
    residuals = residualise(rows, params.folds)
    task = _Task(tree, evidence(residuals, tree, params.min_sales_periods), params, seed, on_epoch)
    deviations = segment_deviations(segments, _priced(rows, task.evidence.expected(residuals)))
    sds = effect_sds(tree, task.slopes)
    network, everyone = _trained_network(task, sds, deviations)
    model = ResponseModel(network, _tables(task, rows, sds, deviations, everyone))
    check_finite("elasticity", model.elasticities())
    check_finite("cross elasticity", model.cross())
    return model


def _check_inputs(panel: pd.DataFrame, segments: pd.DataFrame) -> None:
    check_numbers(panel, NUMBERS)
    # A segment's net returns or unknown units count as no units (`models.response.segments`).
    units = pd.to_numeric(segments["units"]).clip(lower=0).fillna(0)
    check_numbers(segments.assign(units=units), ["units"])


def _priced(rows: pd.DataFrame, residuals: Residuals) -> pd.DataFrame:
    """The residual price and the promotion shares of each sku, zone and period."""
    columns = ["sku", "zone", "period", *(name for name in (*PROMOTION, DEAL) if name in rows)]
    return rows[columns].assign(price_residual=residuals.price)


def _trained_network(
    task: _Task, sds: tuple[float, ...], deviations: SegmentDeviations
) -> tuple[Any, Floats]:
    """The network, and the elasticity of everyone in each series [n]."""
    sizes = [len(keys) for keys in task.tree.keys]
    network = build_network(sizes, [*sds, SEGMENT_SD], len(deviations.names), SHOP_PRIOR)
    rows = task.indices(0), task.slopes.slope, task.slopes.precision
    train(network, rows, task.params, task.seed, task.on_epoch, SERIES_LAYERS)
    everyone = predict_elasticity(network, task.indices(0))
    check_negative(everyone, task.tree)
    _train_segments(network, task, deviations, everyone)
    return network, everyone


def _with_segment(ancestry: Ints, segment: int) -> Ints:
    """Indices [n, 6]: department, category, product type, sku, series, segment."""
    return np.column_stack([ancestry, np.full(len(ancestry), segment)])


def _train_segments(
    network: Any, task: _Task, deviations: SegmentDeviations, everyone: Floats
) -> None:
    """Train the segment effects; all other weights stay as they are.

    The target of a series is its elasticity of everyone [n] plus the segment's deviation. The
    precision of the deviation is divided among the series in proportion to their own.
    """
    precision = task.slopes.precision
    if not deviations.names or not precision.any():
        return
    share = precision / precision.sum()
    indices, targets, weights = [], [], []
    for number, deviation in enumerate(deviations.deviation):
        indices.append(task.indices(number + 1))
        targets.append(everyone + deviation)
        weights.append(share / deviations.stderr[number] ** 2)
    stacked = np.vstack(indices), np.concatenate(targets), np.concatenate(weights)

    def on_epoch(epoch: int, losses: dict[str, float]) -> None:
        task.on_epoch(task.params.epochs + epoch, losses)

    train(network, stacked, task.params, task.seed, on_epoch, SEGMENT_LAYERS)


def _tables(
    task: _Task,
    rows: pd.DataFrame,
    sds: tuple[float, ...],
    deviations: SegmentDeviations,
    everyone: Floats,
) -> Tables:
    """All that the model has besides its network.

    Args:
        everyone: the fitted elasticity of each series [n].
    """
    summary = _summary(task, rows, everyone)
    log.info("Elasticity %.2f pooled over %d rows.", summary.pooled, summary.rows)
    if summary.corrected:
        log.info(
            "%.0f %% of the variation of the prices is real; without correction %.2f.",
            100 * summary.reliability,
            summary.pooled_uncorrected,
        )
    variances, segment_sds = _uncertainty(task, sds, deviations, everyone)
    cross = cross_elasticities(rows, task.tree, task.params)
    return Tables(task.tree, deviations.names, sds, variances, segment_sds, summary, cross)


def _uncertainty(
    task: _Task, sds: tuple[float, ...], deviations: SegmentDeviations, everyone: Floats
) -> tuple[tuple[Floats, ...], Floats]:
    """Laplace variances of all nodes, and standard deviations of the segment effects [g]."""
    mode = inverse_softplus(everyone)
    approximation = laplace(task.tree, task.slopes, sds, mode)
    precision = task.slopes.precision
    share = precision / max(precision.sum(), 1e-300)
    squared_slope = float(share @ softplus_derivative(-softplus(mode)) ** 2)
    segment_precision = squared_slope / deviations.stderr**2 + SEGMENT_SD**-2
    return approximation.variance, segment_precision**-0.5


def _summary(task: _Task, rows: pd.DataFrame, everyone: Floats) -> Summary:
    params, size = task.params, task.tree.size
    uncontrolled = residualise(rows, params.folds, promotions=False)
    without = evidence(uncontrolled, task.tree, params.min_sales_periods)
    units = np.bincount(rows["series"], rows["units"], size)
    prior, errors = prior_elasticity(), task.evidence.reliability
    pooled, stderr = task.slopes.pooled(task.tree, prior)
    return Summary(
        pooled,
        float(np.hypot(stderr, task.evidence.shop_error(pooled))),
        pooled_without_promotion_controls=without.slopes.pooled(task.tree, prior)[0],
        mean=float(units @ everyone / units.sum()),
        series=size,
        series_with_evidence=int((task.slopes.precision > 0).sum()),
        rows=len(rows),
        pooled_uncorrected=task.evidence.uncorrected.pooled(task.tree, prior)[0],
        reliability=1.0 if errors is None else errors.shop[0],
    )
