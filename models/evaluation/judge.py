"""The judge's own estimates of price response, independent of the models that it judges.

They come from all periods, the held-out ones included, and are the same for every pair of models
judged on one data version.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.evaluation.holdout import SERIES
from models.evaluation.robust import ELASTICITY_RANGE, MAX_CROSS, limit_sizes
from models.prices.reliability import evidence
from models.response.controls import (
    log_price,
    rest_of_category,
    usable_rows,
    with_series_codes,
)
from models.response.residuals import Residuals, residualise
from models.response.shrinkage import build_tree, empirical_bayes

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PRIOR = (-1.5, 1.0)  # of the shop's elasticity: mean, standard deviation
MIN_ROWS = 8  # of a series whose own slope counts


@dataclass(frozen=True)
class Estimates:
    """Elasticities and the data that they are tested on.

    Attributes:
        elasticity: own elasticity (series,).
        stderr: its standard error (series,).
        department: code of each series' department (series,).
        shared: the part of `stderr` that all series of a department have in common (series,).
        cross: the shop's elasticity to the other prices of a category.
        residuals: sku, zone, units, price, weight: the orthogonalised held-out periods. `price` is
            the expected true price, given the one paid.
    """

    elasticity: Floats
    stderr: Floats
    department: Ints
    shared: Floats
    cross: float
    residuals: pd.DataFrame

    def draw(self, random: np.random.Generator) -> Floats:
        """Elasticities (series,) with normal errors: one per department, and one per series."""
        by_department = random.standard_normal(self.department.max() + 1)[self.department]
        own = np.sqrt(np.maximum(self.stderr**2 - self.shared**2, 0.0))
        error = self.shared * by_department + own * random.standard_normal(len(own))
        return np.asarray(np.clip(self.elasticity + error, *ELASTICITY_RANGE))

    def misfit(self, elasticities: pd.DataFrame | None) -> float:
        """Weighted sum of squared errors of these elasticities in the held-out periods.

        An error is the orthogonalised units minus elasticity times orthogonalised price. None
        stands for elasticities of 0.
        """
        slope = np.zeros(len(self.residuals))
        if elasticities is not None:
            everyone = elasticities[elasticities["segment"] == "everyone"]
            slope = self.residuals[SERIES].merge(everyone, on=SERIES, how="left")["elasticity"]
            slope = slope.fillna(0.0).to_numpy(float)
        error = self.residuals["units"] - slope * self.residuals["price"]
        return float((self.residuals["weight"] * error**2).sum())


def estimate(panel: pd.DataFrame, series: pd.DataFrame, folds: int, start: date) -> Estimates:
    """Estimate the response to price by least squares on orthogonalised residuals.

    The slope of each series, corrected for errors in its price (`models.prices.reliability`), is
    shrunk to its category's, this to its department's, and this to the shop's. How much each level
    varies is estimated (empirical Bayes). Unlike the response model, it has no network, and does
    not force elasticities below zero.

    Args:
        panel: rows of all periods.
        series: a row per series, with its department.
        folds: blocks of time to cross-fit over.
        start: the first held-out period.
    """
    coded = with_series_codes(limit_sizes(panel))
    rows = usable_rows(coded)
    others = rest_of_category(rows, log_price(rows)[:, None])
    remainder = residualise(rows, folds, rivals=False, other_prices=others)
    cross = _cross(remainder)
    remainder = replace(remainder, units=remainder.units - cross * remainder.other_prices[:, 0])
    keys = coded.drop_duplicates("series").reset_index(drop=True)
    tree = build_tree(keys)
    found = evidence(remainder, tree, MIN_ROWS)
    shrunk, _ = empirical_bayes(tree, found.slopes.slope, found.slopes.precision, PRIOR)
    code = series[SERIES].merge(keys, on=SERIES, how="left")["series"].to_numpy(np.int64)
    error = np.sqrt(shrunk.variance[-1][code])
    shared = np.sqrt(shrunk.variance[1][tree.ancestry[code, 0]])
    return Estimates(
        np.clip(shrunk.mean[-1][code], *ELASTICITY_RANGE),
        error,
        pd.factorize(series["department"].fillna(""))[0],
        np.minimum(shared, error),
        cross,
        _held_out(rows, found.expected(remainder), start),
    )


def _held_out(rows: pd.DataFrame, residuals: Residuals, start: date) -> pd.DataFrame:
    """The residuals of the periods from `start` on."""
    columns = {name: getattr(residuals, name) for name in ("units", "price", "weight")}
    held_out = rows[[*SERIES, "period"]].assign(**columns)
    return held_out[held_out["period"] >= pd.Timestamp(start)].reset_index(drop=True)


def _cross(remainder: Residuals) -> float:
    """The shop's elasticity to the other prices of a category, estimated with the own price."""
    prices = np.column_stack([remainder.price, remainder.other_prices[:, 0]])
    gram = prices.T @ (remainder.weight[:, None] * prices)
    if gram[1, 1] <= 1e-9 * gram[0, 0]:
        return 0.0
    slopes = np.linalg.solve(gram, prices.T @ (remainder.weight * remainder.units))
    return float(np.clip(slopes[1], 0.0, MAX_CROSS))
