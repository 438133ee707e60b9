"""materialize: the latest features of active skus and shoppers, pushed to the online store.

Also the one place that opens the feature store, joins it point in time for training, and compares
what it serves offline and online.
"""

from __future__ import annotations

import logging
import runpy
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pricebook.config import REPO_ROOT, Params, Settings, cutoff
from pricebook.errors import EmptyHistory, LeakageError
from pricebook.feature_store import (
    online_settings,
    quick_feast_import,
    registry_settings,
    store_folder,
)
from pricebook.files import atomic_path, read_json, write_json

if TYPE_CHECKING:
    import ibis.expr.types as ir
    import pandas as pd
    from feast import FeatureStore

log = logging.getLogger("pricebook.materialize")

JOIN_MEMORY = "600MB"  # of a historical join; beyond it, DuckDB spills to disk

KEYS = {
    "sku_period": ("sku", "zone"),
    "sku": ("sku", "zone"),
    "sku_segment": ("sku", "zone", "segment"),
    "shopper": ("customer_id",),
}
LIVE = ("sku_live", "shopper_live")  # pushed by the price service
SERVICES = {
    "demand": ("sku_period",),
    "response": ("sku_segment",),
    "quote": ("sku", "shopper"),
}
PERIOD_DAYS = {"day": 1, "week": 7, "month": 31}


def open_store(settings: Settings) -> FeatureStore:
    """The home's feature store; registered anew if it is another home's, or lacks a view."""
    with quick_feast_import():
        from feast import FeatureStore

    # Ibis calls a DuckDB method that says it will go; that is theirs to mend, and fills the logs.
    warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)
    store_folder(settings).mkdir(parents=True, exist_ok=True)
    store = FeatureStore(config=_config(settings))
    if not _is_registered(store, settings):
        register(store, settings)
    return store


def _is_registered(store: FeatureStore, settings: Settings) -> bool:
    every: list[Any] = store.list_data_sources()
    sources = [source for source in every if source.name == "sku_period_file"]
    wanted = str(settings.features / "sku_period.parquet")
    views = {view.name for view in store.list_feature_views()}
    complete = views.issuperset([*KEYS, *LIVE]) and bool(store.list_feature_services())
    return complete and [source.path for source in sources] == [wanted]


def register(store: FeatureStore, settings: Settings) -> None:
    """Register entities, views and services over this home's feature files."""
    definitions = feature_repo()["definitions"]
    store.apply(list(definitions(settings.features).values()))


def feature_repo() -> dict[str, Any]:
    """The names that feature_repo/definitions.py defines. Feast runs it by path, and so do we."""
    return runpy.run_path(str(REPO_ROOT / "feature_repo" / "definitions.py"))


def _config(settings: Settings) -> Any:
    from feast.repo_config import RepoConfig

    return RepoConfig(
        project="pricebook",
        provider="local",
        registry=registry_settings(settings),
        offline_store={"type": "duckdb"},
        online_store=online_settings(settings),
        entity_key_serialization_version=3,
        repo_path=store_folder(settings),
    )


def materialize(as_of: date, params: Params, settings: Settings) -> dict[str, int]:
    """Push the latest features known at `as_of`; the number of keys for each view.

    A sku or shopper idle for longer than `materialize.active_periods` is not pushed, and one that
    was pushed before and has gone idle since is pushed with nulls, so no stale figure is served.

    Raises:
        EmptyHistory: there are no feature files, or no row in them was known at the cut-off.
    """
    if not (settings.features / "manifest.json").exists():
        raise EmptyHistory(f"No features; run `pricebook featurize`. Received: {settings.features}")
    store = open_store(settings)
    register(store, settings)
    instant = cutoff(as_of, params.shop.timezone)
    active = _active(settings.features, params, instant)
    pushed = {view: _push(store, view, settings, active[view], instant) for view in KEYS}
    write_json(settings.report("materialize"), pushed)
    return pushed


def _active(features: Path, params: Params, instant: datetime) -> dict[str, pd.DataFrame]:
    """The latest row of each key that sold, or bought, in the last active periods."""
    import ibis

    con = ibis.duckdb.connect()
    latest = {view: _latest(con, features, view, instant) for view in KEYS}
    periods = params.materialize.active_periods
    sku, shopper = latest["sku"], latest["shopper"]
    sku = sku.filter(sku.periods_since_sale < periods)
    latest |= {
        view: latest[view].semi_join(sku, ["sku", "zone"]) for view in KEYS if view != "shopper"
    }
    days = periods * PERIOD_DAYS[params.shop.grain]
    latest["shopper"] = shopper.filter(shopper.recency_days <= days)
    found = {view: table.to_pyarrow() for view, table in latest.items()}
    con.disconnect()
    return {view: rows.to_pandas(types_mapper=_nullable) for view, rows in found.items()}


