"""How demand moves with the prices of others: the category's other skus, each of them, other shops.

Their prices are freed of season and promotions as the own price is (`orthogonal`), and of the own
price within each series (Frisch & Waugh 1933): a slope on what is left is what the rival's price
does while the own one stays. Slopes are shrunk along the hierarchy, here around an unknown mean
whose prior is centred on none: neither substitutes nor complements are presumed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.response.controls import competitor_price, log_price, of_category
from models.response.evidence import Evidence, evidence
from models.response.residuals import Residuals, grams, residuals
from models.response.shrinkage import EFFECT_SD, LEVELS, Posterior, Tree, posterior
from pricebook.config import Response

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PRIOR = (0.0, 1.0)  # of the shop's mean cross elasticity: mean, standard deviation
PAIR_SD = 0.3  # first guess of how far a pair is from the mean of pairs
PAIRED = 30  # skus a category may have for each to be told from each
ROUNDS = 30
SURE = 1.645  # standard errors either side of a 90 % interval
COLUMNS = ("sku", "zone", "rival", "kind", "elasticity", "stderr", "low", "high")


@dataclass(frozen=True)
class _Market:
    """A category's normal equations: `gram` [k, k, k] and `cross` [k, k], by sku; over its noise.

    The last axes are the skus whose prices move.
    """

    skus: tuple[str, ...]
    gram: Floats
    cross: Floats


def cross(rows: pd.DataFrame, of: Tree, params: Response) -> pd.DataFrame:
    """Cross elasticities where the data can tell, with standard error and 90 % interval.

    Args:
        rows: from `controls.usable`.

    Returns:
        COLUMNS; `kind` is "category" (rival: the category), "competitor", or "sku" (rival: another
        sku of a category of at most 30; zone "all", over all zones). Only rivals whose price moved.
    """
    others = np.column_stack([of_category(rows, log_price(rows)[:, None]), competitor_price(rows)])
    left = residuals(rows, params.folds, rivals=False, beside=others)
    kinds = [_kind(left, column, of, params) for column in range(others.shape[1])]
    named = [
        _named(kinds[0], of, "category", _categories(of)),
        _named(kinds[1], of, "competitor", "competitor"),
    ]
    found = pd.concat([*named, _pairs(rows, left, of, params)], ignore_index=True)
    away = SURE * found["stderr"]
    bounds = {"low": found["elasticity"] - away, "high": found["elasticity"] + away}
    return found.assign(**bounds)[list(COLUMNS)]


def _kind(left: Residuals, column: int, of: Tree, params: Response) -> tuple[Floats, Floats]:
    """Elasticities [n] to one of the other prices, and their standard errors: NaN if unmoved."""
    mine = left.beside[:, column]
    rest = np.column_stack([left.price, np.delete(left.beside, column, axis=1)])
    alone = _freed(np.column_stack([left.units, mine]), rest, left, len(of.parents[-1]))
    told = np.where(alone[:, 1] ** 2 > 1e-3 * mine.var(), alone[:, 1], 0.0)
    seen = evidence(
        replace(left, units=alone[:, 0], price=told), len(of.parents[-1]), params.min_sales_periods
    )
    found = _shrunk(of, seen)
    known = seen.precision > 0
    return np.where(known, found.mean[-1], np.nan), np.sqrt(found.variance[-1])


def _freed(targets: Floats, rest: Floats, left: Residuals, size: int) -> Floats:
    """[m, 2]: what the other prices of its series leave of the targets."""
    count = rest.shape[1]
    found = grams(left.series, size, left.weight, np.hstack([rest, targets]))
    gram, xy = found[:, :count, :count], found[:, :count, count:]
    gram = gram + 1e-9 * (1 + np.trace(gram, axis1=1, axis2=2))[:, None, None] * np.eye(count)
    coefficients = np.linalg.solve(gram, xy)
    return np.asarray(targets - np.einsum("mq,mqt->mt", rest, coefficients[left.series]))


def _shrunk(of: Tree, seen: Evidence) -> Posterior:
    """Empirical Bayes along the tree, as of the own elasticity but without a sign."""
    sds: tuple[float, ...] = (EFFECT_SD,) * len(LEVELS)
    for _ in range(ROUNDS):
        found = posterior(of, seen.slope, seen.precision, sds, PRIOR)
        sds = tuple(float(np.sqrt(variance)) for variance in found.spread)
    return found


def _named(
    found: tuple[Floats, Floats], of: Tree, kind: str, rival: str | list[str]
) -> pd.DataFrame:
    keys = pd.DataFrame(of.keys[-1], columns=["sku", "zone"])
    frame = keys.assign(rival=rival, kind=kind, elasticity=found[0], stderr=found[1])
    return frame[frame["elasticity"].notna()]


def _categories(of: Tree) -> list[str]:
    return [of.keys[1][node][1] for node in of.ancestry[:, 1]]


def _pairs(rows: pd.DataFrame, left: Residuals, of: Tree, params: Response) -> pd.DataFrame:
    """Each sku to each other sku of its category, around the mean over the shop's pairs."""
    seen = evidence(left, len(of.parents[-1]), params.min_sales_periods)
    markets = list(_markets(rows, left, seen))
    mean, width = 0.0, PAIR_SD
    for _ in range(ROUNDS):
        solved = [_solved(market, mean, width) for market in markets]
        values = np.concatenate([value[told] for value, _, told in solved] or [np.zeros(0)])
        spread = np.concatenate([error[told] ** 2 for _, error, told in solved] or [np.zeros(0)])
        guess = np.append((values - mean) ** 2 + spread, PAIR_SD**2)
        mean = float(values.sum() / (len(values) + 1))
        width = float(np.sqrt(guess.mean()))
    frames = [_pair_rows(market, *_solved(market, mean, width)) for market in markets]
    return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=COLUMNS[:6])


