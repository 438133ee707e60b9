"""Segments: groups of shoppers with similar purchase habits, found by k-means and named.

A shopper is a point in four dimensions: log days since the last order, log orders per week, log
spend per week, and the share of units bought below list price. The centres are learnt once, at the
first snapshot with a full window and enough shoppers, and then label every snapshot. So a name
means the same in every training, and data from after that snapshot never moves a label.

Earlier snapshots, and all snapshots of a young or small shop, are labelled by centres that were
learnt from later data. The centres hold no price and no response to prices, only how the shoppers
of the shop are spread.

The number of segments is the smallest whose silhouette (Rousseeuw 1987) is near the best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import permutations

import ibis
import ibis.expr.types as ir
import numpy as np
from numpy.typing import NDArray

from pricebook.features.calendar import Calendar

Floats = NDArray[np.float64]

HABITS = ("recency", "frequency", "spend", "discounts")
FEWEST, MOST = 3, 6  # segments, besides "lapsed"
MIN_SHOPPERS = 50  # of a segment; a small shop has fewer segments
SAMPLE = 20_000  # shoppers to learn the centres from
SILHOUETTE_SAMPLE = 5_000  # the silhouette takes quadratic time
SILHOUETTE_MARGIN = 0.01  # one more segment must raise the silhouette by more than this
# A shopper with few units has an unreliable share below list. It is drawn towards the share of the
# shop, as if the shopper had bought this many more units at that share.
PRIOR_UNITS = 10.0

LAPSED = "lapsed"  # no order in the window
REGULAR = "regular"  # like the average shopper
# The direction of a segment from the average shopper, in standard deviations of each habit.
DIRECTIONS = {
    REGULAR: (0.0, 0.0, 0.0, 0.0),
    "loyal": (-1.0, 1.0, 1.0, 0.0),
    "occasional": (0.0, -1.0, -1.0, 0.0),
    "fading": (1.0, -1.0, 0.0, 0.0),
    "big basket": (0.0, -1.0, 1.0, 0.0),
    "deal seeker": (0.0, 0.0, 0.0, 1.0),
    "full price": (0.0, 0.0, 0.0, -1.0),
}


@dataclass(frozen=True)
class SegmentModel:
    """The centres of the segments of a shop.

    Attributes:
        share_below_list: the shop's share of units below list, the prior of a shopper's own share.
        mean: of each habit over shoppers.
        deviation: standard deviation of each habit over shoppers.
        centres: segment: its centre, in standard deviations from the mean.
    """

    share_below_list: float
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    centres: Mapping[str, tuple[float, ...]]


def learn_segments(shoppers: ir.Table, calendar: Calendar) -> SegmentModel:
    """Learn the segments of a shop.

    Every shopper is "regular" if there are too few shoppers for several segments.

    Args:
        shoppers: rows of `shoppers.shopper_snapshots`.
    """
    import sklearn.cluster  # noqa: F401  threadpool_limits needs its libraries to be loaded
    from threadpoolctl import threadpool_limits

    active = shoppers.filter(shoppers.orders_13 > 0)
    rows = active.filter(active.snapshot == _learning_snapshot(active, calendar))
    below, listed = (rows[name].sum().fill_null(0) for name in ("below", "listed"))
    prior = float(ibis.ifelse(listed > 0, below / listed, 0.0).execute())
    sample = _with_habits(rows, prior).order_by(rows.customer_id.hash(), "customer_id")
    columns = sample.limit(SAMPLE).select(*HABITS).to_pyarrow().columns
    # One thread: on busy cores the threads of OpenMP spin while they wait for each other, which can
    # take ten times as long as the clustering itself.
    with threadpool_limits(limits=1):
        return _fit(np.column_stack([column.to_numpy() for column in columns]), prior)


def _learning_snapshot(active: ir.Table, calendar: Calendar) -> ir.Scalar:
    """The first snapshot with a full window and enough shoppers, else the last one."""
    full = [
        day for day in calendar.regular_snapshots if calendar.window_start(day) >= calendar.opened
    ]
    counted = active.group_by("snapshot").agg(shoppers=active.count())
    enough = counted.filter(counted.snapshot.isin(full), counted.shoppers >= MOST * MIN_SHOPPERS)
    return ibis.coalesce(enough.snapshot.min().as_scalar(), active.snapshot.max().as_scalar())


def _with_habits(shoppers: ir.Table, prior: float) -> ir.Table:
    """Add a column for each habit. Frequency is null without an order in the window."""
    weeks = shoppers.days / 7
    below = shoppers.below + PRIOR_UNITS * prior
    ordered = ibis.ifelse(shoppers.orders_13 > 0, shoppers.orders_13, None)
    return shoppers.mutate(
        recency=(shoppers.recency_days + 1).ln(),
        frequency=(ordered / weeks).ln(),
        spend=(ibis.greatest(shoppers.spend_13, 0) / weeks + 1).ln(),
        discounts=below / (shoppers.listed + PRIOR_UNITS),
    )


def with_segment(shoppers: ir.Table, model: SegmentModel) -> ir.Table:
    """Add `segment`: the nearest centre, or "lapsed" without an order in the window."""
    points = _with_habits(shoppers, model.share_below_list)
    scales = list(zip(HABITS, model.mean, model.deviation, strict=True))
    points = points.mutate(**{name: (points[name] - mean) / sd for name, mean, sd in scales})
    distances = {
        name: sum(((points[habit] - at).pow(2) for habit, at in zip(HABITS, centre, strict=True)))
        for name, centre in model.centres.items()
    }
    nearest = ibis.least(*distances.values())
    lapsed = (points.orders_13 == 0, LAPSED)
    cases = ((distance == nearest, name) for name, distance in distances.items())
    return points.mutate(segment=ibis.cases(lapsed, *cases)).drop(*HABITS)


def _fit(habits: Floats, prior: float) -> SegmentModel:
    """The model of habits [shopper, habit]. A shop without shoppers gets a single segment."""
    habits = habits if len(habits) else np.zeros((1, len(HABITS)))
    mean, deviation = habits.mean(axis=0), habits.std(axis=0)
    deviation[deviation < 1e-9] = 1.0  # a habit in which all shoppers are equal
    # Rounded, so that floating-point noise between machines does not change the feature files.
    centres = _choose_centres((habits - mean) / deviation).round(6)
    segments = [tuple(centre) for centre in centres.tolist()]
    named = dict(zip(names(centres), segments, strict=True))
    return SegmentModel(prior, tuple(mean.tolist()), tuple(deviation.tolist()), named)


def _choose_centres(points: Floats) -> Floats:
    """The centres [segment, habit] of the best number of segments that are all large enough."""
    distinct = len(np.unique(points, axis=0))
    most = min(MOST, len(points) // MIN_SHOPPERS, distinct)
    results = [_cluster(points, k) for k in range(2, most + 1)]
    large = [each for each in results if np.bincount(each[1]).min() >= MIN_SHOPPERS]
    candidates = [each for each in large if len(each[0]) >= FEWEST]
    if not candidates:
        return large[-1][0] if large else points.mean(axis=0, keepdims=True)
    scores = [_silhouette(points, labels) for _, labels in candidates]
    near_best = (score >= max(scores) - SILHOUETTE_MARGIN for score in scores)
    return candidates[list(near_best).index(True)][0]


def _cluster(points: Floats, k: int) -> tuple[Floats, NDArray[np.int32]]:
    """Centres [k, habit] and the label of each point. The seed makes it repeatable."""
    from sklearn.cluster import KMeans

    means = KMeans(k, n_init=10, max_iter=1000, tol=0, random_state=0).fit(points)
    return means.cluster_centers_, means.labels_


def _silhouette(points: Floats, labels: NDArray[np.int32]) -> float:
    from sklearn.metrics import silhouette_score

    sample = SILHOUETTE_SAMPLE if len(points) > SILHOUETTE_SAMPLE else None
    return float(silhouette_score(points, labels, sample_size=sample, random_state=0))


def names(centres: Floats) -> tuple[str, ...]:
    """A name for each centre [segment, habit]: the names that fit all centres best together."""
    directions = np.array(list(DIRECTIONS.values()))
    lengths = np.maximum(np.linalg.norm(directions, axis=1, keepdims=True), 1.0)
    fit = centres @ (directions / lengths).T
    choices = permutations(range(len(DIRECTIONS)), len(centres))
    best = max(choices, key=lambda choice: sum(fit[k, name] for k, name in enumerate(choice)))
    return tuple(tuple(DIRECTIONS)[name] for name in best)
