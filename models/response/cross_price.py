"""Cross elasticities: how demand changes with the prices of others.

The others are the rest of the category, each other sku of a small category, and competitors. Season
and promotions are partialled out of their prices as out of the own price
(`models.response.residuals`). The own price is partialled out, too, within each series (Frisch &
Waugh 1933): the slope on the remainder is the effect of the other price while the own price stays
the same. Slopes are shrunk along the hierarchy. Unlike for own elasticities, the prior mean is 0,
so neither substitutes nor complements are presumed.

Arrays have a row per usable row [m] or per series [n]; k is the number of skus of a category.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.response.controls import competitor_log_price, log_price, rest_of_category
from models.response.residuals import Residuals, gram_matrices, residualise
from models.response.shrinkage import Tree, empirical_bayes
from models.response.slopes import SeriesSlopes, series_slopes
from pricebook.config import Response

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

PRIOR = (0.0, 1.0)  # of the shop's mean cross elasticity: mean, standard deviation
PAIR_SD = 0.3  # prior guess of the standard deviation of pairs around their mean
MAX_SKUS = 30  # of a category whose skus are compared pair by pair
EM_STEPS = 30
Z_90 = 1.645  # standard errors on each side of a 90 % interval
COLUMNS = ("sku", "zone", "rival", "kind", "elasticity", "stderr", "low", "high")


@dataclass(frozen=True)
class _Market:
    """The normal equations of a category, divided by the noise variance.

    Each sku's units are regressed on the prices of all k skus.

    Attributes:
        skus: the k skus.
        gram: for each sku, the Gram matrix of the prices [k, k, k].
        cross: for each sku, the products of the prices with its units [k, k].
    """

    skus: tuple[str, ...]
    gram: Floats
    cross: Floats


def cross_elasticities(rows: pd.DataFrame, tree: Tree, params: Response) -> pd.DataFrame:
    """Estimate cross elasticities with standard errors and 90 % intervals.

    Args:
        rows: from `usable_rows`.

    Returns:
        COLUMNS. `kind` is "category" (rival: the category), "competitor", or "sku" (rival: another
        sku of a category of at most 30; pooled over zones, zone "all"). A rival whose price does
        not vary has no row.
    """
    prices = [rest_of_category(rows, log_price(rows)[:, None]), competitor_log_price(rows)]
    others = np.column_stack(prices)
    residuals = residualise(rows, params.folds, rivals=False, other_prices=others)
    category, competitor = (
        _elasticities_to(residuals, column, tree, params) for column in range(others.shape[1])
    )
    named = [
        _labelled(category, tree, "category", _categories(tree)),
        _labelled(competitor, tree, "competitor", "competitor"),
    ]
    frames = [frame for frame in (*named, _pairs(rows, residuals, tree, params)) if len(frame)]
    table = pd.concat(frames or named, ignore_index=True)
    margin = Z_90 * table["stderr"]
    bounds = {"low": table["elasticity"] - margin, "high": table["elasticity"] + margin}
    return table.assign(**bounds)[list(COLUMNS)]


def _elasticities_to(
    residuals: Residuals, column: int, tree: Tree, params: Response
) -> tuple[Floats, Floats]:
    """Elasticities to one of the other prices [n], NaN where it does not vary, and errors [n]."""
    price = residuals.other_prices[:, column]
    rest = np.column_stack([residuals.price, np.delete(residuals.other_prices, column, axis=1)])
    targets = np.column_stack([residuals.units, price])
    partial = _partial_out_prices(targets, rest, residuals, tree.size)
    varying = np.where(partial[:, 1] ** 2 > 1e-3 * price.var(), partial[:, 1], 0.0)
    slopes = series_slopes(
        replace(residuals, units=partial[:, 0], price=varying), tree.size, params.min_sales_periods
    )
    shrunk, _ = empirical_bayes(tree, slopes.slope, slopes.precision, PRIOR)
    known = slopes.precision > 0
    return np.where(known, shrunk.mean[-1], np.nan), np.sqrt(shrunk.variance[-1])


def _partial_out_prices(targets: Floats, prices: Floats, residuals: Residuals, size: int) -> Floats:
    """Targets [m, 2] minus their regression on `prices` [m, q] within each of `size` series."""
    count = prices.shape[1]
    both = np.hstack([prices, targets])
    sums = gram_matrices(residuals.series, size, residuals.weight, both)
    gram, xy = sums[:, :count, :count], sums[:, :count, count:]
    # A tiny ridge, relative to the scale of the prices, so that a constant price can be solved for.
    gram = gram + 1e-9 * (1 + np.trace(gram, axis1=1, axis2=2))[:, None, None] * np.eye(count)
    coefficients = np.linalg.solve(gram, xy)
    fitted = np.einsum("mq,mqt->mt", prices, coefficients[residuals.series])
    return np.asarray(targets - fitted)


def _labelled(
    estimates: tuple[Floats, Floats], tree: Tree, kind: str, rival: str | list[str]
) -> pd.DataFrame:
    """The series with an estimate, as rows of the result."""
    keys = pd.DataFrame(tree.keys[-1], columns=["sku", "zone"])
    frame = keys.assign(rival=rival, kind=kind, elasticity=estimates[0], stderr=estimates[1])
    return frame[frame["elasticity"].notna()]


def _categories(tree: Tree) -> list[str]:
    return [tree.keys[1][node][1] for node in tree.ancestry[:, 1]]


def _pairs(rows: pd.DataFrame, residuals: Residuals, tree: Tree, params: Response) -> pd.DataFrame:
    """Elasticities of each sku to each other sku of its category, shrunk to the mean of all pairs.

    EM alternates between the pairs' posteriors and the mean and standard deviation of all pairs.
    """
    slopes = series_slopes(residuals, tree.size, params.min_sales_periods)
    markets = list(_markets(rows, residuals, slopes))
    mean, sd = 0.0, PAIR_SD
    for _ in range(EM_STEPS):
        solved = [_solve(market, mean, sd) for market in markets]
        values = np.concatenate([value[known] for value, _, known in solved] or [np.zeros(0)])
        spread = np.concatenate([error[known] ** 2 for _, error, known in solved] or [np.zeros(0)])
        squares = np.append((values - mean) ** 2 + spread, PAIR_SD**2)
        mean = float(values.sum() / (len(values) + 1))
        sd = float(np.sqrt(squares.mean()))
    frames = [_pair_rows(market, *_solve(market, mean, sd)) for market in markets]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS[:6])


def _markets(rows: pd.DataFrame, residuals: Residuals, slopes: SeriesSlopes) -> Iterator[_Market]:
    """The categories of two to MAX_SKUS skus."""
    noise = _noise(residuals, slopes)
    weight = residuals.weight / noise[residuals.series]
    place = rows.assign(at=np.arange(len(rows))).groupby(["department", "category"], sort=True)
    for (_, category), group in place:
        skus, sku = np.unique(group["sku"], return_inverse=True)
        if category == "" or not 2 <= len(skus) <= MAX_SKUS:
            continue
        at, moment = group["at"].to_numpy(), group.groupby(["zone", "period"]).ngroup().to_numpy()
        prices = np.zeros((moment.max() + 1, len(skus)))
        prices[moment, sku] = residuals.price[at]
        both = np.column_stack([prices[moment], residuals.units[at]])
        gram = gram_matrices(sku, len(skus), weight[at], both)
        yield _Market(tuple(skus), gram[:, :-1, :-1], gram[:, :-1, -1])


def _noise(residuals: Residuals, slopes: SeriesSlopes) -> Floats:
    """Noise variance of a row of weight 1 [n]; the shop's mean for a series without evidence."""
    xx = np.bincount(residuals.series, residuals.weight * residuals.price**2, len(slopes.slope))
    known = slopes.precision > 0
    noise = np.divide(xx, slopes.precision, out=np.ones(len(xx)), where=known)
    return np.where(known, noise, noise[known].mean() if known.any() else 1.0)


def _solve(market: _Market, mean: float, sd: float) -> tuple[Floats, Floats, Bools]:
    """Elasticities of each sku to each price [k, k], standard errors, and which are estimated.

    Own elasticities are on the diagonal, with a nearly flat prior. They are not estimates of
    interest here, only controls. The prior of a pair has this mean and standard deviation.
    """
    own = np.eye(len(market.skus), dtype=bool)
    prior = np.where(own, 1e-4, sd**-2)
    gram = market.gram + prior[:, :, None] * np.eye(len(own))
    right = market.cross + np.where(own, 0.0, prior * mean)
    covariance = np.linalg.inv(gram)
    value = np.einsum("kab,kb->ka", covariance, right)
    varies = np.diagonal(market.gram, axis1=1, axis2=2) > 1e-6
    error = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    return value, error, varies & ~own


def _pair_rows(market: _Market, value: Floats, error: Floats, known: Bools) -> pd.DataFrame:
    skus, (row, column) = np.array(market.skus), np.nonzero(known)
    keys = {"sku": skus[row], "zone": "all", "rival": skus[column], "kind": "sku"}
    return pd.DataFrame({**keys, "elasticity": value[known], "stderr": error[known]})
