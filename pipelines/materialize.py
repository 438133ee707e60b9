"""materialize: the latest features of active skus and shoppers → the online store.

It also writes the price list, which the price service quotes from until there is a champion.
"""

from __future__ import annotations

import logging
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.bundle import write_price_list
from pipelines.feature_store import KEYS, open_store, pushed_keys_file, register
from pricebook.config import Params, Settings, cutoff
from pricebook.errors import EmptyHistory
from pricebook.feature_store import store_folder
from pricebook.files import atomic_path, write_json

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd
    from feast import FeatureStore

log = logging.getLogger("pricebook.materialize")

PERIOD_DAYS = {"day": 1, "week": 7, "month": 31}


def materialize(as_of: date, params: Params, settings: Settings) -> dict[str, int]:
    """Push the latest features known at `as_of` to the online store, and write the price list.

    A sku or shopper without a sale in the last `materialize.active_periods` is not pushed. If an
    earlier run pushed it, this one overwrites its features with nulls, so that the service never
    reads stale ones.

    Returns:
        the number of keys pushed to each view.

    Raises:
        EmptyHistory: there are no feature files, or no row in them was known at the cut-off.
    """
    if not (settings.features / "manifest.json").exists():
        raise EmptyHistory(f"No features; run `pricebook featurize`. Received: {settings.features}")
    write_price_list(as_of, params, settings)  # first: it does not depend on the online store
    store = open_store(settings)
    register(store, settings)
    instant = cutoff(as_of, params.shop.timezone)
    active = _active(settings.features, params, instant)
    pushed = {view: _push(store, view, settings, active[view], instant) for view in KEYS}
    write_json(settings.report("materialize"), pushed)
    return pushed


def _active(features: Path, params: Params, instant: datetime) -> dict[str, pd.DataFrame]:
    """The latest rows of each view, of skus and shoppers with a sale in the last periods."""
    import ibis

    con = ibis.duckdb.connect()
    latest = {view: _latest(con, features, view, instant) for view in KEYS}
    if not latest["sku"].count().execute():
        con.disconnect()
        raise EmptyHistory(
            f"{features} has no feature known at the cut-off. Received: {instant.isoformat()}"
        )
    periods = params.materialize.active_periods
    sku, shopper = latest["sku"], latest["shopper"]
    sku = sku.filter(sku.periods_since_sale < periods)
    latest |= {
        view: latest[view].semi_join(sku, ["sku", "zone"]) for view in KEYS if view != "shopper"
    }
    days = periods * PERIOD_DAYS[params.shop.grain]
    latest["shopper"] = shopper.filter(shopper.recency_days <= days)
    tables = {view: table.to_pyarrow() for view, table in latest.items()}
    con.disconnect()
    return {view: rows.to_pandas(types_mapper=_nullable) for view, rows in tables.items()}


def _latest(con: Any, features: Path, view: str, instant: datetime) -> ir.Table:
    """The last row of each key of a view that was known at an instant."""
    import ibis

    rows = con.read_parquet(features / f"{view}.parquet", table_name=view)
    rows = rows.filter(rows.event_timestamp <= ibis.literal(instant, type="timestamp('UTC', 6)"))
    order = ibis.window(group_by=list(KEYS[view]), order_by=ibis.desc("event_timestamp"))
    rows = rows.mutate(_rank=ibis.row_number().over(order))
    return rows.filter(rows["_rank"] == 0).drop("_rank")


def _nullable(kind: Any) -> Any:
    """The pandas type that keeps integers and booleans with nulls as they are."""
    import pandas as pd
    import pyarrow as pa

    return {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get(kind)


def _push(
    store: FeatureStore, view: str, settings: Settings, rows: pd.DataFrame, instant: datetime
) -> int:
    """Write a view's rows, and nulls for the keys of earlier runs that are not among them."""
    import pandas as pd

    record = pushed_keys_file(store_folder(settings), view)
    keys = rows[list(KEYS[view])]
    before = pd.read_parquet(record) if record.exists() else keys.iloc[:0]
    both = pd.concat([before, keys]).drop_duplicates()
    # First the keys of both runs: if this run is killed, the next one still retires all of them.
    _write_keys(record, both)
    marked = both.merge(keys, how="left", indicator=True)
    retired = marked.loc[marked["_merge"] == "left_only", list(keys)]
    if rows.empty and retired.empty:
        log.warning("%s: no key is active; nothing pushed.", view)
        return 0
    retired = retired.assign(event_timestamp=instant, created_timestamp=instant)
    _write(store, view, rows, retired)
    _write_keys(record, keys)
    log.info("%s: %s keys pushed, %s retired.", view, f"{len(rows):,}", f"{len(retired):,}")
    return len(rows)


def _write(store: FeatureStore, view: str, rows: pd.DataFrame, retired: pd.DataFrame) -> None:
    """Write rows, and retired keys with null features."""
    import pandas as pd

    if len(rows):
        retired = retired.astype(rows.dtypes[retired.columns])
        store.write_to_online_store(view, pd.concat([rows, retired]))
        return
    # write_to_online_store skips a frame without any feature value. Call its provider instead.
    nulls = retired.reindex(columns=rows.columns).astype(object)
    nulls = nulls.where(nulls.notna(), None)
    store._get_provider().ingest_df(store.get_feature_view(view), nulls)


def _write_keys(path: Path, keys: pd.DataFrame) -> None:
    with atomic_path(path) as partial:
        keys.to_parquet(partial, index=False)
