"""Cross-fitted residuals: what is left of log units and log price once the controls are taken out.

A price cut rarely comes alone: it is on display, in the mailer, in season. Regressing units on
price would give price the credit. Following double machine learning (Chernozhukov et al. 2018,
"Double/debiased machine learning for treatment and structural parameters", the partially linear
model) in its panel form (Clarke & Polselli 2023, "Double machine learning for static panel models
with fixed effects"), both sides are freed of

1. series effects and period effects (of the department where it is large enough to tell them from
   the series; of the shop otherwise), by the within transformation; and
2. the controls, by a ridge regression that is fitted on the *other* blocks of time, so that no row
   is residualised by a function that saw it.

The slope of one residual on the other is the price elasticity.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pricebook.errors import EmptyHistory

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PROMOTION = ("display", "mailer", "promotion")
CELL_SERIES = 10  # series a department needs for period effects of its own
POOLED_ROWS = 50.0  # rows' worth of the shop's control coefficients in a department's
SERIES_ROWS = 100.0  # rows' worth of the department's control coefficients in a series'


@dataclass(frozen=True)
class Residuals:
    """Residual rows, sorted by series and period.

    Shapes: series, units, price are all [m]. `units` and `price` are residual logs; `freedom` is
    the share of the rows' degrees of freedom that the within transformation left.
    """

    series: Ints
    units: Floats
    price: Floats
    freedom: float


def usable(panel: pd.DataFrame) -> pd.DataFrame:
    """The rows with a log: units and price above zero, in order of series and period.

    Raises:
        EmptyHistory: there is none.
    """
    sold = panel[(panel["units"] > 0) & (panel["price"] > 0) & np.isfinite(panel["price"])]
    if sold.empty:
        raise EmptyHistory(
            "The response model needs a row with units and a price above zero. "
            f"Received: {len(panel)} rows, none of them"
        )
    return sold.sort_values(["series", "period"], kind="stable")


def residuals(rows: pd.DataFrame, folds: int, *, promotions: bool = True) -> Residuals:
    """Residual log units and log price of usable rows.

    Args:
        rows: from `usable`; `series` is an integer code, 0 ... n-1.
        folds: blocks of time to cross-fit over.
        promotions: False leaves the promotions in; only for measuring what they would do.
    """
    series, cells = _codes(rows["series"]), _cells(rows)
    logs = np.log(rows[["units", "price"]].to_numpy(float))
    controls = _controls(rows, promotions)
    within = _within(np.hstack([logs, controls]), series, cells)
    targets, controls = within[:, :2], _standardised(within[:, 2:])
    left = targets - _predicted(targets, controls, rows, folds)
    spent = len(np.unique(series)) + len(np.unique(cells)) + controls.shape[1]
    freedom = max(len(rows) - spent, 1) / len(rows)
    return Residuals(rows["series"].to_numpy(np.int64), left[:, 0], left[:, 1], freedom)


def _controls(rows: pd.DataFrame, promotions: bool) -> Floats:
    """[m, q]: promotion shares and their interaction, stock, rival price, season, trend."""
    columns = [_season(rows)]
    if promotions:
        shares = _columns(rows, PROMOTION)
        columns += [shares, np.sqrt(shares), shares[:, [0]] * shares[:, [1]]]
    columns.append(_columns(rows, ("on_hand_share",), missing=1.0))
    if "competitor_price" in rows:
        rival = np.log(rows["competitor_price"].to_numpy(float))
        known = np.isfinite(rival)
        columns += [np.where(known, rival, 0.0)[:, None], known[:, None].astype(float)]
    return np.hstack(columns)


def _columns(rows: pd.DataFrame, names: tuple[str, ...], missing: float = 0.0) -> Floats:
    values: Floats = rows.reindex(columns=list(names)).fillna(missing).to_numpy(float)
    return values


def _season(rows: pd.DataFrame) -> Floats:
    """[m, 3]: trend and the year's first harmonic; all the season a shop of few series can have."""
    dates = pd.DatetimeIndex(pd.to_datetime(rows["period"]))
    angle = 2 * np.pi * dates.dayofyear.to_numpy(float) / 365.25
    days = (dates - dates.min()).days.to_numpy(float)
    return np.column_stack([days, np.sin(angle), np.cos(angle)])


