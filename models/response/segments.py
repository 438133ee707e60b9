"""How much more, or less, each shopper segment responds to price than the shop as a whole.

Within a sku and a period, every segment saw the same shelf, season and promotion; only their shares
of the units differ. Given the sku-period's units, the counts of the segments are multinomial with

    share of segment g ∝ exp(sku-segment effect + period-segment effect + beta_g · x)

(the conditional likelihood of a Poisson regression with a sku-period effect), where x holds the
residual log price of the sku-period and its promotion shares. The first entry of beta_g is the
segment's own elasticity less the shop's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

EVERYONE = "everyone"  # the shop as a whole; never estimated here

KEY, PRICE = ["sku", "zone", "period"], "price_residual"
RIDGE = 1.0  # keeps a segment of a few shoppers finite
SHARE_UNITS = 5.0  # units' worth of the segment's overall share in its share of a sku or period
ROUNDS = 30
HELD_OUT = 0.25  # of the periods, the last
FEWEST_HELD_OUT = 4
SURE = 1.645  # standard errors above 0 that chance alone is in one case of twenty


@dataclass(frozen=True)
class Deviations:
    """Per named segment, [g]: elasticity less the shop's, its standard error, whether it is `own`.

    One that is not its own is the shop's: 0, with the standard error of the estimate given up.
    """

    names: tuple[str, ...]
    deviation: Floats
    stderr: Floats
    own: Bools


@dataclass(frozen=True)
class _Cells:
    """A row a sku and period: units by segment [m, g], features [m, q], offsets [m, g], period."""

    counts: Floats
    features: Floats
    offsets: Floats
    period: Ints


def deviations(segments: pd.DataFrame, priced: pd.DataFrame) -> Deviations:
    """Estimate every segment's deviation, and keep those that foretell what is held out.

    A segment keeps its own if what the earlier periods say of it makes the last quarter of them
    more likely than the shop's elasticity does, surely: the gain is a sum over periods, and has the
    standard error of one. What it keeps is estimated on all periods, then shrunk.

    Args:
        segments: segment_period rows: sku, zone, segment, period, units.
        priced: one row per sku, zone, period with `price_residual` and, in every other column, what
            is to be held apart from it: promotion shares. The price is the sku's, not the segment's
            own, which its coupons would confound.

    Segments are centred so that the shop's own mix deviates by nothing. Fewer than two segments,
    or rows without a match, give no deviation with an infinite standard error, never an error.
    """
    names = tuple(sorted(set(segments["segment"].dropna()) - {EVERYONE}))
    rows = _rows(segments, priced, names)
    if len(names) < 2 or rows.empty:
        nothing = np.zeros(len(names))
        return Deviations(names, nothing, nothing + np.inf, nothing > 0)
    beta, stderr = _multinomial(_cells(rows, names))
    own = _foretold(rows, names)
    return Deviations(names, np.where(own, _shrunk(beta[0], stderr), 0.0), stderr, own)


def with_own_elasticity(elasticities: pd.DataFrame) -> tuple[str, ...]:
    """The named segments of a model's elasticities that are not everywhere the shop's."""
    wide = elasticities.pivot(index=["sku", "zone"], columns="segment", values="elasticity")
    apart = wide.sub(wide[EVERYONE], axis=0).abs().max()
    return tuple(apart.index[apart > 1e-6])


def _shrunk(deviation: Floats, stderr: Floats) -> Floats:
    """Towards 0 by empirical Bayes: EM for the variance of deviations that are normal around 0."""
    variance = float(np.mean(deviation**2))
    for _ in range(ROUNDS):
        kept = variance / (variance + stderr**2)
        variance = float(np.mean((kept * deviation) ** 2 + kept * stderr**2))
    return np.asarray(kept * deviation)


def _foretold(rows: pd.DataFrame, names: tuple[str, ...]) -> Bools:
    """[g]: whether a segment's own coefficient makes the last periods more likely than none.

    Those periods' effects of sku and period are given to both: what is foretold is the response.
    """
    periods = np.sort(rows["period"].unique())
    held = int(len(periods) * HELD_OUT)
    if held < FEWEST_HELD_OUT:
        return np.zeros(len(names), bool)
    late = rows["period"] >= periods[-held]
    before, after = _cells(rows[~late], names), _cells(rows[late], names)
    beta, _ = _multinomial(before)
    none, *own = (_log_likelihood(after, alone) for alone in _alone(beta, 1 - _mix(before.counts)))
    gain = np.stack(own) - none
    return np.asarray(gain.sum(axis=1) > SURE * gain.std(axis=1, ddof=1) * np.sqrt(held))


def _alone(beta: Floats, others: Floats) -> Iterator[Floats]:
    """The coefficients without a price response, then with one for each segment against `others`.

    Centred on the mix, a segment of share w deviates by 1 - w of what it differs from the others.
    """
    some = beta.copy()
    some[0] = 0.0
    yield some
    for segment, share in enumerate(others):
        alone = some.copy()
        alone[0, segment] = beta[0, segment] / share
        yield alone


def _log_likelihood(cells: _Cells, beta: Floats) -> Floats:
    """[t]: by period, short of what no coefficient changes."""
    logs = (cells.counts * np.log(_shares(cells, beta))).sum(axis=1)
    return np.asarray(np.bincount(cells.period, logs))


def _rows(segments: pd.DataFrame, priced: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """A row per sku, zone and period: units of each segment, and its features."""
    units = segments.pivot_table(index=KEY, columns="segment", values="units", aggfunc="sum")
    wide = units.reindex(columns=list(names)).fillna(0.0).clip(lower=0.0).reset_index()
    cells = wide.merge(priced, on=KEY, how="inner", validate="one_to_one")
    return cells[cells[list(names)].sum(axis=1) > 0] if len(names) else cells


def _cells(rows: pd.DataFrame, names: tuple[str, ...]) -> _Cells:
    controls = rows.columns.difference([*KEY, *names, PRICE], sort=False)
    features = rows[[PRICE, *controls]].fillna(0.0).to_numpy(float)
    counts = rows[list(names)].to_numpy(float)
    series = rows.groupby(["sku", "zone"]).ngroup().to_numpy()
    period = rows.groupby("period").ngroup().to_numpy()
    centred = _centred(features, series, counts)
    return _Cells(counts, centred, _offsets(series, period, counts), period)


def _centred(values: Floats, series: Ints, counts: Floats) -> Floats:
    """[m, q]: features less their units-weighted mean in the sku, clear of the sku's effect."""
    weight = counts.sum(axis=1)
    total = np.bincount(series, weight)
    means = np.column_stack([np.bincount(series, weight * v) / total for v in values.T])
    return np.asarray(values - means[series])


