"""Controls: the columns that are partialled out of units and price before the slope is estimated.

A price cut rarely comes alone. In the same week the sku may be on display, in the mailer or in
season, and a competitor may cut its price, too. Without controls, all these effects are attributed
to the price.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.prices.deals import deals
from pricebook.errors import EmptyHistory

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LABELS = ("sku", "zone", "department", "category", "product_type")
DEFAULT_LABELS = {"zone": "all"}  # replace missing labels; the default of the others is ""
PROMOTION = ("display", "mailer", "promotion")
DEAL = "deal"  # the column of inferred deals, in a shop without promotions
HARMONICS = 2
DAYS_PER_YEAR = 365.25
MIN_ON_HAND = 0.1  # share of a period; sales over a shorter time are no evidence of demand
MAX_CUT_CORRELATION = 0.9  # above it, a promotion flag has the same information as the price cut


def with_series_codes(panel: pd.DataFrame) -> pd.DataFrame:
    """Clean the keys, add the column `series` (an integer code per sku and zone), and sort."""
    panel = clean_keys(panel.reindex(columns=list(dict.fromkeys([*panel.columns, *LABELS]))))
    panel["series"] = panel.groupby(["sku", "zone"], sort=True).ngroup()
    return panel.sort_values(["series", "period"], kind="stable").reset_index(drop=True)


def clean_keys(rows: pd.DataFrame) -> pd.DataFrame:
    """Labels as strings ("" where missing, "all" for a zone), and periods as timestamps."""
    labels = {name: rows[name].astype("string") for name in LABELS if name in rows}
    labels = {name: values.fillna(DEFAULT_LABELS.get(name, "")) for name, values in labels.items()}
    period = pd.to_datetime(rows["period"]).astype("datetime64[ns]")
    return rows.assign(period=period, **{k: v.astype(object) for k, v in labels.items()})


def usable_rows(panel: pd.DataFrame) -> pd.DataFrame:
    """The rows that show demand at a price, sorted by series and period.

    These are the rows with a price above zero and with stock, from the first to the last sale of
    their series. Before the first and after the last sale the sku may not have been listed, so zero
    units are no evidence of low demand there.

    If no row has a promotion, the column `deal` is added: deals that are inferred from the prices
    (`models.prices.deals`).

    Args:
        panel: from `with_series_codes`.

    Raises:
        EmptyHistory: no row is usable.
    """
    price = panel["price"].to_numpy(float, na_value=np.nan)
    stocked = exposure(panel) >= MIN_ON_HAND
    rows = panel[(price > 0) & np.isfinite(price) & stocked & panel["units"].notna()]
    rows = rows.sort_values(["series", "period"], kind="stable")
    sold = (rows["units"] > 0).astype(int)
    since, until = (part.groupby(rows["series"]).cumsum() for part in (sold, sold[::-1]))
    rows = rows[(since > 0) & (until.reindex(rows.index) > 0)]
    if rows.empty:
        raise EmptyHistory(
            "The response model needs a row with units and a price above zero. "
            f"Received: {len(panel)} rows, none of which qualifies"
        )
    promoted = panel.reindex(columns=list(PROMOTION)).fillna(0.0).to_numpy(float).any()
    return rows if promoted else rows.assign(**{DEAL: deals(rows)})


def exposure(rows: pd.DataFrame) -> Floats:
    """The share of the period with stock on hand [m]; 1 where it is unknown."""
    if "on_hand_share" not in rows:
        return np.ones(len(rows))
    return np.asarray(rows["on_hand_share"].fillna(1.0), np.float64)


def control_columns(rows: pd.DataFrame, *, promotions: bool, rivals: bool) -> Floats:
    """Season, promotions, the category's promotions and, optionally, other prices [m, q].

    Args:
        rows: from `usable_rows`.
        promotions: whether to control for promotions. False only to measure their effect.
        rivals: whether to control for the prices of competitors and of the rest of the category.
            False when the effect of these prices is estimated.
    """
    own = _promotion_columns(rows) if promotions else np.empty((len(rows), 0))
    columns = [_season_columns(rows), own, rest_of_category(rows, own[:, : len(PROMOTION)])]
    if rivals:
        prices = np.column_stack([log_price(rows), competitor_log_price(rows)])
        columns += [prices[:, 1:], rest_of_category(rows, prices)]
    return np.hstack(columns)


def log_price(rows: pd.DataFrame) -> Floats:
    """The natural log of the price [m]."""
    return np.asarray(np.log(rows["price"].to_numpy(float)))


def rest_of_category(rows: pd.DataFrame, values: Floats) -> Floats:
    """The mean of `values` [m, q] over the other skus of the category, zone and period [m, q].

    It is a mean of deviations from each series' own mean, weighted by the series' mean units. So it
    does not move when a sku is listed or delisted. It is 0 for a sku without a category, and for
    the only sku of its category.
    """
    weight = rows.groupby("series")["units"].transform("mean").to_numpy(float)
    deviation = weight[:, None] * (values - group_means(values, rows["series"].to_numpy()))
    market = rows.groupby(["department", "category", "zone", "period"]).ngroup().to_numpy()
    total = group_sums(deviation, market)[market]
    others = np.bincount(market, weight)[market] - weight
    # The difference of two sums of weights is not exactly 0 where there is no other sku.
    has_others = (others > 1e-9 * weight) & (rows["category"] != "").to_numpy()
    rest = np.zeros_like(values)
    np.divide(total - deviation, others[:, None], out=rest, where=has_others[:, None])
    return rest


def group_means(values: Floats, groups: Ints) -> Floats:
    """For each row of `values` [m, q], the mean of its group [m, q].

    >>> group_means(np.array([[1.0], [3.0], [5.0]]), np.array([0, 0, 1])).ravel().tolist()
    [2.0, 2.0, 5.0]
    """
    counts = np.maximum(np.bincount(groups), 1)  # a series without usable rows has count 0
    return np.asarray((group_sums(values, groups) / counts[:, None])[groups])


def group_sums(values: Floats, groups: Ints) -> Floats:
    """The sum of `values` [m, q] over each group [g, q]; groups are codes 0 ... g-1."""
    sums = np.zeros((groups.max() + 1, values.shape[1]))
    for column, column_sums in zip(values.T, sums.T, strict=True):
        column_sums[:] = np.bincount(groups, column)
    return sums


def competitor_log_price(rows: pd.DataFrame) -> Floats:
    """Log competitor price minus its mean over the series [m]; 0 where it is unknown."""
    if "competitor_price" not in rows:
        return np.zeros(len(rows))
    observed = rows["competitor_price"].where(rows["competitor_price"] > 0).astype(float)
    price = np.log(observed)
    mean = price.groupby(rows["series"]).transform("mean")
    return np.asarray((price - mean).fillna(0.0), np.float64)


def _promotion_columns(rows: pd.DataFrame) -> Floats:
    """Promotion shares, their square roots, and display x mailer [m, 7].

    A share is the share of stores with the promotion. The square root is concave: the first stores
    add more than the last ones.
    """
    shares = rows.reindex(columns=list(PROMOTION)).fillna(0.0).to_numpy(float)
    if DEAL in rows:
        shares[:, 2] = rows[DEAL].to_numpy(float)
    elif _repeats_price_cut(shares[:, 2], rows):
        shares[:, 2] = 0.0
    shares = np.clip(shares, 0.0, 1.0)
    return np.hstack([shares, np.sqrt(shares), shares[:, [0]] * shares[:, [1]]])


def _repeats_price_cut(promotion: Floats, rows: pd.DataFrame) -> bool:
    """Whether `promotion` [m] only marks that the price is below the list price.

    Such a flag is the price itself. As a control, it would remove the price variation.
    """
    if "list_price" not in rows:
        return False
    cut = (rows["price"] < 0.995 * rows["list_price"]).to_numpy(float, na_value=0.0)
    if cut.std() == 0 or promotion.std() == 0:
        return False
    return bool(np.corrcoef(promotion, cut)[0, 1] > MAX_CUT_CORRELATION)


def _season_columns(rows: pd.DataFrame) -> Floats:
    """A linear trend, and sine and cosine of the first harmonics of the year [m, 1 + 4]."""
    dates = pd.DatetimeIndex(pd.to_datetime(rows["period"]))
    angle = 2 * np.pi * dates.dayofyear.to_numpy(float) / DAYS_PER_YEAR
    days = (dates - dates.min()).days.to_numpy(float)
    waves = [wave(k * angle) for k in range(1, HARMONICS + 1) for wave in (np.sin, np.cos)]
    return np.column_stack([days, *waves])
