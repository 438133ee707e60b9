"""The judge's own estimates of price response, independent of the models that it judges.

They come from all periods, the held-out ones included, and are the same for every pair of models
judged on one data version.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.evaluation.holdout import SERIES
from models.evaluation.robust import ELASTICITY_RANGE, MAX_CROSS, limit_sizes
from models.response.controls import (
    log_price,
    rest_of_category,
    usable_rows,
    with_series_codes,
)
from models.response.residuals import Residuals, residualise

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DEPARTMENT_SD = 0.5  # prior standard deviation of a department's elasticity around the shop's


@dataclass(frozen=True)
class Estimates:
    """Elasticities and the data that they are tested on.

    Attributes:
        elasticity: own elasticity (series,).
        stderr: its standard error (series,).
        department: code of each series' department (series,).
        cross: the shop's elasticity to the other prices of a category.
        residuals: sku, zone, units, price, weight: the orthogonalised held-out periods.
    """

    elasticity: Floats
    stderr: Floats
    department: Ints
    cross: float
    residuals: pd.DataFrame

    def draw(self, random: np.random.Generator) -> Floats:
        """Elasticities (series,) with one normal error per department."""
        by_department = random.standard_normal(self.department.max() + 1)
        drawn = self.elasticity + self.stderr * by_department[self.department]
        return np.asarray(np.clip(drawn, *ELASTICITY_RANGE))

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

    The own elasticity is the slope of each department, shrunk to the shop's slope.

    Args:
        panel: rows of all periods.
        series: a row per series, with its department.
        folds: blocks of time to cross-fit over.
        start: the first held-out period.
    """
    rows = usable_rows(with_series_codes(limit_sizes(panel)))
    others = rest_of_category(rows, log_price(rows)[:, None])
    remainder = residualise(rows, folds, rivals=False, other_prices=others)
    cross = _cross(remainder)
    units = remainder.units - cross * remainder.other_prices[:, 0]
    weighted = remainder.weight * remainder.price
    slopes = pd.DataFrame({"xy": weighted * units, "xx": weighted * remainder.price})
    slopes["department"] = rows["department"].to_numpy()
    shop = _ratio(float(slopes["xy"].sum()), float(slopes["xx"].sum()))
    noise = np.average((units - shop * remainder.price) ** 2 * remainder.weight)
    sums = slopes.groupby("department")[["xy", "xx"]].sum() / max(noise, 1e-12)
    # A normal prior around the shop's slope: precision-weighted mean of prior and data.
    precision = sums["xx"] + DEPARTMENT_SD**-2
    shrunk = (sums["xy"] + shop * DEPARTMENT_SD**-2) / precision
    department = series["department"].fillna("")
    slope = department.map(shrunk).fillna(shop).to_numpy(float)
    error = department.map(precision**-0.5).fillna(DEPARTMENT_SD).to_numpy(float)
    held_out = rows[[*SERIES, "period"]].assign(
        units=units, price=remainder.price, weight=remainder.weight
    )
    held_out = held_out[held_out["period"] >= pd.Timestamp(start)].reset_index(drop=True)
    codes = pd.factorize(department)[0]
    return Estimates(np.clip(slope, *ELASTICITY_RANGE), error, codes, cross, held_out)


def _ratio(numerator: float, denominator: float) -> float:
    """0 where no price has moved, so that no slope can be estimated."""
    return numerator / denominator if denominator > 0 else 0.0


def _cross(remainder: Residuals) -> float:
    """The shop's elasticity to the other prices of a category, estimated with the own price."""
    prices = np.column_stack([remainder.price, remainder.other_prices[:, 0]])
    gram = prices.T @ (remainder.weight[:, None] * prices)
    if gram[1, 1] <= 1e-9 * gram[0, 0]:
        return 0.0
    slopes = np.linalg.solve(gram, prices.T @ (remainder.weight * remainder.units))
    return float(np.clip(slopes[1], 0.0, MAX_CROSS))
