"""What may pass for price: the columns that the response model takes out of units and price.

A price cut rarely comes alone: it is on display, in the mailer, in season, while a rival cuts too.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pricebook.errors import EmptyHistory

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LABELS = ("sku", "zone", "department", "category", "product_type")
MISSING = {"zone": "all"}
PROMOTION = ("display", "mailer", "promotion")
HARMONICS = 2
YEAR = 365.25
EMPTY_SHELF = 0.1  # of a period on hand, below which its units say nothing of demand
SAME = 0.9  # correlation from which a promotion is the price cut under another name


def coded(panel: pd.DataFrame) -> pd.DataFrame:
    """The panel with its labels as strings, dates as dates and `series` as a code, sorted."""
    panel = plain(panel.reindex(columns=list(dict.fromkeys([*panel.columns, *LABELS]))))
    panel["series"] = panel.groupby(["sku", "zone"], sort=True).ngroup()
    return panel.sort_values(["series", "period"], kind="stable").reset_index(drop=True)


def plain(rows: pd.DataFrame) -> pd.DataFrame:
    """Labels as strings, "" where missing ("all" for a zone), and periods as timestamps."""
    labels = {name: rows[name].astype("string") for name in LABELS if name in rows}
    labels = {name: values.fillna(MISSING.get(name, "")) for name, values in labels.items()}
    period = pd.to_datetime(rows["period"]).astype("datetime64[ns]")
    return rows.assign(period=period, **{k: v.astype(object) for k, v in labels.items()})


def usable(panel: pd.DataFrame) -> pd.DataFrame:
    """The rows that tell of demand at a price, in order of series and period.

    Those with a price above zero and something on the shelf, from the first to the last sale of
    their series: what was not yet listed, or is no longer, was not refused.

    Raises:
        EmptyHistory: there is none.
    """
    price = panel["price"].to_numpy(float)
    stocked = exposure(panel) >= EMPTY_SHELF
    rows = panel[(price > 0) & np.isfinite(price) & stocked & panel["units"].notna()]
    rows = rows.sort_values(["series", "period"], kind="stable")
    sold = (rows["units"] > 0).astype(int)
    since, until = (part.groupby(rows["series"]).cumsum() for part in (sold, sold[::-1]))
    rows = rows[(since > 0) & (until.reindex(rows.index) > 0)]
    if rows.empty:
        raise EmptyHistory(
            "The response model needs a row with units and a price above zero. "
            f"Received: {len(panel)} rows, none of them"
        )
    return rows


def exposure(rows: pd.DataFrame) -> Floats:
    """[m]: the share of the period in which there was stock to buy; 1 where nobody counted."""
    if "on_hand_share" not in rows:
        return np.ones(len(rows))
    return np.asarray(rows["on_hand_share"].fillna(1.0), np.float64)


def controls(rows: pd.DataFrame, *, promotions: bool, rivals: bool) -> Floats:
    """[m, q]: season, promotions and rivals' promotions and, if asked for, rivals' prices.

    Args:
        promotions: False only for measuring what they would do.
        rivals: False where what their prices do is being measured.
    """
    own = _promotions(rows) if promotions else np.empty((len(rows), 0))
    columns = [_season(rows), own, of_category(rows, own[:, : len(PROMOTION)])]
    if rivals:
        prices = np.column_stack([log_price(rows), competitor_price(rows)])
        columns += [prices[:, 1:], of_category(rows, prices)]
    return np.hstack(columns)


def log_price(rows: pd.DataFrame) -> Floats:
    return np.asarray(np.log(rows["price"].to_numpy(float)))


def of_category(rows: pd.DataFrame, values: Floats) -> Floats:
    """[m, q]: the mean of `values` [m, q] over the other skus of the category, zone and period.

    Each counts by its mean units and from its own mean, so that who is listed moves nothing. 0 for
    a sku that is alone, or of no category.
    """
    weight = rows.groupby("series")["units"].transform("mean").to_numpy(float)
    moved = weight[:, None] * (values - means(values, rows["series"].to_numpy()))
    market = rows.groupby(["department", "category", "zone", "period"]).ngroup().to_numpy()
    total = group_sums(moved, market)[market]
    others = np.bincount(market, weight)[market] - weight
    known = (others > 1e-9 * weight) & (rows["category"] != "").to_numpy()
    rest = np.zeros_like(values)
    np.divide(total - moved, others[:, None], out=rest, where=known[:, None])
    return rest


def means(values: Floats, groups: Ints) -> Floats:
    """[m, q]: the mean over each row's group."""
    return np.asarray((group_sums(values, groups) / np.bincount(groups)[:, None])[groups])


def group_sums(values: Floats, groups: Ints) -> Floats:
    """[g, q]: the sum over each group."""
    found = np.zeros((groups.max() + 1, values.shape[1]))
    for column, column_sums in zip(values.T, found.T, strict=True):
        column_sums[:] = np.bincount(groups, column)
    return found


def competitor_price(rows: pd.DataFrame) -> Floats:
    """[m]: the log of the rival shop's price from its mean; 0 where nobody saw it."""
    if "competitor_price" not in rows:
        return np.zeros(len(rows))
    seen = rows["competitor_price"].where(rows["competitor_price"] > 0).astype(float)
    price = np.log(seen)
    mean = price.groupby(rows["series"]).transform("mean")
    return np.asarray((price - mean).fillna(0.0), np.float64)


def _promotions(rows: pd.DataFrame) -> Floats:
    """[m, 5]: shares, their roots for the first stores to count most, and the two together."""
    shares = rows.reindex(columns=list(PROMOTION)).fillna(0.0).to_numpy(float)
    if _is_the_price_cut(shares[:, 2], rows):
        shares[:, 2] = 0.0
    shares = np.clip(shares, 0.0, 1.0)
    return np.hstack([shares, np.sqrt(shares), shares[:, [0]] * shares[:, [1]]])


def _is_the_price_cut(promotion: Floats, rows: pd.DataFrame) -> bool:
    """Whether `promotion` only says that the price is below list: then it is price, no control."""
    if "list_price" not in rows:
        return False
    cut = (rows["price"] < 0.995 * rows["list_price"]).to_numpy(float)
    if cut.std() == 0 or promotion.std() == 0:
        return False
    return bool(np.corrcoef(promotion, cut)[0, 1] > SAME)


def _season(rows: pd.DataFrame) -> Floats:
    """[m, 1 + 2 harmonics]: trend and the first harmonics of the year."""
    dates = pd.DatetimeIndex(pd.to_datetime(rows["period"]))
    angle = 2 * np.pi * dates.dayofyear.to_numpy(float) / YEAR
    days = (dates - dates.min()).days.to_numpy(float)
    waves = [wave(k * angle) for k in range(1, HARMONICS + 1) for wave in (np.sin, np.cos)]
    return np.column_stack([days, *waves])
