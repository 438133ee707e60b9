"""Segments: shoppers with like habits, found by clustering and named by where each cluster lies.

A habit is a place in four dimensions: log days since the last order, log orders a week, log spend a
week, and the share of units bought below list. Centres are learnt once, at the first snapshot that
has a full window and enough shoppers, and label every snapshot: so a name means the same from one
training to the next, and after that snapshot nothing that happens later moves a label. Earlier
snapshots, and all of a shop too young or too small, are labelled by centres that saw more than they
did; these know of no price and no response to one, only of how the shop's shoppers spread.

Clusters are k-means (Lloyd 1982), grown by splitting the widest (Linde, Buzo & Gray 1980), which
needs no random start. Their number has the best simplified silhouette (Hruschka et al. 2004).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import permutations

import ibis
import ibis.expr.types as ir
import numpy as np
from numpy.typing import NDArray

from pricebook.features.calendar import Calendar

Floats = NDArray[np.float64]

HABITS = ("recency", "frequency", "spend", "discounts")
FEWEST, MOST = 3, 6  # segments, beside those who lapsed
SHOPPERS = 50  # a segment must have; a small shop has fewer segments for it
SAMPLE = 20_000  # shoppers the centres are learnt from
DISCOUNT_UNITS = 10.0  # units' worth of the shop's share in a shopper's share below list
ROUNDS = 100

LAPSED = "lapsed"  # no order in the window
REGULAR = "regular"  # nothing sets them apart
# Where a name's segment lies from the middle of the shop, in standard deviations of each habit.
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
class Habits:
    """Where the segments lie: `centres` by name, in `spread`s from the `middle` of the shop.

    `usual` is the shop's share of units below list, which a shopper of few units is taken to have.
    """

    usual: float
    middle: tuple[float, ...]
    spread: tuple[float, ...]
    centres: Mapping[str, tuple[float, ...]]


def learn_habits(shoppers: ir.Table, calendar: Calendar) -> Habits:
    """The segments of a shop, from `shoppers` rows (customer_id, snapshot and what they bought).

    Every shopper is "regular" where there are too few to tell apart.
    """
    active = shoppers.filter(shoppers.orders_13 > 0)
    seen = active.filter(active.snapshot == _first_full(active, calendar))
    below, listed = (seen[name].sum().fill_null(0) for name in ("below", "listed"))
    usual = float(ibis.ifelse(listed > 0, below / listed, 0.0).execute())
    sample = _habits(seen, usual).order_by(seen.customer_id.hash(), "customer_id").limit(SAMPLE)
    found = sample.select(*HABITS).to_pyarrow()
    return _segmented(np.column_stack([column.to_numpy() for column in found.columns]), usual)


def _first_full(active: ir.Table, calendar: Calendar) -> ir.Scalar:
    """The first snapshot whose window is full of days and of shoppers, else the last one."""
    full = [day for day in calendar.regular if calendar.looks_back_to(day) >= calendar.opened]
    counted = active.group_by("snapshot").agg(shoppers=active.count())
    enough = counted.filter(counted.snapshot.isin(full), counted.shoppers >= MOST * SHOPPERS)
    return ibis.coalesce(enough.snapshot.min().as_scalar(), active.snapshot.max().as_scalar())


def _habits(shoppers: ir.Table, usual: float) -> ir.Table:
    """The shoppers with a column a habit; null for one who lapsed."""
    weeks = shoppers.days / 7
    below = shoppers.below + DISCOUNT_UNITS * usual
    ordered = ibis.ifelse(shoppers.orders_13 > 0, shoppers.orders_13, None)
    return shoppers.mutate(
        recency=(shoppers.recency_days + 1).ln(),
        frequency=(ordered / weeks).ln(),
        spend=(ibis.greatest(shoppers.spend_13, 0) / weeks + 1).ln(),
        discounts=below / (shoppers.listed + DISCOUNT_UNITS),
    )


def with_segment(shoppers: ir.Table, habits: Habits) -> ir.Table:
    """The shoppers with `segment`: that of the nearest centre; "lapsed" with no order."""
    placed = _habits(shoppers, habits.usual)
    scales = list(zip(HABITS, habits.middle, habits.spread, strict=True))
    placed = placed.mutate(**{name: (placed[name] - mid) / sd for name, mid, sd in scales})
    away = {
        name: sum(((placed[habit] - at).pow(2) for habit, at in zip(HABITS, centre, strict=True)))
        for name, centre in habits.centres.items()
    }
    nearest = ibis.least(*away.values())
    lapsed = (placed.orders_13 == 0, LAPSED)
    segment = ibis.cases(lapsed, *((far == nearest, name) for name, far in away.items()))
    return placed.mutate(segment=segment).drop(*HABITS)


def _segmented(points: Floats, usual: float) -> Habits:
    """[n, habit] to segments; a shop without shoppers has one, of nobody."""
    points = points if len(points) else np.zeros((1, len(HABITS)))
    middle, spread = points.mean(axis=0), points.std(axis=0)
    spread[spread < 1e-9] = 1.0  # all alike
    centres = _chosen((points - middle) / spread).round(6)
    at = [tuple(centre) for centre in centres.tolist()]
    named = dict(zip(names(centres), at, strict=True))
    return Habits(usual, tuple(middle.tolist()), tuple(spread.tolist()), named)


def _chosen(places: Floats) -> Floats:
    """The centres [k, habit] that tell the places apart best, each with shoppers enough."""
    distinct = len(np.unique(places, axis=0))
    first, *grown = _grown(places, min(MOST, len(places) // SHOPPERS, distinct))
    able = [centres for centres in grown if _sizes(places, centres).min() >= SHOPPERS]
    many = [centres for centres in able if len(centres) >= FEWEST]
    return max(many or able[-1:] or [first], key=lambda found: silhouette(places, found))


def _sizes(places: Floats, centres: Floats) -> NDArray[np.int64]:
    return np.bincount(_distances(places, centres).argmin(axis=1), minlength=len(centres))


def _grown(places: Floats, most: int) -> Iterator[Floats]:
    """Centres [k, habit] for k from 1 to most: the widest cluster split, then all moved to rest."""
    centres = places.mean(axis=0, keepdims=True)
    yield centres
    while len(centres) < most:
        nearest = _distances(places, centres).argmin(axis=1)
        variance = np.stack([_sum_of_squares(places[nearest == k]) for k in range(len(centres))])
        widest, habit = np.unravel_index(variance.argmax(), variance.shape)
        step = np.zeros(len(HABITS))
        step[habit] = places[nearest == widest, habit].std()
        split = np.vstack([centres[widest] - step, centres[widest] + step])
        centres = _at_rest(places, np.vstack([np.delete(centres, widest, axis=0), split]))
        yield centres


def _sum_of_squares(places: Floats) -> Floats:
    middle = places.sum(axis=0) / max(len(places), 1)
    return np.asarray(((places - middle) ** 2).sum(axis=0))


def _at_rest(places: Floats, centres: Floats) -> Floats:
    """Lloyd's algorithm; a cluster that empties keeps its centre."""
    for _ in range(ROUNDS):
        nearest = _distances(places, centres).argmin(axis=1)
        moved = centres.copy()
        for cluster in np.unique(nearest):
            moved[cluster] = places[nearest == cluster].mean(axis=0)
        if np.abs(moved - centres).max() < 1e-6:
            break
        centres = moved
    return centres


def _distances(places: Floats, centres: Floats) -> Floats:
    """[n, k]"""
    return np.asarray(np.linalg.norm(places[:, None] - centres, axis=2))


def silhouette(places: Floats, centres: Floats) -> float:
    """How much nearer each place is to its own centre than to the next: 0 is no nearer, 1 is there.

    0 for a single centre.
    """
    if len(centres) < 2:
        return 0.0
    own, other = np.sort(_distances(places, centres), axis=1)[:, :2].T
    return float(np.mean(1 - own / np.maximum(other, 1e-12)))


def names(centres: Floats) -> tuple[str, ...]:
    """A name for each centre [k, habit]: those whose directions fit all of them best together."""
    way = np.array(list(DIRECTIONS.values()))
    fit = centres @ (way / np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1.0)).T
    every = permutations(range(len(DIRECTIONS)), len(centres))
    best = max(every, key=lambda chosen: sum(fit[k, name] for k, name in enumerate(chosen)))
    return tuple(tuple(DIRECTIONS)[name] for name in best)
