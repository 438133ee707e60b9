"""featurize: validated tables in, point-in-time feature files out.

DuckDB does the work, out of core: what does not fit in `featurize.memory_limit` spills to disk.
The whole set of files is swapped in at once, so no reader ever sees half of it.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import lineage
from pricebook.config import Params, Settings
from pricebook.errors import ConfigError, EmptyHistory, LeakageError, SourceError
from pricebook.files import atomic_dir, write_json

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

    from pricebook.features import Calendar, Tables

log = logging.getLogger("pricebook.featurize")

WITHOUT = {
    "products": "skus have no department, category or cost, and no department is left out",
    "promotions": "display, mailer and promotion are 0",
    "customers": "consent is unknown",
    "prices": "list prices come from products or orders",
    "inventory": "every sku counts as on hand",
    "competitor_prices": "there is no competitor price",
}
WITHOUT_COLUMN = {
    "customer_id": "there are no shopper and segment features",
    "list_amount": "discounts are unknown and list prices are the highest seen",
}
SORTED_BY = {
    "sku_period": ("sku", "zone", "period"),
    "sku": ("sku", "zone", "period"),
    "sku_segment": ("sku", "zone", "segment", "event_timestamp"),
    "shopper": ("customer_id", "event_timestamp"),
    "segment_period": ("sku", "zone", "segment", "period"),
    "price_book": ("sku", "zone"),
}


def featurize(as_of: date, params: Params, settings: Settings) -> dict[str, int]:
    """Build every feature file from data strictly before `as_of`; rows for each.

    Raises:
        SourceError: there are no validated orders.
        ConfigError: the shop prices by zone, and its orders have none.
        EmptyHistory: nothing before the cut-off is whole, or no sku sold often enough.
        LeakageError: a feature row would be known only after the cut-off.
    """
    with _duckdb(params, settings) as con:
        tables = _read(con, settings.validated, params.shop.by_zone)
        calendar, features = _features(con, tables, params, as_of)
        with atomic_dir(settings.features) as folder:
            rows = {
                name: _write(con, name, features[name](), folder, calendar) for name in SORTED_BY
            }
            write_json(folder / "manifest.json", _manifest(calendar, rows, params.shop.by_zone))
    lineage.record(settings.features, settings)
    write_json(settings.report("featurize"), rows)
    return rows


@contextmanager
def _duckdb(params: Params, settings: Settings) -> Iterator[Backend]:
    import ibis

    spill = settings.state / "spill"
    spill.mkdir(parents=True, exist_ok=True)
    con = ibis.duckdb.connect(
        memory_limit=params.featurize.memory_limit,
        threads=params.featurize.threads,
        temp_directory=str(spill),
    )
    try:
        yield con
    finally:
        con.disconnect()
        shutil.rmtree(spill, ignore_errors=True)


def _read(con: Backend, validated: Path, by_zone: bool) -> Tables:
    from pricebook.features import Tables

    if not (validated / "orders.parquet").exists():
        raise SourceError(f"No validated orders; run `pricebook validate`. Received: {validated}")
    given = {
        name: con.read_parquet(validated / f"{name}.parquet", table_name=f"validated_{name}")
        for name in ("orders", *WITHOUT)
        if (validated / f"{name}.parquet").exists()
    }
    for name in WITHOUT.keys() - given.keys():
        log.warning("No %s table: %s.", name, WITHOUT[name])
    columns = set(given["orders"].columns)
    for column in WITHOUT_COLUMN.keys() - columns:
        log.warning("Orders have no %s: %s.", column, WITHOUT_COLUMN[column])
    if by_zone and "zone" not in columns:
        raise ConfigError(f"shop.by_zone needs a zone in orders. Received: {sorted(columns)}")
    return Tables.of(given)


def _features(
    con: Backend, tables: Tables, params: Params, as_of: date
) -> tuple[Calendar, dict[str, Callable[[], ir.Table]]]:
    """The feature tables by name, each built when called; what they share is kept in DuckDB."""
    from pricebook import features as f

    shop, periods = params.shop, params.featurize.reference_periods
    dated = _keep(con, "dated", f.dated(tables.orders, shop, as_of))
    calendar = _calendar(f.trading_days(dated), params, as_of)
    lines = _keep(con, "lines", f.sold(dated, tables.products, shop))
    sales = _keep(con, "sales", f.period_sales(lines))
    series = _series(con, sales, calendar, params)
    around = _keep(con, "around", f.context(tables, series, calendar, shop))
    cells = _keep(con, "cells", f.panel(sales, series, around, calendar))
    seen = f.observed(lines, tables.products, tables.customers, calendar)
    seen = _keep(con, "seen", seen)
    people = f.with_segment(seen, f.learn_habits(seen, calendar))
    by_segment = _keep(con, "by_segment", f.segment_panel(lines, cells, people, calendar))
    book = f.Book(tables, lines, sales, series, calendar, shop, params.costs)
    return calendar, {
        "sku_period": lambda: f.sku_period(cells, calendar),
        "sku": lambda: f.sku(cells, tables.products, calendar, periods),
        "sku_segment": lambda: f.sku_segment(by_segment, calendar),
        "shopper": lambda: f.shopper(people, calendar),
        "segment_period": lambda: f.segment_period(by_segment, calendar),
        "price_book": lambda: f.price_book(book, periods),
    }


def _keep(con: Backend, name: str, table: ir.Table) -> ir.Table:
    """Compute a table now, into DuckDB's own (spillable) storage."""
    return con.create_table(name, table, temp=True)


