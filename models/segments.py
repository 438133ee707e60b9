"""How much more, or less, each shopper segment responds to price than the shop as a whole.

Within a sku and a period, every segment saw the same shelf, season and promotion; only their shares
of the units differ. Given the sku-period's units, the counts of the segments are multinomial with

    share of segment g ∝ exp(sku-segment effect + period-segment effect + beta_g · x)

(the conditional likelihood of a Poisson regression with a sku-period effect), where x holds the
residual log price of the sku-period and its promotion shares. The first entry of beta_g is the
segment's own elasticity less the shop's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.orthogonal import PROMOTION

Floats = NDArray[np.float64]

EVERYONE = "everyone"  # the shop as a whole; never estimated here

RIDGE = 1.0  # keeps a segment of a few shoppers finite
SHARE_UNITS = 5.0  # units' worth of the segment's overall share in its share of a sku or period
ROUNDS = 30


@dataclass(frozen=True)
class Deviations:
    """Per named segment, [g]: elasticity less the shop's, and the standard error of that."""

    names: tuple[str, ...]
    deviation: Floats
    stderr: Floats


def deviations(segments: pd.DataFrame, priced: pd.DataFrame) -> Deviations:
    """Estimate every segment's deviation.

    Args:
        segments: segment_period rows: sku, zone, segment, period, units.
        priced: one row per sku, zone, period with `price_residual` and promotion shares.
            The price is the sku's, not the segment's own, which its coupons would confound.

    Segments are centred so that the shop's own mix deviates by nothing. Fewer than two segments,
    or rows without a match, give no deviation with an infinite standard error, never an error.
    """
    names = tuple(sorted(set(segments["segment"].dropna()) - {EVERYONE}))
    cells = _cells(segments, priced, names)
    none = Deviations(names, np.zeros(len(names)), np.full(len(names), np.inf))
    if len(names) < 2 or cells.empty:
        return none
    counts = cells[list(names)].to_numpy(float)
    found = _multinomial(counts, _centred(cells, counts), _offsets(cells, counts))
    return Deviations(names, *found)


def _cells(segments: pd.DataFrame, priced: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """A row per sku, zone and period: units of each segment, and its features."""
    key = ["sku", "zone", "period"]
    units = segments.pivot_table(index=key, columns="segment", values="units", aggfunc="sum")
    wide = units.reindex(columns=list(names)).fillna(0.0).clip(lower=0.0).reset_index()
    cells = wide.merge(priced, on=key, how="inner", validate="one_to_one")
    return cells[cells[list(names)].sum(axis=1) > 0] if len(names) else cells


def _centred(cells: pd.DataFrame, counts: Floats) -> Floats:
    """[m, q]: features less their units-weighted mean in the sku, clear of the sku's effect."""
    columns = [name for name in ("price_residual", *PROMOTION) if name in cells]
    values = cells[columns].fillna(0.0).to_numpy(float)
    series = cells.groupby(["sku", "zone"]).ngroup().to_numpy()
    weight = counts.sum(axis=1)
    total = np.bincount(series, weight)
    means = np.column_stack([np.bincount(series, weight * v) / total for v in values.T])
    return np.asarray(values - means[series])


def _offsets(cells: pd.DataFrame, counts: Floats) -> Floats:
    """[m, g]: log share of each segment in the sku, moved by how the period departs from all."""
    overall = counts.sum(axis=0) / counts.sum()
    series = cells.groupby(["sku", "zone"]).ngroup().to_numpy()
    period = cells.groupby("period").ngroup().to_numpy()
    shares = [_log_shares(groups, counts, overall) for groups in (series, period)]
    offsets: Floats = shares[0] + shares[1] - np.log(overall)
    return offsets


def _log_shares(groups: NDArray[np.int64], counts: Floats, overall: Floats) -> Floats:
    sums = np.column_stack([np.bincount(groups, column) for column in counts.T])
    smooth = (sums + SHARE_UNITS * overall) / (sums.sum(axis=1, keepdims=True) + SHARE_UNITS)
    logs: Floats = np.log(smooth)[groups]
    return logs


def _multinomial(counts: Floats, features: Floats, offsets: Floats) -> tuple[Floats, Floats]:
    """Newton's method; returns the price coefficients and standard errors, centred on the mix."""
    groups, size = counts.shape[1], features.shape[1]
    beta = np.zeros((size, groups))
    for _ in range(ROUNDS):
        gradient, hessian, dispersion = _derivatives(counts, features, offsets, beta)
        hessian += RIDGE * np.eye(len(hessian))
        step = np.linalg.solve(hessian, gradient - RIDGE * beta.ravel())
        beta = beta + step.reshape(beta.shape)
        if np.abs(step).max() < 1e-8:
            break
    covariance = np.linalg.inv(hessian)[:groups, :groups] * dispersion
    centre = np.eye(groups) - counts.sum(axis=0) / counts.sum()
    return centre @ beta[0], np.sqrt(np.diag(centre @ covariance @ centre.T))


def _derivatives(
    counts: Floats, features: Floats, offsets: Floats, beta: Floats
) -> tuple[Floats, Floats, float]:
    """Gradient [q·g], information [q·g, q·g] and Pearson dispersion of the multinomial."""
    scores = offsets + features @ beta
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    shares /= shares.sum(axis=1, keepdims=True)
    units = counts.sum(axis=1, keepdims=True)
    expected = units * shares
    gradient = features.T @ (counts - expected)
    pairs = np.einsum("mi,mj->mij", features, features).reshape(len(features), -1)
    groups = counts.shape[1]
    covariance = np.einsum("mg,mh->mgh", expected, -shares)
    covariance[:, range(groups), range(groups)] += expected
    blocks = (pairs.T @ covariance.reshape(len(features), -1)).reshape(
        features.shape[1], features.shape[1], groups, groups
    )
    hessian = blocks.transpose(0, 2, 1, 3).reshape(gradient.size, gradient.size)
    pearson = ((counts - expected) ** 2 / np.maximum(expected, 1e-12)).sum()
    dispersion = max(pearson / (len(counts) * (groups - 1)), 1.0)
    return gradient.ravel(), hessian, float(dispersion)
