"""Turns long panels into dense grids: a row per series, a column per period. NumPy inside.

The grain (day, week or month) is inferred from the dates; no setting repeats it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.panel import check_numbers
from pricebook.errors import EmptyHistory

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

KEY = ["sku", "zone"]
STATIC = ("department", "category", "product_type")
COVARIATES = ("display", "mailer", "promotion")
MIN_ON_HAND = 0.1  # share of a period; sales over a shorter time are no evidence of demand


@dataclass(frozen=True)
class Grid:
    """A dense panel: series in rows, consecutive periods in columns.

    `keys` holds sku, zone and the static columns. `first` is the column of each series' first
    sale, or the number of columns if it never sold.
    """

    keys: pd.DataFrame
    periods: pd.DatetimeIndex
    units: Floats  # [series, periods]
    price: Floats  # [series, periods], minor units
    covariates: Floats  # [series, periods, len(COVARIATES)]
    on_hand: Floats  # [series, periods], share of the period in which stock was on hand
    first: Ints  # [series]

    @property
    def shape(self) -> tuple[int, int]:
        """Number of series and of periods."""
        return len(self.keys), len(self.periods)

    @cached_property
    def demand(self) -> Floats:
        """Unconstrained demand [series, periods]: units, had stock been on hand all the time.

        Units are divided by the share of the period with stock, as a Poisson count is by its
        exposure. Shares below MIN_ON_HAND are raised to it. How far to trust a value grows with
        the share: the loss weights it by `on_hand`.
        """
        exposure = np.maximum(self.on_hand, MIN_ON_HAND)
        return (self.units / exposure).astype(np.float32)

    def take(self, rows: Ints) -> Grid:
        """Select series by row number, in the order of `rows`; the periods stay."""
        return Grid(
            self.keys.iloc[rows].reset_index(drop=True),
            self.periods,
            self.units[rows],
            self.price[rows],
            self.covariates[rows],
            self.on_hand[rows],
            self.first[rows],
        )

    def before(self, column: int) -> Grid:
        """Keep the periods before `column`; a first sale at or after it counts as no sale."""
        return Grid(
            self.keys,
            self.periods[:column],
            self.units[:, :column],
            self.price[:, :column],
            self.covariates[:, :column],
            self.on_hand[:, :column],
            np.minimum(self.first, column),
        )


def to_grid(panel: pd.DataFrame) -> Grid:
    """Make a long panel dense.

    A missing row sold nothing; its price is the last known one, or else the next known one. A null
    price is unknown and filled in the same way.

    Raises:
        ValueError: a column is missing or a series has two rows for one period.
        EmptyHistory: the panel has no row, or a series has no price at all.
        TrainingError: a value is negative, infinite or too large, or units are null.
    """
    _check_columns(panel, [*KEY, "period", "units", "price", *COVARIATES])
    if panel.empty:
        raise EmptyHistory("There is no history to learn from. Received: 0 rows")
    check_numbers(panel, ("units", "price", *COVARIATES))
    statics = [name for name in STATIC if name in panel]
    keys = panel.drop_duplicates(KEY).sort_values(KEY)[[*KEY, *statics]].reset_index(drop=True)
    stamps = pd.DatetimeIndex(pd.to_datetime(panel["period"]))
    periods = period_range(stamps)
    cells = _Cells(series_codes(panel, keys), periods.get_indexer(stamps), keys, len(periods))
    units = np.nan_to_num(cells.fill(panel["units"]))
    covariates = [np.nan_to_num(cells.fill(panel[name])) for name in COVARIATES]
    return Grid(
        keys,
        periods,
        units,
        _fill_prices(cells.fill(panel["price"]), keys),
        np.stack(covariates, axis=-1),
        _on_hand(panel, cells),
        np.where((units > 0).any(axis=1), (units > 0).argmax(axis=1), len(periods)),
    )


def _on_hand(panel: pd.DataFrame, cells: _Cells) -> Floats:
    """Share of each period with stock: 1 where it is unknown, 0 where it is below MIN_ON_HAND."""
    if "on_hand_share" not in panel:
        return np.ones_like(cells.fill(panel["units"]))
    share = np.nan_to_num(cells.fill(panel["on_hand_share"]), nan=1.0)
    return np.where(share < MIN_ON_HAND, np.float32(0), share)


class _Cells:
    """Where each row of a long panel belongs in the grid."""

    def __init__(self, rows: Ints, columns: Ints, keys: pd.DataFrame, periods: int) -> None:
        self._positions = rows * periods + columns
        self._shape = (len(keys), periods)
        repeated = pd.Index(self._positions).duplicated()
        if repeated.any():
            sku = keys["sku"].iat[int(rows[repeated][0])]
            raise ValueError(
                f"A series has one row per period. Received: sku {sku!r} twice in one period"
            )

    def fill(self, column: pd.Series) -> Floats:
        """[series, periods]: the values of a long column; NaN where the panel has no row."""
        flat = np.full(self._shape[0] * self._shape[1], np.nan, dtype=np.float32)
        flat[self._positions] = column.to_numpy(dtype=np.float32, na_value=np.nan)
        return flat.reshape(self._shape)


def _check_columns(frame: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = [name for name in columns if name not in frame]
    if missing:
        raise ValueError(
            f"The panel lacks the columns {', '.join(missing)}. Received: {', '.join(frame)}"
        )


def series_codes(frame: pd.DataFrame, keys: pd.DataFrame) -> Ints:
    """For each row of `frame`, the row number of its series in `keys`; -1 if it is not there."""
    index = pd.MultiIndex.from_frame(keys[KEY].astype(str))
    codes: Ints = index.get_indexer(pd.MultiIndex.from_frame(frame[KEY].astype(str)))
    return codes


def _fill_prices(price: Floats, keys: pd.DataFrame) -> Floats:
    """Fill unknown prices with the last known one, then with the next known one."""
    frame = pd.DataFrame(np.where(price > 0, price, np.nan)).ffill(axis=1).bfill(axis=1)
    unpriced = frame.isna().any(axis=1)
    if unpriced.any():
        raise EmptyHistory(
            f"{int(unpriced.sum())} series have no price at all. "
            f"Received: sku {keys['sku'][unpriced.to_numpy()].iat[0]!r}"
        )
    filled: Floats = frame.to_numpy(dtype=np.float32)
    return filled


def period_range(stamps: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Every period from the first stamp to the last, at the grain of the stamps.

    >>> list(period_range(pd.DatetimeIndex(["2017-01-01", "2017-02-01", "2017-04-01"])).month)
    [1, 2, 3, 4]
    """
    distinct = stamps.unique().sort_values()
    return pd.date_range(distinct[0], distinct[-1], freq=grain_of(distinct))