def _calendar(trading: ir.Table, params: Params, as_of: date) -> Calendar:
    from pricebook.features import Calendar, whole_periods

    rows = trading.to_pyarrow().to_pylist()
    if not rows:
        raise EmptyHistory(f"There are no orders before the cut-off. Received: as_of {as_of}")
    shop = params.shop
    periods = whole_periods({row["period"]: row["days"] for row in rows}, shop.grain, as_of)
    opened = min(row["opened"] for row in rows)
    partial = sorted({row["period"] for row in rows} - set(periods))
    log.info("%d whole %ss, %s to %s.", len(periods), shop.grain, periods[0], periods[-1])
    if partial:
        left_out = ", ".join(map(str, partial))
        log.warning("Left out as partial: the %s of %s.", shop.grain, left_out)
    return Calendar(shop.grain, shop.timezone, as_of, opened, periods)


def _series(con: Backend, sales: ir.Table, calendar: Calendar, params: Params) -> ir.Table:
    from pricebook.features import modelled

    enough = params.featurize.min_periods
    series = _keep(con, "series", modelled(sales, calendar, enough))
    found = _count(series)
    if not found:
        skus = int(sales.sku.nunique().execute())
        raise EmptyHistory(
            f"No sku has sales in {enough} of the {len(calendar.periods)} whole periods; "
            f"lower featurize.min_periods. Received: sales of {skus:,} skus"
        )
    log.info("%s series are modelled: steady (%d periods) or seasonal.", f"{found:,}", enough)
    return series


def _count(table: ir.Table) -> int:
    return int(table.count().execute())


def _write(con: Backend, name: str, table: ir.Table, folder: Path, calendar: Calendar) -> int:
    """Write a feature file straight from DuckDB, sorted; its rows.

    Raises:
        LeakageError: a row has an event_timestamp after the cut-off.
    """
    path = folder / f"{name}.parquet"
    con.to_parquet(table.order_by(*SORTED_BY[name]), path, compression="zstd")
    written = con.read_parquet(path, table_name=f"written_{name}")
    if "event_timestamp" in written.columns:
        refuse_future(name, written.event_timestamp.max().to_pyarrow().as_py(), calendar.cutoff)
    rows = _count(written)
    log.info("%s: %s rows.", name, f"{rows:,}")
    return rows


def refuse_future(name: str, latest: datetime | None, cutoff: datetime) -> None:
    """Raise a LeakageError if the latest event_timestamp of a table is after the cut-off."""
    if latest is not None and latest > cutoff:
        raise LeakageError(
            f"{name}: a row is known only after the cut-off {cutoff.isoformat()}. "
            f"Received: event_timestamp {latest.isoformat()}"
        )


def _manifest(calendar: Calendar, rows: dict[str, int], by_zone: bool) -> dict[str, Any]:
    periods = len(calendar.periods)
    return {
        "as_of": calendar.as_of,
        "cutoff": calendar.cutoff.isoformat(),
        "timezone": calendar.timezone,
        "grain": calendar.grain,
        "by_zone": by_zone,
        "first_period": calendar.periods[0],
        "last_period": calendar.periods[-1],
        "series": rows["sku_period"] // periods,
        "periods": periods,
        "rows": rows,
    }
