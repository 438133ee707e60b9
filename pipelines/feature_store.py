"""The feature store of a home: opens it, and reads features from it.

`training_frame` joins features point in time for training; `online_rows` reads the latest ones.
"""

from __future__ import annotations

import runpy
import tempfile
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pricebook.config import REPO_ROOT, Settings
from pricebook.errors import LeakageError
from pricebook.feature_store import (
    online_settings,
    quick_feast_import,
    registry_settings,
    store_folder,
)
from pricebook.files import read_json

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureService, FeatureStore

JOIN_MEMORY = "600MB"  # of a historical join; DuckDB spills to disk above it

# The keys of each view that materialize pushes.
KEYS = {
    "sku_period": ("sku", "zone"),
    "sku": ("sku", "zone"),
    "sku_segment": ("sku", "zone", "segment"),
    "shopper": ("customer_id",),
}
LIVE = ("sku_live", "shopper_live")  # views that the price service pushes
# The views whose keys together are the keys of a feature service.
SERVICES = {
    "demand": ("sku_period",),
    "response": ("sku_segment",),
    "quote": ("sku", "shopper"),
}


def open_store(settings: Settings) -> FeatureStore:
    """Open the feature store of a home.

    Registers its views if the registry has none, lacks one, or belongs to another home.
    """
    with quick_feast_import():
        from feast import FeatureStore

    # Ibis calls a deprecated DuckDB method. We cannot change that, and the warning fills the logs.
    warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)
    store_folder(settings).mkdir(parents=True, exist_ok=True)
    store = FeatureStore(config=_config(settings))
    if not _is_registered(store, settings):
        register(store, settings)
    return store


def _is_registered(store: FeatureStore, settings: Settings) -> bool:
    sources: list[Any] = store.list_data_sources()
    paths = [source.path for source in sources if source.name == "sku_period_file"]
    views = {view.name for view in store.list_feature_views()}
    complete = views.issuperset([*KEYS, *LIVE]) and bool(store.list_feature_services())
    return complete and paths == [str(settings.features / "sku_period.parquet")]


def register(store: FeatureStore, settings: Settings) -> None:
    """Register entities, views and services over the feature files of a home."""
    definitions = feature_repo()["definitions"]
    store.apply(list(definitions(settings.features).values()))


def feature_repo() -> dict[str, Any]:
    """The names that feature_repo/definitions.py defines. It is run by path, as Feast runs it."""
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


def training_frame(
    store: FeatureStore,
    service: str,
    entity_df: pd.DataFrame,
    views: Collection[str] | None = None,
) -> pd.DataFrame:
    """The features of a service for each entity row, as known at its event_timestamp.

    The join uses event_timestamp, the instant from which a row is known. All rows of the feature
    files are created at one cut-off, because featurize rebuilds the files. If every entity row is
    at or after that cut-off, the join also leaves out rows created later.

    Args:
        entity_df: the keys of the service, event_timestamp (UTC), and other columns to keep.
        views: read only these views of the service; default: all.

    Raises:
        LeakageError: the join returned a row known only after the event_timestamp of its entity.
    """
    created = datetime.fromisoformat(_manifest(store)["cutoff"])
    after = bool((entity_df["event_timestamp"] >= created).all())
    with _bounded_joins():
        frame: pd.DataFrame = store.get_historical_features(
            entity_df=entity_df,
            features=_features(store, service, views),
            filter_by_created_timestamp=after,
        ).to_df()
    known_at = [column for column in frame.columns if column.endswith("_at")]
    for column in known_at:
        _refuse_future(frame, column)
    return frame.drop(columns=known_at)


@contextmanager
def _bounded_joins() -> Iterator[None]:
    """Limit the memory of Feast's joins, which run in the default backend of Ibis.

    Each process spills to its own folder, because two trainings may join at the same time.
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
            f"{len(late)} rows have features known only after their event_timestamp, "
            f"{row['event_timestamp']}. Received: {column} {row[column]}"
        )


def _manifest(store: FeatureStore) -> dict[str, Any]:
    """The manifest of the feature files that the store reads."""
    source: Any = store.get_feature_view("sku_period").batch_source
    manifest: dict[str, Any] = read_json(Path(source.path).parent / "manifest.json")
    return manifest


def _features(
    store: FeatureStore, service: str, views: Collection[str] | None
) -> FeatureService | list[str]:
    """A feature service, or the names of its features in some of its views."""
    every = store.get_feature_service(service)
    if views is None:
        return every
    projections = [part for part in every.feature_view_projections if part.name in views]
    return [f"{part.name}:{feature.name}" for part in projections for feature in part.features]


def online_rows(
    store: FeatureStore,
    service: str,
    entity_rows: Sequence[dict[str, str]],
    views: Collection[str] | None = None,
) -> list[dict[str, Any]]:
    """The features of a service in the online store, for each entity row; null if there are none.

    `views` limits them to some views of the service.
    """
    features = _features(store, service, views)
    columns = store.get_online_features(features=features, entity_rows=list(entity_rows)).to_dict()
    return [{name: columns[name][n] for name in columns} for n in range(len(entity_rows))]


def store_timezone(store: FeatureStore) -> str:
    """The time zone of the shop when its features were built."""
    return str(_manifest(store)["timezone"])


def pushed_keys_file(folder: Path, view: str) -> Path:
    """The file in the folder of the feature store with the keys that are online in a view."""
    return folder / f"{view}.pushed.parquet"
