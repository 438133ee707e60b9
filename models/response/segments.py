"""How much more, or less, each shopper segment responds to price than the shop as a whole.

Within a sku and a period, all segments see the same price, promotion and season; only their shares
of the units differ. Given the units of the sku and period, the counts of the segments are
multinomial with

    share of segment g ∝ exp(sku-segment effect + period-segment effect + beta_g · x)

(the conditional likelihood of a Poisson regression with a sku-period effect). x holds the residual
log price of the sku and period, and its promotion shares. The first entry of beta_g is the
segment's elasticity minus the shop's.

Arrays have a row per sku and period [m]; g is the number of segments, q of features.
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

EVERYONE = "everyone"  # the segment name of the shop as a whole; not estimated here

KEY, PRICE = ["sku", "zone", "period"], "price_residual"
RIDGE = 1.0  # penalty on beta; keeps the estimates of very small segments finite
SMOOTHING_UNITS = 5.0  # weight of a segment's overall share in its share of a sku or period
EM_STEPS = 30
NEWTON_STEPS = 30
HELD_OUT = 0.25  # share of the periods, the last ones
MIN_HELD_OUT = 4
MIN_Z = 1.645  # of the likelihood gain: chance alone exceeds it in one of twenty cases
MIN_STDERR = 1e-3  # of a deviation; a segment that makes all purchases would have 0


@dataclass(frozen=True)
class SegmentDeviations:
    """The named segments' elasticities minus the shop's.

    Attributes:
        names: the g segments.
        deviation: [g]; 0 where the segment has the shop's elasticity.
        stderr: the standard error of the estimate, also where the estimate is not used [g].
        own: whether the segment has its own elasticity [g].
    """

    names: tuple[str, ...]
    deviation: Floats
    stderr: Floats
    own: Bools


@dataclass(frozen=True)
class _Cells:
    """The data of the multinomial model.

    Attributes:
        counts: units of each segment [m, g].
        features: residual log price, then promotion shares [m, q].
        offsets: log shares that the sku-segment and period-segment effects imply [m, g].
        period: code of the period [m].
    """

    counts: Floats
    features: Floats
    offsets: Floats
    period: Ints


def segment_deviations(segments: pd.DataFrame, priced: pd.DataFrame) -> SegmentDeviations:
    """Estimate each segment's deviation, and use those that predict the held-out periods.

    A segment gets its own elasticity if the one estimated on the earlier periods makes the last
    quarter of the periods significantly more likely than the shop's elasticity does. The deviation
    is then estimated on all periods, and shrunk. The mean of the deviations, weighted by units,
    is 0.

    Args:
        segments: segment_period rows: sku, zone, segment, period, units.
        priced: one row per sku, zone, period. `price_residual` is the price of the sku; the price
            that a segment paid would be confounded by its coupons. All other columns are controls:
            promotion shares.

    Returns:
        with fewer than two segments, or without matching rows: deviations of 0 with an infinite
        standard error.
    """
    names = tuple(sorted(set(segments["segment"].dropna()) - {EVERYONE}))
    rows = _rows(segments, priced, names)
    if len(names) < 2 or rows.empty:
        zeros = np.zeros(len(names))
        return SegmentDeviations(names, zeros, zeros + np.inf, zeros > 0)
    beta, stderr = _multinomial(_cells(rows, names))
    stderr = np.maximum(stderr, MIN_STDERR)
    own = _predicts_held_out(rows, names)
    return SegmentDeviations(names, np.where(own, _shrink(beta[0], stderr), 0.0), stderr, own)


def with_own_elasticity(elasticities: pd.DataFrame) -> tuple[str, ...]:
    """The named segments whose elasticity differs from the shop's in any series."""
    wide = elasticities.pivot(index=["sku", "zone"], columns="segment", values="elasticity")
    difference = wide.sub(wide[EVERYONE], axis=0).abs().max()
    return tuple(difference.index[difference > 1e-6])


def _shrink(deviation: Floats, stderr: Floats) -> Floats:
    """Shrink deviations [g] towards 0 by empirical Bayes.

    The true deviations are normal around 0; EM estimates their variance.
    """
    variance = float(np.mean(deviation**2))
    for _ in range(EM_STEPS):
        factor = variance / (variance + stderr**2)
        variance = float(np.mean((factor * deviation) ** 2 + factor * stderr**2))
    return np.asarray(factor * deviation)


def _predicts_held_out(rows: pd.DataFrame, names: tuple[str, ...]) -> Bools:
    """Whether a segment's own coefficient makes the held-out periods more likely [g].

    The gain in log likelihood is a sum over periods, so its standard error follows from the
    variance between periods. The effects of sku and period come from the held-out periods in both
    cases: only the response to price is tested.
    """
    periods = np.sort(rows["period"].unique())
    held_out = int(len(periods) * HELD_OUT)
    if held_out < MIN_HELD_OUT:
        return np.zeros(len(names), bool)
    late = rows["period"] >= periods[-held_out]
    before, after = _cells(rows[~late], names), _cells(rows[late], names)
    beta, _ = _multinomial(before)
    coefficients = _coefficients_to_test(beta, 1 - _mix(before.counts))
    none, *own = (_log_likelihood(after, values) for values in coefficients)
    gain = np.stack(own) - none
    return np.asarray(gain.sum(axis=1) > MIN_Z * gain.std(axis=1, ddof=1) * np.sqrt(held_out))


