"""featurize: validated tables → point-in-time feature files.

DuckDB does the work. What does not fit in `featurize.memory_limit` spills to disk. All files are
replaced at once, so a reader never sees a mix of two runs.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines import lineage
from pricebook.config import Params, Settings, Shop
from pricebook.errors import ConfigError, EmptyHistory, LeakageError, SourceError
from pricebook.files import atomic_dir, write_json

if TYPE_CHECKING:
    import ibis.expr.types as ir
    from ibis.backends.duckdb import Backend

    from pricebook.features import Calendar, Tables

log = logging.getLogger("pricebook.featurize")

MIN_PERIODS, MIN_SHARE = 40, 0.75  # with sales, that a modelled series needs; of all periods

# What a shop loses without an optional table or column; logged as a warning.
WITHOUT_TABLE = {
    "products": "skus have no department, category or cost, and no department is excluded",
    "promotions": "display, mailer and promotion are 0, and deals are inferred from prices",
    "customers": "consent is unknown",
    "prices": "list prices come from products or orders",
    "inventory": "every sku counts as on hand",
    "competitor_prices": "there is no competitor price",
}
WITHOUT_COLUMN = {
    "customer_id": "there are no shopper and segment features",
    "list_amount": "discounts are unknown and the list price is the highest price so far",
}
SORTED_BY = {
    "sku_period": ("sku", "zone", "period"),
    "sku": ("sku", "zone", "period"),
    "sku_segment": ("sku", "zone", "segment", "event_timestamp"),
    "shopper": ("customer_id", "event_timestamp"),
    "segment_period": ("sku", "zone", "segment", "period"),
    "half_period": ("sku", "zone", "period"),
    "price_book": ("sku", "zone"),
}


def featurize(as_of: date, params: Params, settings: Settings) -> dict[str, int]:
    """Build every feature file from data strictly before `as_of`.

    Returns:
        rows of each file.

    Raises:
        SourceError: there are no validated orders, or a validated file is not Parquet.
        ConfigError: the shop prices by zone, and its orders have no zone; or the features do not
            fit in `featurize.memory_limit`, even with what spills to disk.
        EmptyHistory: no period before the cut-off is whole, or no sku sold in enough periods.
        LeakageError: a feature row would be known only after the cut-off.
    """
    with _duckdb(params, settings) as con:
        tables = _read(con, settings.validated, params.shop.by_zone)
        build = _build(con, tables, params, as_of)
        with atomic_dir(settings.features) as folder:
            rows = {
                name: _write(con, name, build.tables[name](), folder, build.calendar)
                for name in SORTED_BY
            }
            write_json(folder / "manifest.json", _manifest(build, rows, params.shop.by_zone))
    lineage.record(settings.features, settings)
    write_json(settings.report("featurize"), rows)
    return rows


@contextmanager
def _duckdb(params: Params, settings: Settings) -> Iterator[Backend]:
    """Open DuckDB, and name the setting that helps where its own errors do not."""
    import duckdb
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
    except duckdb.OutOfMemoryException:
        limit = params.featurize.memory_limit
        raise ConfigError(f"featurize.memory_limit is too low. Received: {limit}") from None
    except (duckdb.ConversionException, duckdb.OutOfRangeException) as error:
        cause = str(error).splitlines()[0]
        raise SourceError(
            "A sum of quantities or amounts in orders is too large for 64 bits; set "
            f"shop.max_quantity. Received: {cause}"
        ) from None
    finally:
        con.disconnect()
        shutil.rmtree(spill, ignore_errors=True)


def _read(con: Backend, validated: Path, by_zone: bool) -> Tables:
    from pricebook.features import Tables

    if not (validated / "orders.parquet").exists():
        raise SourceError(f"No validated orders; run `pricebook validate`. Received: {validated}")
    tables = {
        name: _open(con, validated / f"{name}.parquet")
        for name in ("orders", *WITHOUT_TABLE)
        if (validated / f"{name}.parquet").exists()
    }
    for name in WITHOUT_TABLE.keys() - tables.keys():
        log.warning("No %s table: %s.", name, WITHOUT_TABLE[name])
    columns = set(tables["orders"].columns)
    for column in WITHOUT_COLUMN.keys() - columns:
        log.warning("Orders have no %s: %s.", column, WITHOUT_COLUMN[column])
    if by_zone and "zone" not in columns:
        raise ConfigError(f"shop.by_zone needs a zone in orders. Received: {sorted(columns)}")
    return Tables.from_mapping(tables)


def _open(con: Backend, path: Path) -> ir.Table:
    import duckdb

    try:
        return con.read_parquet(path, table_name=f"validated_{path.stem}")
    except duckdb.Error as error:
        cause = str(error).splitlines()[0]
        raise SourceError(f"{path.stem} is not a Parquet file: {cause}. Received: {path}") from None


@dataclass(frozen=True)
class _Build:
    """The feature tables by name, each computed when called.

    Attributes:
        calendar: the periods of the features.
        tables: file name: a function that returns the table to write.
        net_returns: the rows (series and periods) with more units returned than sold, and their
            units.
    """

    calendar: Calendar
    tables: Mapping[str, Callable[[], ir.Table]]
    net_returns: Mapping[str, int]


def _build(con: Backend, tables: Tables, params: Params, as_of: date) -> _Build:
    """Compute the tables that features share in DuckDB, and prepare the features themselves."""
    from pricebook import features as f

    shop, periods = params.shop, params.featurize.reference_periods
    lines = _compute(con, "all_lines", f.order_lines(tables.orders, shop, as_of))
    calendar = _calendar(f.trading_days(lines), params, as_of)
    lines = _compute(con, "lines", f.exclude_departments(lines, tables.products, shop))
    sales = _compute(con, "sales", f.period_sales(lines))
    series = _series(con, sales, calendar, params)
    context = _compute(con, "context", f.context(tables, series, calendar, shop))
    cells = _compute(con, "cells", f.panel(sales, series, context, calendar))
    shoppers = f.shopper_snapshots(lines, tables.products, tables.customers, calendar)
    shoppers = _compute(con, "shoppers", shoppers)
    shoppers = f.with_segment(shoppers, f.learn_segments(shoppers, calendar))
    by_segment = f.segment_panel(lines, cells, shoppers, calendar)
    by_segment = _compute(con, "by_segment", by_segment)
    halved_by = f.halved_by(lines, shop)
    book = f.BookInputs(tables, lines, sales, series, calendar, shop, params.costs)
    features = {
        "sku_period": lambda: f.sku_period(cells, calendar),
        "sku": lambda: f.sku(cells, tables.products, calendar, periods),
        "sku_segment": lambda: f.sku_segment(by_segment, calendar),
        "shopper": lambda: f.shopper(shoppers, calendar),
        "segment_period": lambda: f.segment_period(by_segment, calendar),
        "half_period": lambda: f.half_period(lines, series, calendar, halved_by),
        "price_book": lambda: f.price_book(book, periods),
    }
    return _Build(calendar, features, _net_returns(f.net_returns(sales, series, calendar), shop))


def _net_returns(returned: ir.Table, shop: Shop) -> dict[str, int]:
    """Count the periods with more units returned than sold, and log them if there are any."""
    total = returned.agg(rows=returned.count(), units=-returned.units.sum().fill_null(0))
    counts = {name: int(value) for name, value in total.to_pyarrow().to_pylist()[0].items()}
    if counts["rows"]:
        log.warning(
            "More units returned than sold in %s rows (a series in a %s), %s units net: "
            "the demand of these rows is 0.",
            f"{counts['rows']:,}",
            shop.grain,
            f"{counts['units']:,}",
        )
    return counts


def _compute(con: Backend, name: str, table: ir.Table) -> ir.Table:
    """Compute a table now, into DuckDB's own storage, which can spill to disk."""
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
    from pricebook.features import modelled_series, most_periods

    periods, most = len(calendar.periods), int(most_periods(sales, calendar).execute() or 0)
    enough = params.featurize.min_periods or _enough_periods(periods, most)
    series = _compute(con, "series", modelled_series(sales, calendar, enough))
    count = _count(series)
    if not count:
        skus = int(sales.sku.nunique().execute())
        advice = f"lower featurize.min_periods to {most} or less" if most else "none has any"
        raise EmptyHistory(
            f"No sku has sales in {enough} of the {periods} whole periods; {advice}. "
            f"Received: sales of {skus:,} skus"
        )
    log.info("%s series are modelled: steady (%d periods) or seasonal.", f"{count:,}", enough)
    return series


def _enough_periods(periods: int, most: int) -> int:
    """The periods with sales that a modelled series needs, where params do not say.

    It is `MIN_PERIODS`, lowered for a shop with a shorter history.

    Args:
        periods: whole periods of the shop.
        most: the periods with sales of the series that has most of them.
    """
    enough = max(1, min(MIN_PERIODS, math.ceil(MIN_SHARE * periods), most))
    if enough < MIN_PERIODS:
        log.warning(
            "A short history (%d periods): a series is modelled with sales in %d of them instead "
            "of %d. featurize.min_periods sets another number.",
            periods,
            enough,
            MIN_PERIODS,
        )
    return enough


def _count(table: ir.Table) -> int:
    return int(table.count().execute())


def _write(con: Backend, name: str, table: ir.Table, folder: Path, calendar: Calendar) -> int:
    """Write a feature file from DuckDB, sorted, and return its number of rows.

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


def _manifest(build: _Build, rows: dict[str, int], by_zone: bool) -> dict[str, Any]:
    """What the files hold. `net_returns` is present only if there are any."""
    calendar, returned = build.calendar, build.net_returns
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
        **({"net_returns": dict(returned)} if returned["rows"] else {}),
    }
