"""What a lower price of each listing takes from the shop's own substitutes, as a model sees it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.response.segments import EVERYONE
from pricebook.pricing.cannibalisation import opportunity_cost

Floats = NDArray[np.float64]

SERIES = ["sku", "zone"]
RECENT = 13  # periods whose mean units say what a listing sells


def recent_units(history: pd.DataFrame) -> pd.DataFrame:
    """Columns sku, zone, units: the mean of each series' last periods."""
    last = history.sort_values("period").groupby(SERIES).tail(RECENT)
    return last.groupby(SERIES, as_index=False)["units"].mean()


def cannibalised(
    elasticities: pd.DataFrame, cross: pd.DataFrame, book: pd.DataFrame, units: pd.DataFrame
) -> Floats:
    """The margin lost on substitutes by each unit gained, in minor units, a row of the book each.

    0 where nothing is known: no category, no cost, no cross elasticity.

    Args:
        elasticities: of `ResponseModel.elasticities`.
        cross: of `ResponseModel.cross`.
        book: sku, zone, department, category, unit_cost, reference_price.
        units: of `recent_units`; a listing without any sells none.
    """
    own = elasticities.loc[elasticities["segment"] == EVERYONE, [*SERIES, "elasticity"]]
    category = cross.loc[cross["kind"] == "category", [*SERIES, "elasticity"]]
    category = category.rename(columns={"elasticity": "cross"})
    rows = book[[*SERIES, "department", "category", "unit_cost", "reference_price"]]
    for found in (own, category, units):
        rows = rows.merge(found, on=SERIES, how="left")
    if rows.empty:  # no listing has a cost
        return np.zeros(0)
    margin = (rows["reference_price"] - rows["unit_cost"]).fillna(0.0)
    return opportunity_cost(
        rows["elasticity"].fillna(-1.0).to_numpy(float),
        rows["cross"].where(rows["elasticity"].notna()).to_numpy(float),
        rows["units"].fillna(0.0).to_numpy(float),
        margin.to_numpy(float),
        _categories(rows),
    )


def _categories(rows: pd.DataFrame) -> NDArray[np.int64]:
    """A code per department, category and zone; a listing of no category is alone."""
    labels = rows[["zone", "department", "category"]].fillna("").astype(str)
    alone = rows["category"].isna() | (labels["category"] == "")
    named = labels.agg("\x1f".join, axis=1).where(~alone, "\x1e" + rows.index.astype(str))
    return np.asarray(pd.factorize(named)[0], np.int64)