def _latest(con: Any, features: Path, view: str, instant: datetime) -> ir.Table:
    import ibis

    rows = con.read_parquet(features / f"{view}.parquet", table_name=view)
    rows = rows.filter(rows.event_timestamp <= ibis.literal(instant, type="timestamp('UTC', 6)"))
    order = ibis.window(group_by=list(KEYS[view]), order_by=ibis.desc("event_timestamp"))
    rows = rows.mutate(_rank=ibis.row_number().over(order))
    return rows.filter(rows["_rank"] == 0).drop("_rank")


def _nullable(kind: Any) -> Any:
    """Integers and booleans that may be null stay what they are."""
    import pandas as pd
    import pyarrow as pa

    return {pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}.get(kind)


def _push(
    store: FeatureStore, view: str, settings: Settings, rows: pd.DataFrame, instant: datetime
) -> int:
    """Write a view's rows, and nulls for the keys written before that are not among them."""
    import pandas as pd

    record = store_folder(settings) / f"{view}.pushed.parquet"
    keys = list(KEYS[view])
    before = pd.read_parquet(record) if record.exists() else rows[keys].iloc[:0]
    every = pd.concat([before, rows[keys]]).drop_duplicates()
    _write_keys(record, every)  # a killed run must not forget what it may have written
    retired = every.merge(rows[keys], how="left", indicator=True)
    retired = retired.loc[retired["_merge"] == "left_only", keys]
    retired = retired.assign(event_timestamp=instant, created_timestamp=instant)
    if rows.empty and retired.empty:
        log.warning("%s: no key is active; nothing pushed.", view)
        return 0
    store.write_to_online_store(
        view, pd.concat([rows, retired.astype(rows.dtypes[retired.columns])])
    )
    _write_keys(record, rows[keys])
    log.info("%s: %s keys pushed, %s retired.", view, f"{len(rows):,}", f"{len(retired):,}")
    return len(rows)


def _write_keys(path: Path, keys: pd.DataFrame) -> None:
    with atomic_path(path) as partial:
        keys.to_parquet(partial, index=False)


def training_frame(store: FeatureStore, service: str, entity_df: pd.DataFrame) -> pd.DataFrame:
    """The features of a service for each entity row, as known at its event_timestamp.

    Rows recorded after the instant asked for are left out wherever that can be told. Feature files
    are rebuilt whole, so all their rows are recorded at one cut-off: a join that asks only at or
    after it filters by that too; a join over the past relies on event_timestamp alone, which is
    when a row's last input was known.

    Args:
        entity_df: the service's keys, event_timestamp (UTC), and any other column to keep.

    Raises:
        LeakageError: the join gave a row known only after the instant asked for.
    """
    recorded = _manifest(store)["cutoff"]
    asked = entity_df["event_timestamp"]
    after = bool((asked >= datetime.fromisoformat(recorded)).all())
    with _bounded_joins():
        frame: pd.DataFrame = store.get_historical_features(
            entity_df=entity_df,
            features=store.get_feature_service(service),
            filter_by_created_timestamp=after,
        ).to_df()
    known_at = [column for column in frame.columns if column.endswith("_at")]
    for column in known_at:
        _refuse_future(frame, column)
    return frame.drop(columns=known_at)


@contextmanager
def _bounded_joins() -> Iterator[None]:
    """Feast joins in Ibis' default backend, which would else take what memory there is.

    Each process spills into a folder of its own: two trainings join side by side.
    """
    import ibis

    before = ibis.options.default_backend
    with tempfile.TemporaryDirectory(prefix="pricebook-spill-") as spill:
        backend = ibis.duckdb.connect(memory_limit=JOIN_MEMORY, temp_directory=spill)
        ibis.set_backend(backend)
        try:
            yield
        finally:
            ibis.options.default_backend = before
            backend.disconnect()


def _refuse_future(frame: pd.DataFrame, column: str) -> None:
    late = frame[frame[column] > frame["event_timestamp"]]
    if len(late):
        row = late.iloc[0]
        raise LeakageError(
            f"{len(late)} rows have features known only after the instant asked for, "
            f"{row['event_timestamp']}. Received: {column} {row[column]}"
        )


def _manifest(store: FeatureStore) -> dict[str, Any]:
    """The manifest beside the files the store reads."""
    source: Any = store.get_feature_view("sku_period").batch_source
    found: dict[str, Any] = read_json(Path(source.path).parent / "manifest.json")
    return found


def online_rows(
    store: FeatureStore, service: str, entity_rows: Sequence[dict[str, str]]
) -> list[dict[str, Any]]:
    """What the online store serves for each entity row; null where it has nothing."""
    features = store.get_feature_service(service)
    found = store.get_online_features(features=features, entity_rows=list(entity_rows)).to_dict()
    return [{name: found[name][n] for name in found} for n in range(len(entity_rows))]


def store_timezone(store: FeatureStore) -> str:
    """The shop's time zone, as the features were built with."""
    return str(_manifest(store)["timezone"])
