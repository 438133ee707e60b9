"""What an LSTM learns from: one series seen from one origin. NumPy only.

A window has `context` periods before its origin and `horizon` from it on. Units are scaled by the
window's own past, and price is the log of its ratio to the window's own reference price, so nothing
in a window depends on what came later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.demand.grid import Floats, Grid, Ints
from models.demand.own_history import lifts
from pricebook.errors import EmptyHistory

LOG_PRICE_LIMIT = 2.0
YEARLY, WEEKLY = 4, 2


@dataclass(frozen=True)
class Windows:
    """What the network reads: `window` counts across series and origins."""

    past: Floats  # [window, context, 4 + covariates + calendar]
    future: Floats  # [window, horizon, covariates + calendar]
    lifts: Floats  # [window, horizon, lifts.FEATURES], the first over the log of the scale
    log_price: Floats  # [window, horizon], log of planned price over reference price
    scale: Floats  # [window], units
    series: Ints  # [window], row of the grid


def calendar(periods: pd.DatetimeIndex, yearly: bool) -> Floats:
    """Time of year and of week as [period, YEARLY + WEEKLY], cyclic so that no two ends are far.

    The year is left out (zeros) unless the history is long enough for a network to tell a season
    from a trend; the week is zeros at coarser grains, where every period starts on the same day.
    """
    year = periods.dayofyear.to_numpy() / 365.25
    week = periods.dayofweek.to_numpy() / 7
    waves = [(year, 1), (year, 2), (week, 1)]
    columns = [f(2 * np.pi * k * x) for x, k in waves for f in (np.sin, np.cos)]
    features = np.stack(columns, axis=-1)
    features[:, :YEARLY] *= yearly
    features[:, YEARLY:] *= len(np.unique(periods.dayofweek)) == 7
    return features.astype(np.float32)


def training_pairs(grid: Grid, context: int, horizon: int, most: int) -> tuple[Ints, Ints]:
    """The (series, origin) pairs to learn from, each of shape [window].

    An origin has half a context before it (fewer than two periods never) and the horizon after.
    A series counts from two periods after its first sale on. Above `most` windows, origins are
    thinned evenly, the newest kept.

    Raises:
        EmptyHistory: there is no such pair.
    """
    series, periods = grid.shape
    earliest = max(2, context // 2)
    if periods < earliest + horizon:
        raise EmptyHistory(
            f"No training window fits: {earliest} periods of context and a horizon of {horizon} "
            f"need {earliest + horizon} periods. Received: {periods}"
        )
    count = periods - horizon - earliest + 1
    stride = max(1, -(-count * series // most))
    at = np.arange(periods - horizon, earliest - 1, -stride)
    rows, origins = np.repeat(np.arange(series), len(at)), np.tile(at, series)
    kept = origins >= grid.first[rows] + 2
    if not kept.any():
        raise EmptyHistory(
            f"No series sold anything two periods before the last origin. Received: {series} series"
        )
    return rows[kept], origins[kept]


def windows(
    grid: Grid, dates: Floats, pairs: tuple[Ints, Ints], context: int, horizon: int
) -> Windows:
    """Look at each series from each origin; the grid must reach `horizon` periods beyond it.

    Periods before a series' first sale, or before the grid, are zeros with a zero `alive` flag.
    Units are those asked for (`Grid.asked`).
    """
    series, origin = pairs[0][:, None], pairs[1][:, None]
    before, ahead = origin + np.arange(-context, 0), origin + np.arange(horizon)
    alive = before >= grid.first[series]
    before = np.maximum(before, 0)
    units = grid.asked[series, before] * alive
    shelf = grid.on_hand[series, before] * alive
    scale = _scale(units, shelf)
    price = grid.price[series, before]
    reference = _reference(price, units > 0)
    past = [np.log1p(units / scale), _log_ratio(price, reference) * alive, alive, shelf]
    own = lifts(grid, pairs, reference.astype(np.float64), horizon)
    own[..., 0] -= np.log(scale)
    return Windows(
        _stack(*past, grid.covariates[series, before] * alive[..., None], dates[before]),
        _stack(grid.covariates[series, ahead], dates[ahead]),
        own.astype(np.float32),
        _log_ratio(grid.price[series, ahead], reference),
        scale[:, 0].astype(np.float32),
        pairs[0],
    )


def targets(grid: Grid, pairs: tuple[Ints, Ints], scale: Floats, horizon: int) -> Floats:
    """What was asked for over each window's horizon, over its scale, and how far to trust it: the
    share of the period it was there. [window, horizon, 2]"""
    series, ahead = pairs[0][:, None], pairs[1][:, None] + np.arange(horizon)
    asked = grid.asked[series, ahead] / scale[:, None]
    return np.stack([asked, grid.on_hand[series, ahead]], axis=-1)


def _scale(units: Floats, shelf: Floats) -> Floats:
    """Mean units [window, 1] of the periods, by the share it was there in each."""
    total = (units * shelf).sum(axis=1, keepdims=True)
    scale: Floats = (total + 1) / (shelf.sum(axis=1, keepdims=True) + 1)
    return scale


def _reference(price: Floats, sold: NDArray[np.bool_]) -> Floats:
    """Median price of the window's periods with a sale, of all its periods if there is none."""
    usable = sold | ~sold.any(axis=1, keepdims=True)
    median: Floats = np.nanmedian(np.where(usable, price, np.nan), axis=1, keepdims=True)
    return median


def _log_ratio(price: Floats, reference: Floats) -> Floats:
    ratio: Floats = np.clip(np.log(price / reference), -LOG_PRICE_LIMIT, LOG_PRICE_LIMIT)
    return ratio


def _stack(*parts: NDArray[np.generic]) -> Floats:
    full = [part[..., None] if part.ndim == 2 else part for part in parts]
    return np.concatenate(full, axis=-1, dtype=np.float32)
