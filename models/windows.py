"""Long panels as dense grids, and grids as the windows an LSTM learns from. NumPy only.

A window is one series seen from one origin: `context` periods before it, `horizon` from it on.
Units are scaled by the window's own past, and price is the log of its ratio to the window's own
reference price, so nothing in a window depends on what came later.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pricebook.errors import EmptyHistory

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

KEY = ["sku", "zone"]
STATIC = ("department", "category", "product_type", "sku")
COVARIATES = ("display", "mailer", "promotion")
LOG_PRICE_LIMIT = 2.0
YEARLY, WEEKLY = 4, 2


@dataclass(frozen=True)
class Grid:
    """A panel made dense: series in rows, consecutive periods in columns.

    `keys` holds sku, zone and the static columns; `first` is the column of the first sale, or the
    number of columns if there is none.
    """

    keys: pd.DataFrame
    periods: pd.DatetimeIndex
    units: Floats  # [series, periods]
    price: Floats  # [series, periods], minor units
    covariates: Floats  # [series, periods, len(COVARIATES)]
    first: Ints  # [series]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.keys), len(self.periods)

    def take(self, rows: Ints) -> Grid:
        """The same periods for some of the series, in the order asked for."""
        return Grid(
            self.keys.iloc[rows].reset_index(drop=True),
            self.periods,
            self.units[rows],
            self.price[rows],
            self.covariates[rows],
            self.first[rows],
        )


@dataclass(frozen=True)
class Windows:
    """What the network reads: `window` counts across series and origins."""

    past: Floats  # [window, context, 3 + covariates + calendar]
    future: Floats  # [window, horizon, covariates + calendar]
    log_price: Floats  # [window, horizon], log of planned price over reference price
    scale: Floats  # [window], units
    series: Ints  # [window], row of the grid


def to_grid(panel: pd.DataFrame) -> Grid:
    """Make a long panel dense: a missing row sold nothing, its price is carried forward, then back.

    Raises:
        ValueError: a column is missing or a series has a period twice.
        EmptyHistory: no row, or a series without any price.
    """
    _require(panel, [*KEY, "period", "units", "price", *COVARIATES])
    if panel.empty:
        raise EmptyHistory("There is no history to learn from. Received: 0 rows")
    statics = [name for name in STATIC if name in panel and name != "sku"]
    keys = panel.drop_duplicates(KEY).sort_values(KEY)[[*KEY, *statics]].reset_index(drop=True)
    stamps = pd.DatetimeIndex(pd.to_datetime(panel["period"]))
    periods = spanning(stamps)
    spread = _Spread(series_codes(panel, keys), periods.get_indexer(stamps), keys, len(periods))
    units = np.nan_to_num(spread.of(panel["units"]))
    covariates = [np.nan_to_num(spread.of(panel[name])) for name in COVARIATES]
    return Grid(
        keys,
        periods,
        units,
        _carried(spread.of(panel["price"]), keys),
        np.stack(covariates, axis=-1),
        np.where((units > 0).any(axis=1), (units > 0).argmax(axis=1), len(periods)),
    )


class _Spread:
    """Puts a long column where its series and period say."""

    def __init__(self, rows: Ints, columns: Ints, keys: pd.DataFrame, periods: int) -> None:
        self._cell = rows * periods + columns
        self._shape = (len(keys), periods)
        repeated = pd.Index(self._cell).duplicated()
        if repeated.any():
            sku = keys["sku"].iat[int(rows[repeated][0])]
            raise ValueError(
                f"A series has one row a period. Received: sku {sku!r} twice in one period"
            )

    def of(self, column: pd.Series) -> Floats:
        flat = np.full(self._shape[0] * self._shape[1], np.nan, dtype=np.float32)
        flat[self._cell] = column.to_numpy(dtype=np.float32, na_value=np.nan)
        return flat.reshape(self._shape)


def _require(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in frame]
    if missing:
        raise ValueError(
            f"The panel lacks the columns {', '.join(missing)}. Received: {', '.join(frame)}"
        )


def series_codes(frame: pd.DataFrame, keys: pd.DataFrame) -> Ints:
    """The row of `keys` each row of `frame` belongs to; -1 where there is none."""
    index = pd.MultiIndex.from_frame(keys[KEY].astype(str))
    codes: Ints = index.get_indexer(pd.MultiIndex.from_frame(frame[KEY].astype(str)))
    return codes


def _carried(price: Floats, keys: pd.DataFrame) -> Floats:
    """Forward, then back."""
    frame = pd.DataFrame(np.where(price > 0, price, np.nan)).ffill(axis=1).bfill(axis=1)
    bare = frame.isna().any(axis=1)
    if bare.any():
        raise EmptyHistory(
            f"{int(bare.sum())} series have no price at all. "
            f"Received: sku {keys['sku'][bare.to_numpy()].iat[0]!r}"
        )
    return frame.to_numpy(dtype=np.float32)


def spanning(stamps: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Every period from the first stamp to the last, at the grain the stamps show.

    >>> list(spanning(pd.DatetimeIndex(["2017-01-01", "2017-02-01", "2017-04-01"])).month)
    [1, 2, 3, 4]
    """
    distinct = stamps.unique().sort_values()
    return pd.date_range(distinct[0], distinct[-1], freq=grain_of(distinct))


