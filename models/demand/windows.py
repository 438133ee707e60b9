"""Training windows: one series as it is known at one origin. NumPy only.

A window has `context` periods before its origin and `horizon` periods from it on. Demand is scaled
by the window's own past, and price is the log of its ratio to the window's own reference price, so
nothing in a window depends on what happened later.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.demand.grid import Floats, Grid, Ints
from models.demand.own_history import lifts
from pricebook.errors import EmptyHistory

LOG_PRICE_LIMIT = 2.0  # either way: a price ratio of exp(2), about 7.4
YEARLY, WEEKLY = 4, 2  # calendar columns


@dataclass(frozen=True)
class Windows:
    """The network's inputs. `window` counts over series and origins."""

    past: Floats  # [window, context, 4 + covariates + calendar]
    future: Floats  # [window, horizon, covariates + calendar]
    lifts: Floats  # [window, horizon, own_history.FEATURES]; the first less the log of the scale
    log_price: Floats  # [window, horizon], log of planned price over reference price
    scale: Floats  # [window], units
    series: Ints  # [window], row of the grid


def calendar(periods: pd.DatetimeIndex, yearly: bool) -> Floats:
    """Time of year and of week as sines and cosines, [period, YEARLY + WEEKLY].

    The yearly columns are zero unless `yearly`: a short history cannot tell a season from a trend.
    The weekly columns are zero at coarser grains, where every period starts on the same weekday.
    """
    year = periods.dayofyear.to_numpy() / 365.25
    week = periods.dayofweek.to_numpy() / 7
    waves = [(year, 1), (year, 2), (week, 1)]
    columns = [f(2 * np.pi * k * x) for x, k in waves for f in (np.sin, np.cos)]
    features = np.stack(columns, axis=-1)
    features[:, :YEARLY] *= yearly
    features[:, YEARLY:] *= len(np.unique(periods.dayofweek)) == 7
    return features.astype(np.float32)


def training_pairs(grid: Grid, context: int, horizon: int, limit: int) -> tuple[Ints, Ints]:
    """The (series, origin) pairs to train on, each of shape [window].

    An origin has at least half a context (and two periods) before it and the horizon after it. A
    series takes part from two periods after its first sale. Above `limit` windows, only every
    second, third, ... origin is used, always with the newest.

    Raises:
        EmptyHistory: there is no such pair.
    """
    series, periods = grid.shape
    earliest = max(2, context // 2)
    if periods < earliest + horizon:
        raise EmptyHistory(
            f"No training window fits: {earliest} periods of context and a horizon of {horizon} "
            f"need {earliest + horizon} periods. Lower train.horizon. Received: {periods}"
        )
    count = periods - horizon - earliest + 1
    stride = max(1, -(-count * series // limit))
    origin = np.arange(periods - horizon, earliest - 1, -stride)
    rows, origins = np.repeat(np.arange(series), len(origin)), np.tile(origin, series)
    usable = origins >= grid.first[rows] + 2
    if not usable.any():
        raise EmptyHistory(
            f"No series sold anything two periods before the last origin. Received: {series} series"
        )
    return rows[usable], origins[usable]


def make_windows(
    grid: Grid, dates: Floats, pairs: tuple[Ints, Ints], context: int, horizon: int
) -> Windows:
    """Cut the window of each (series, origin) pair out of a grid that covers its horizon.

    Periods before a series' first sale, or before the grid, are zeros with a zero `alive` flag.

    Args:
        dates: [period, columns] from `calendar`.
        pairs: series and origin of each window, [window] each.
    """
    series, origin = pairs[0][:, None], pairs[1][:, None]
    before, ahead = origin + np.arange(-context, 0), origin + np.arange(horizon)
    alive = before >= grid.first[series]
    before = np.maximum(before, 0)
    demand = grid.demand[series, before] * alive
    on_hand = grid.on_hand[series, before] * alive
    scale = _scale(demand, on_hand)
    price = grid.price[series, before]
    reference = _reference(price, demand > 0)
    past = [np.log1p(demand / scale), _log_ratio(price, reference) * alive, alive, on_hand]
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
    """The targets [window, horizon, 2]: demand over the window's scale, and its weight.

    The weight is the share of the period with stock on hand.
    """
    series, ahead = pairs[0][:, None], pairs[1][:, None] + np.arange(horizon)
    demand = grid.demand[series, ahead] / scale[:, None]
    return np.stack([demand, grid.on_hand[series, ahead]], axis=-1)


def _scale(demand: Floats, on_hand: Floats) -> Floats:
    """Mean demand [window, 1], weighted by the share of each period with stock; never 0."""
    total = (demand * on_hand).sum(axis=1, keepdims=True)
    scale: Floats = (total + 1) / (on_hand.sum(axis=1, keepdims=True) + 1)
    return scale


def _reference(price: Floats, sold: NDArray[np.bool_]) -> Floats:
    """Median price [window, 1] of the periods with a sale, or of all periods if there is none."""
    usable = sold | ~sold.any(axis=1, keepdims=True)
    median: Floats = np.nanmedian(np.where(usable, price, np.nan), axis=1, keepdims=True)
    return median


def _log_ratio(price: Floats, reference: Floats) -> Floats:
    ratio: Floats = np.clip(np.log(price / reference), -LOG_PRICE_LIMIT, LOG_PRICE_LIMIT)
    return ratio


def _stack(*parts: NDArray[np.generic]) -> Floats:
    columns = [part[..., None] if part.ndim == 2 else part for part in parts]
    return np.concatenate(columns, axis=-1, dtype=np.float32)