def _cells(rows: pd.DataFrame) -> Ints:
    """[m]: the cell whose mean is the period effect: of a large department, else of the rest.

    A shop too small for period effects gets one cell; its season is then in the controls alone.
    """
    departments = _codes(rows["department"])
    series = rows.groupby(departments)["series"].nunique().to_numpy()
    group = np.where(series >= CELL_SERIES, np.arange(len(series)), -1)[departments]
    rest = rows.loc[group == -1, "series"].nunique()
    periods = _codes(rows["period"])
    if rest < CELL_SERIES:
        periods = np.where(group == -1, 0, periods)
    return _codes(pd.Series(group * (periods.max() + 1) + periods))


def _codes(values: pd.Series) -> Ints:
    return np.asarray(pd.factorize(values, sort=True)[0], np.int64)


def _within(values: Floats, series: Ints, cells: Ints, rounds: int = 100) -> Floats:
    """Take out series and cell means in turn until neither is left (alternating projections)."""
    for _ in range(rounds):
        before = values
        values = _demeaned(_demeaned(values, cells), series)
        if np.abs(values - before).max() < 1e-9:
            break
    return values


def _demeaned(values: Floats, groups: Ints) -> Floats:
    count = np.bincount(groups)
    means = [np.bincount(groups, weights=column) / count for column in values.T]
    return values - np.column_stack(means)[groups]


def _standardised(controls: Floats) -> Floats:
    """Unit variance, without the columns that the effects have absorbed."""
    spread = controls.std(axis=0)
    kept = spread > 1e-6
    scaled: Floats = controls[:, kept] / spread[kept]
    return scaled


def _predicted(targets: Floats, controls: Floats, rows: pd.DataFrame, folds: int) -> Floats:
    """[m, 2]: what the controls predict of each target, from the other blocks of time."""
    series, departments = _codes(rows["series"]), _codes(rows["department"])
    periods = _codes(rows["period"])
    blocks = periods * folds // (periods.max() + 1)
    predicted = np.zeros_like(targets)
    if controls.shape[1] == 0 or len(np.unique(blocks)) < 2:
        return predicted
    of_series = np.zeros(series.max() + 1, np.int64)
    of_series[series] = departments
    for block in np.unique(blocks):
        held, other = blocks == block, blocks != block
        coefficients = _ridge(controls[other], targets[other], series[other], of_series)
        predicted[held] = np.einsum("mq,mqt->mt", controls[held], coefficients[series[held]])
    return predicted


def _ridge(controls: Floats, targets: Floats, series: Ints, departments: Ints) -> Floats:
    """[n, q, 2]: a series' coefficients, shrunk to its department's, and those to the shop's."""
    gram = _sums(series, len(departments), controls, controls)
    cross = _sums(series, len(departments), controls, targets)
    shop = _solved(gram.sum(axis=0)[None], cross.sum(axis=0)[None], 1.0, 0.0)
    gram_of = np.zeros((departments.max() + 1, *gram.shape[1:]))
    cross_of = np.zeros((departments.max() + 1, *cross.shape[1:]))
    np.add.at(gram_of, departments, gram)
    np.add.at(cross_of, departments, cross)
    department = _solved(gram_of, cross_of, POOLED_ROWS, shop)
    return _solved(gram, cross, SERIES_ROWS, department[departments])


def _solved(gram: Floats, cross: Floats, rows: float, towards: Floats | float) -> Floats:
    """The ridge solutions [g, q, 2] of g regressions, shrunk `towards` others."""
    penalty = rows * np.eye(gram.shape[-1])
    return np.asarray(np.linalg.solve(gram + penalty, cross + rows * towards), np.float64)


def _sums(groups: Ints, size: int, left: Floats, right: Floats) -> Floats:
    """[size, q, r]: the sum over each group's rows of left outer right."""
    sums = np.empty((size, left.shape[1], right.shape[1]))
    for a in range(left.shape[1]):
        for b in range(right.shape[1]):
            sums[:, a, b] = np.bincount(groups, left[:, a] * right[:, b], size)
    return sums