def _offsets(series: Ints, period: Ints, counts: Floats) -> Floats:
    """[m, g]: log share of each segment in the sku, moved by how the period departs from all."""
    overall = _mix(counts)
    shares = [_log_shares(groups, counts, overall) for groups in (series, period)]
    offsets: Floats = shares[0] + shares[1] - np.log(overall)
    return offsets


def _mix(counts: Floats) -> Floats:
    """[g]: each segment's share of all units, one unit added to each so that none is 0."""
    more = counts.sum(axis=0) + 1.0
    return np.asarray(more / more.sum())


def _log_shares(groups: Ints, counts: Floats, overall: Floats) -> Floats:
    sums = np.column_stack([np.bincount(groups, column) for column in counts.T])
    smooth = (sums + SHARE_UNITS * overall) / (sums.sum(axis=1, keepdims=True) + SHARE_UNITS)
    logs: Floats = np.log(smooth)[groups]
    return logs


def _multinomial(cells: _Cells) -> tuple[Floats, Floats]:
    """Newton's method: coefficients [q, g] and price's standard errors [g], centred on the mix."""
    groups, size = cells.counts.shape[1], cells.features.shape[1]
    beta = np.zeros((size, groups))
    for _ in range(ROUNDS):
        gradient, hessian = _derivatives(cells, beta)
        step = np.linalg.solve(hessian, gradient - RIDGE * beta.ravel())
        beta = beta + step.reshape(beta.shape)
        if np.abs(step).max() < 1e-8:
            break
    centre = np.eye(groups) - cells.counts.sum(axis=0) / cells.counts.sum()
    inverse = np.linalg.inv(hessian)
    scattered = inverse @ _scatter(cells, beta) @ inverse
    variances = [np.diag(centre @ v[:groups, :groups] @ centre.T) for v in (inverse, scattered)]
    return beta @ centre.T, np.sqrt(np.max(variances, axis=0))


def _shares(cells: _Cells, beta: Floats) -> Floats:
    """[m, g]: the expected share of each segment in the units of a row."""
    scores = cells.offsets + cells.features @ beta
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _residuals(cells: _Cells, beta: Floats) -> Floats:
    """[m, g]: units above those expected."""
    expected = cells.counts.sum(axis=1, keepdims=True) * _shares(cells, beta)
    return np.asarray(cells.counts - expected)


def _scatter(cells: _Cells, beta: Floats) -> Floats:
    """[q·g, q·g]: how the gradient scatters by period (Liang & Zeger 1986)."""
    over = _residuals(cells, beta)
    each = [np.bincount(cells.period, f * r) for f in cells.features.T for r in over.T]
    by_period = np.column_stack(each)
    return np.asarray(by_period.T @ by_period)


def _derivatives(cells: _Cells, beta: Floats) -> tuple[Floats, Floats]:
    """Gradient [q·g] and information [q·g, q·g], the ridge included, of the multinomial."""
    features, groups = cells.features, cells.counts.shape[1]
    expected = cells.counts.sum(axis=1, keepdims=True) * _shares(cells, beta)
    gradient = features.T @ (cells.counts - expected)
    pairs = np.einsum("mi,mj->mij", features, features).reshape(len(features), -1)
    covariance = np.einsum("mg,mh->mgh", expected, -_shares(cells, beta))
    covariance[:, range(groups), range(groups)] += expected
    blocks = (pairs.T @ covariance.reshape(len(features), -1)).reshape(
        features.shape[1], features.shape[1], groups, groups
    )
    hessian = blocks.transpose(0, 2, 1, 3).reshape(gradient.size, gradient.size)
    return gradient.ravel(), hessian + RIDGE * np.eye(gradient.size)