def grain_of(periods: pd.DatetimeIndex) -> str:
    """The pandas frequency of sorted periods: D, 7D or MS.

    Raises:
        EmptyHistory: there are fewer than two periods.
    """
    if len(periods) < 2:
        raise EmptyHistory(f"A history needs two periods or more. Received: {len(periods)}")
    days = int(np.diff(periods.to_numpy()).min() / np.timedelta64(1, "D"))
    return "MS" if days >= 28 else "7D" if days >= 7 else "D"


def next_periods(periods: pd.DatetimeIndex, horizon: int) -> pd.DatetimeIndex:
    """The `horizon` periods that follow the last one."""
    return pd.date_range(periods[-1], periods=horizon + 1, freq=grain_of(periods))[1:]


def long_frame(keys: pd.DataFrame, periods: pd.DatetimeIndex) -> pd.DataFrame:
    """Columns sku, zone, period and step (from 1): one row per series and period."""
    repeated = keys[KEY].loc[keys.index.repeat(len(periods))].reset_index(drop=True)
    steps = np.tile(np.arange(1, len(periods) + 1), len(keys))
    return repeated.assign(period=np.tile(periods.to_numpy(), len(keys)), step=steps)


def append_plan(history: pd.DataFrame, planned: pd.DataFrame, horizon: int) -> tuple[Grid, int]:
    """Append the plan to the history of the planned series.

    Returns:
        the grid, and the column at which the plan begins.

    Raises:
        ValueError: `planned` is not one row for each of the `horizon` periods of every series.
        EmptyHistory: a planned series has no history.
        TrainingError: a value is negative, infinite or too large, or units are null.
    """
    _check_columns(history, [*KEY, "period", "units", "price", *COVARIATES])
    _check_columns(planned, [*KEY, "period", "price", *COVARIATES])
    series = planned[KEY].drop_duplicates()
    codes = series_codes(history, series)
    missing = np.setdiff1d(np.arange(len(series)), codes)
    if len(missing):
        raise EmptyHistory(
            f"{len(missing)} planned series have no history. "
            f"Received: sku {series['sku'].iat[int(missing[0])]!r}"
        )
    grid = to_grid(pd.concat([history[codes >= 0], planned.assign(units=0)], ignore_index=True))
    _check_plan(history, planned, grid, horizon)
    return grid, grid.shape[1] - horizon


def _check_plan(history: pd.DataFrame, planned: pd.DataFrame, grid: Grid, horizon: int) -> None:
    stamps = pd.DatetimeIndex(pd.to_datetime(planned["period"]))
    last = pd.to_datetime(history["period"]).max()
    expected = grid.periods[-horizon:]
    follows = len(grid.periods) > horizon and grid.periods[-horizon - 1] == last
    if len(planned) != len(grid.keys) * horizon or stamps.min() != expected[0] or not follows:
        raise ValueError(
            f"A plan has the {horizon} periods after {last.date()} for every series. Received: "
            f"{len(planned)} rows for {len(grid.keys)} series from {stamps.min().date()}"
        )
