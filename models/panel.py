"""Checks of the training panel that both models share."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

from pricebook.errors import TrainingError

LARGEST_VALUE = 1e12  # of any input; float32 sums and ratios of larger values overflow
NOT_NEGATIVE = ("units", "price")
NOT_NULL = ("units",)


def check_numbers(panel: pd.DataFrame, columns: Iterable[str]) -> None:
    """Check for values that would make a logarithm or a loss NaN or infinite.

    Columns that the panel does not have are skipped. A null is allowed, except in units: a null
    price, for instance, is unknown.

    Args:
        panel: rows with sku, zone and period.

    Raises:
        TrainingError: a value is infinite or too large, a price or units are negative, or units
            are null. The message names the column and its first such row.
    """
    for name in columns:
        if name not in panel:
            continue
        values = panel[name].to_numpy(dtype=np.float64, na_value=np.nan)
        invalid = np.abs(values) > LARGEST_VALUE
        if name in NOT_NEGATIVE:
            invalid |= values < 0
        if name in NOT_NULL:
            invalid |= np.isnan(values)
        if invalid.any():
            row = panel.iloc[int(invalid.argmax())]
            raise TrainingError(
                f"Column {name} must hold numbers from 0 to {LARGEST_VALUE:g}; "
                f"{int(invalid.sum())} rows do not, first sku {row['sku']!r}, zone "
                f"{row['zone']!r}, period {str(row['period'])[:10]}. Received: {row[name]}"
            )