def _markets(rows: pd.DataFrame, left: Residuals, seen: Evidence) -> Iterator[_Market]:
    """Categories small enough, with two skus or more."""
    noise = _noise(left, seen)
    weight = left.weight / noise[left.series]
    place = rows.assign(at=np.arange(len(rows))).groupby(["department", "category"], sort=True)
    for (_, category), group in place:
        skus, sku = np.unique(group["sku"], return_inverse=True)
        if category == "" or not 2 <= len(skus) <= PAIRED:
            continue
        at, moment = group["at"].to_numpy(), group.groupby(["zone", "period"]).ngroup().to_numpy()
        prices = np.zeros((moment.max() + 1, len(skus)))
        prices[moment, sku] = left.price[at]
        both = np.column_stack([prices[moment], left.units[at]])
        gram = grams(sku, len(skus), weight[at], both)
        yield _Market(tuple(skus), gram[:, :-1, :-1], gram[:, :-1, -1])


def _noise(left: Residuals, seen: Evidence) -> Floats:
    """[n]: the variance of a row of weight 1; the shop's where a series gives no evidence."""
    xx = np.bincount(left.series, left.weight * left.price**2, len(seen.slope))
    known = seen.precision > 0
    noise = np.divide(xx, seen.precision, out=np.ones(len(xx)), where=known)
    return np.where(known, noise, noise[known].mean() if known.any() else 1.0)


def _solved(market: _Market, mean: float, width: float) -> tuple[Floats, Floats, NDArray[np.bool_]]:
    """[k, k]: of each sku to each price, value and standard error; and which the data told of.

    The own elasticity is on the diagonal, without a prior to speak of.
    """
    own = np.eye(len(market.skus), dtype=bool)
    prior = np.where(own, 1e-4, width**-2)
    gram = market.gram + prior[:, :, None] * np.eye(len(own))
    right = market.cross + np.where(own, 0.0, prior * mean)
    covariance = np.linalg.inv(gram)
    value = np.einsum("kab,kb->ka", covariance, right)
    told = np.diagonal(market.gram, axis1=1, axis2=2) > 1e-6
    error = np.sqrt(np.diagonal(covariance, axis1=1, axis2=2))
    return value, error, told & ~own


def _pair_rows(
    market: _Market, value: Floats, error: Floats, told: NDArray[np.bool_]
) -> pd.DataFrame:
    skus, (row, column) = np.array(market.skus), np.nonzero(told)
    keys = {"sku": skus[row], "zone": "all", "rival": skus[column], "kind": "sku"}
    return pd.DataFrame({**keys, "elasticity": value[told], "stderr": error[told]})