def _coefficients_to_test(beta: Floats, others_share: Floats) -> Iterator[Floats]:
    """`beta` [q, g] without price coefficients, then with that of one segment at a time.

    Deviations are centred: a segment of share w deviates from the mean by (1 - w) times its
    difference from the others. With the others at 0, it has the whole difference.
    """
    without_price = beta.copy()
    without_price[0] = 0.0
    yield without_price
    for segment, share in enumerate(others_share):
        single = without_price.copy()
        single[0, segment] = beta[0, segment] / share
        yield single


def _log_likelihood(cells: _Cells, beta: Floats) -> Floats:
    """Log likelihood of each period [t], without the terms that do not depend on beta."""
    shares = np.maximum(_shares(cells, beta), 1e-300)  # exp() of a very low score is 0
    logs = (cells.counts * np.log(shares)).sum(axis=1)
    return np.asarray(np.bincount(cells.period, logs))


def _rows(segments: pd.DataFrame, priced: pd.DataFrame, names: tuple[str, ...]) -> pd.DataFrame:
    """A row per sku, zone and period with units: those of each segment, and the features."""
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
    """Features [m, q] minus their units-weighted mean over the series; removes series effects."""
    weight = counts.sum(axis=1)
    total = np.bincount(series, weight)
    means = np.column_stack([np.bincount(series, weight * v) / total for v in values.T])
    return np.asarray(values - means[series])


def _offsets(series: Ints, period: Ints, counts: Floats) -> Floats:
    """Log share of each segment in the series, times its relative share in the period [m, g]."""
    overall = _mix(counts)
    shares = [_log_shares(groups, counts, overall) for groups in (series, period)]
    offsets: Floats = shares[0] + shares[1] - np.log(overall)
    return offsets


def _mix(counts: Floats) -> Floats:
    """Each segment's share of all units [g]; one unit is added to each, so that none is 0."""
    smoothed = counts.sum(axis=0) + 1.0
    return np.asarray(smoothed / smoothed.sum())


def _log_shares(groups: Ints, counts: Floats, overall: Floats) -> Floats:
    """Log of the smoothed share of each segment in its group [m, g]."""
    sums = np.column_stack([np.bincount(groups, column) for column in counts.T])
    smooth = (sums + SMOOTHING_UNITS * overall) / (
        sums.sum(axis=1, keepdims=True) + SMOOTHING_UNITS
    )
    logs: Floats = np.log(smooth)[groups]
    return logs


def _multinomial(cells: _Cells) -> tuple[Floats, Floats]:
    """Fit by Newton's method: coefficients [q, g], and the standard errors of price's [g].

    Coefficients are centred, so that their mean weighted by units is 0. Standard errors are the
    larger of the model-based and the cluster-robust ones, with a period as cluster.
    """
    groups, size = cells.counts.shape[1], cells.features.shape[1]
    beta = np.zeros((size, groups))
    for _ in range(NEWTON_STEPS):
        gradient, hessian = _derivatives(cells, beta)
        step = np.linalg.solve(hessian, gradient - RIDGE * beta.ravel())
        beta = beta + step.reshape(beta.shape)
        if np.abs(step).max() < 1e-8:
            break
    centre = np.eye(groups) - cells.counts.sum(axis=0) / cells.counts.sum()
    inverse = np.linalg.inv(hessian)
    robust = inverse @ _scatter(cells, beta) @ inverse
    variances = [np.diag(centre @ v[:groups, :groups] @ centre.T) for v in (inverse, robust)]
    return beta @ centre.T, np.sqrt(np.max(variances, axis=0))


def _shares(cells: _Cells, beta: Floats) -> Floats:
    """The expected share of each segment in the units of a row [m, g]."""
    scores = cells.offsets + cells.features @ beta
    shares = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def _residuals(cells: _Cells, beta: Floats) -> Floats:
    """Units minus expected units [m, g]."""
    expected = cells.counts.sum(axis=1, keepdims=True) * _shares(cells, beta)
    return np.asarray(cells.counts - expected)


def _scatter(cells: _Cells, beta: Floats) -> Floats:
    """Sum over periods of the outer product of the period's gradient [q·g, q·g].

    The middle of the sandwich estimator (Liang & Zeger 1986, "Longitudinal data analysis using
    generalized linear models", Biometrika 73(1)).
    """
    error = _residuals(cells, beta)
    columns = [np.bincount(cells.period, f * e) for f in cells.features.T for e in error.T]
    by_period = np.column_stack(columns)
    return np.asarray(by_period.T @ by_period)


def _derivatives(cells: _Cells, beta: Floats) -> tuple[Floats, Floats]:
    """Gradient [q·g] of the log likelihood, and its information [q·g, q·g] plus the ridge."""
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
