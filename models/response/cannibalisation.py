"""The margin that a lower price of each listing takes from the shop's own substitutes.

This applies `pricebook.pricing.cannibalisation` to the tables of a response model.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.response.segments import EVERYONE
from pricebook.pricing.cannibalisation import opportunity_cost

Floats = NDArray[np.float64]

SERIES = ["sku", "zone"]
# Of the listing's own margin. Cross elasticities are uncertain; if substitutes took a unit's whole
# margin, no price below list would ever pay.
MAX_SHARE = 0.5
RECENT_PERIODS = 13  # the periods whose mean units are a listing's current sales


def recent_units(history: pd.DataFrame) -> pd.DataFrame:
    """Mean units of the last 13 periods of each series: sku, zone, units."""
    last = history.sort_values("period").groupby(SERIES).tail(RECENT_PERIODS)
    return last.groupby(SERIES, as_index=False)["units"].mean()


def cannibalised(
    elasticities: pd.DataFrame, cross: pd.DataFrame, book: pd.DataFrame, units: pd.DataFrame
) -> Floats:
    """Margin lost on substitutes for each unit gained, in minor units; one value per book row.

    It is 0 where the category, the cost or the cross elasticity is unknown, and at most half of the
    listing's own margin.

    Args:
        elasticities: `ResponseModel.elasticities()`.
        cross: `ResponseModel.cross()`.
        book: the price book: sku, zone, department, category, unit_cost, reference_price.
        units: from `recent_units`; a listing without a row has no sales.
    """
    own = elasticities.loc[elasticities["segment"] == EVERYONE, [*SERIES, "elasticity"]]
    category = cross.loc[cross["kind"] == "category", [*SERIES, "elasticity"]]
    category = category.rename(columns={"elasticity": "cross"})
    rows = book[[*SERIES, "department", "category", "unit_cost", "reference_price"]]
    for table in (own, category, units):
        rows = rows.merge(table, on=SERIES, how="left")
    if rows.empty:  # no listing has a cost
        return np.zeros(0)
    margin = (rows["reference_price"] - rows["unit_cost"]).fillna(0.0)
    lost = opportunity_cost(
        rows["elasticity"].fillna(-1.0).to_numpy(float),
        rows["cross"].where(rows["elasticity"].notna()).to_numpy(float),
        rows["units"].fillna(0.0).to_numpy(float),
        margin.to_numpy(float),
        _categories(rows),
    )
    most = MAX_SHARE * np.maximum(margin.to_numpy(float), 0.0)
    return np.asarray(np.minimum(lost, most))


def _categories(rows: pd.DataFrame) -> NDArray[np.int64]:
    """A code per department, category and zone; each listing without a category has its own."""
    labels = rows[["zone", "department", "category"]].fillna("").astype(str)
    without = rows["category"].isna() | (labels["category"] == "")
    # Separators that do not occur in labels, so that two different paths never join to one text.
    paths = labels.agg("\x1f".join, axis=1).where(~without, "\x1e" + rows.index.astype(str))
    return np.asarray(pd.factorize(paths)[0], np.int64)