def grain_of(periods: pd.DatetimeIndex) -> str:
    """The pandas frequency between consecutive periods: D, 7D or MS.

    Raises:
        EmptyHistory: fewer than two periods, so there is no grain.
    """
    if len(periods) < 2:
        raise EmptyHistory(f"A history needs two periods or more. Received: {len(periods)}")
    days = int(np.diff(periods.to_numpy()).min() / np.timedelta64(1, "D"))
    return "MS" if days >= 28 else "7D" if days >= 7 else "D"


def after(periods: pd.DatetimeIndex, horizon: int) -> pd.DatetimeIndex:
    """The `horizon` periods that follow the last one."""
    return pd.date_range(periods[-1], periods=horizon + 1, freq=grain_of(periods))[1:]


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


def with_plan(history: pd.DataFrame, planned: pd.DataFrame, horizon: int) -> tuple[Grid, int]:
    """The planned series with their plan appended, and the column at which the plan begins.

    Raises:
        ValueError: `planned` is not one row for each of the `horizon` periods of every series.
        EmptyHistory: a planned series has no history.
    """
    _require(planned, [*KEY, "period", "price", *COVARIATES])
    wanted = series_codes(history, planned.drop_duplicates(KEY)) >= 0
    grid = to_grid(pd.concat([history[wanted], planned.assign(units=0)], ignore_index=True))
    origin = grid.shape[1] - horizon
    stamps = pd.DatetimeIndex(pd.to_datetime(planned["period"]))
    last = pd.to_datetime(history["period"]).max()
    whole = len(planned) == len(grid.keys) * horizon
    if not whole or stamps.min() != grid.periods[origin] or stamps.min() <= last:
        raise ValueError(
            f"A plan has the {horizon} periods after {last.date()} for every series. Received: "
            f"{len(planned)} rows for {len(grid.keys)} series from {stamps.min().date()}"
        )
    return grid, origin


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
    """
    series, origin = pairs[0][:, None], pairs[1][:, None]
    before, ahead = origin + np.arange(-context, 0), origin + np.arange(horizon)
    alive = before >= grid.first[series]
    before = np.maximum(before, 0)
    units = grid.units[series, before] * alive
    scale = (units.sum(axis=1, keepdims=True) + 1) / (alive.sum(axis=1, keepdims=True) + 1)
    price = grid.price[series, before]
    reference = _reference(price, units > 0)
    past = [np.log1p(units / scale), _log_ratio(price, reference) * alive, alive]
    return Windows(
        _stack(*past, grid.covariates[series, before] * alive[..., None], dates[before]),
        _stack(grid.covariates[series, ahead], dates[ahead]),
        _log_ratio(grid.price[series, ahead], reference),
        scale[:, 0].astype(np.float32),
        pairs[0],
    )


def targets(grid: Grid, pairs: tuple[Ints, Ints], scale: Floats, horizon: int) -> Floats:
    """What was sold over each window's horizon, over its scale: [window, horizon]."""
    ahead = pairs[1][:, None] + np.arange(horizon)
    sold: Floats = grid.units[pairs[0][:, None], ahead] / scale[:, None]
    return sold


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
