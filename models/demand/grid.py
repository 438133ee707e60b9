"""Long panels as dense grids: every series in a row, every period in a column. NumPy inside.

The grain (day, week, month) is read off the dates; no setting says it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pricebook.errors import EmptyHistory

Floats = NDArray[np.float32]
Ints = NDArray[np.int64]

KEY = ["sku", "zone"]
STATIC = ("department", "category", "product_type")
SHORTEST = 0.1  # share of a period; in less, what was sold says nothing of demand
COVARIATES = ("display", "mailer", "promotion")


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
    on_hand: Floats  # [series, periods], the share of a period it was there to be sold
    first: Ints  # [series]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.keys), len(self.periods)

    @cached_property
    def asked(self) -> Floats:
        """Units [series, periods] that would have been sold had it been there throughout.

        What was sold over the share of the period it was there (an exposure, as of a Poisson rate);
        as much trust goes to it as the share is large, and none below SHORTEST.
        """
        there = np.maximum(self.on_hand, SHORTEST)
        return (self.units / there).astype(np.float32)

    def take(self, rows: Ints) -> Grid:
        """The same periods for some of the series, in the order asked for."""
        return Grid(
            self.keys.iloc[rows].reset_index(drop=True),
            self.periods,
            self.units[rows],
            self.price[rows],
            self.covariates[rows],
            self.on_hand[rows],
            self.first[rows],
        )

    def until(self, column: int) -> Grid:
        """All series, cut before `column`; a first sale from there on is not known yet."""
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
    """Make a long panel dense: a missing row sold nothing, its price is carried forward, then back.

    Raises:
        ValueError: a column is missing or a series has a period twice.
        EmptyHistory: no row, or a series without any price.
    """
    _require(panel, [*KEY, "period", "units", "price", *COVARIATES])
    if panel.empty:
        raise EmptyHistory("There is no history to learn from. Received: 0 rows")
    statics = [name for name in STATIC if name in panel]
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
        _on_hand(panel, spread),
        np.where((units > 0).any(axis=1), (units > 0).argmax(axis=1), len(periods)),
    )


def _on_hand(panel: pd.DataFrame, spread: _Spread) -> Floats:
    """1, always there, where nothing is known of stock."""
    if "on_hand_share" not in panel:
        return np.ones_like(spread.of(panel["units"]))
    share = np.nan_to_num(spread.of(panel["on_hand_share"]), nan=1.0)
    return np.where(share < SHORTEST, np.float32(0), share)


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
    carried: Floats = frame.to_numpy(dtype=np.float32)
    return carried


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


def long_frame(keys: pd.DataFrame, periods: pd.DatetimeIndex) -> pd.DataFrame:
    """Columns sku, zone, period and step (from 1): one row per series and period."""
    repeated = keys[KEY].loc[keys.index.repeat(len(periods))].reset_index(drop=True)
    steps = np.tile(np.arange(1, len(periods) + 1), len(keys))
    return repeated.assign(period=np.tile(periods.to_numpy(), len(keys)), step=steps)


def with_plan(history: pd.DataFrame, planned: pd.DataFrame, horizon: int) -> tuple[Grid, int]:
    """The planned series with their plan appended, and the column at which the plan begins.

    Raises:
        ValueError: `planned` is not one row for each of the `horizon` periods of every series.
        EmptyHistory: a planned series has no history.
    """
    _require(history, [*KEY, "period", "units", "price", *COVARIATES])
    _require(planned, [*KEY, "period", "price", *COVARIATES])
    series = planned[KEY].drop_duplicates()
    known = series_codes(history, series)
    strangers = np.setdiff1d(np.arange(len(series)), known)
    if len(strangers):
        raise EmptyHistory(
            f"{len(strangers)} planned series have no history. "
            f"Received: sku {series['sku'].iat[int(strangers[0])]!r}"
        )
    grid = to_grid(pd.concat([history[known >= 0], planned.assign(units=0)], ignore_index=True))
    _require_whole_plan(history, planned, grid, horizon)
    return grid, grid.shape[1] - horizon


def _require_whole_plan(
    history: pd.DataFrame, planned: pd.DataFrame, grid: Grid, horizon: int
) -> None:
    stamps = pd.DatetimeIndex(pd.to_datetime(planned["period"]))
    last = pd.to_datetime(history["period"]).max()
    wanted = grid.periods[-horizon:]
    follows = len(grid.periods) > horizon and grid.periods[-horizon - 1] == last
    if len(planned) != len(grid.keys) * horizon or stamps.min() != wanted[0] or not follows:
        raise ValueError(
            f"A plan has the {horizon} periods after {last.date()} for every series. Received: "
            f"{len(planned)} rows for {len(grid.keys)} series from {stamps.min().date()}"
        )
