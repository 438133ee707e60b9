"""The panel: every series and period before a cut-off, with its features as known at the time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from pricebook.config import REPO_ROOT, Params, Settings, cutoff
from pricebook.errors import EmptyHistory
from pricebook.files import atomic_path

if TYPE_CHECKING:
    import pandas as pd

DEFINITIONS = REPO_ROOT / "feature_repo" / "definitions.py"
FILES = ("sku_period.parquet", "sku.parquet", "manifest.json")
HALVES_FILE = "half_period.parquet"  # absent in homes made by an earlier version
KEY = ["sku", "zone", "period"]
HALVES = ["units_a", "price_a", "units_b", "price_b"]


def panel(as_of: date, params: Params, settings: Settings) -> pd.DataFrame:
    """Join the series before `as_of` point in time, through the feature store.

    The join takes seconds and four stages need it. Its result is stored in the home under
    `panel_version`, so only the first stage runs it.

    Returns:
        one row per series and period, with the columns of the views `sku_period` and `sku`, and
        those of `with_halves`.

    Raises:
        LeakageError: a row was known only at or after the cut-off.
        EmptyHistory: there are no features, or none before the cut-off.
    """
    import pandas as pd

    file = _folder(settings) / f"{panel_version(as_of, params, settings)}.parquet"
    try:
        return pd.read_parquet(file)
    except FileNotFoundError:
        frame = _join(as_of, params, settings)
    with atomic_path(file) as partial:
        frame.to_parquet(partial, index=False)
    for other in set(_folder(settings).glob("*.parquet")) - {file}:
        other.unlink(missing_ok=True)
    return frame


def read_features(
    name: str, settings: Settings, columns: Sequence[str] | None = None
) -> pd.DataFrame:
    """A table that `featurize` wrote.

    Raises:
        EmptyHistory: there is none.
    """
    import pandas as pd

    path = settings.features / f"{name}.parquet"
    try:
        return pd.read_parquet(path, columns=columns)
    except FileNotFoundError:
        raise _no_features(path) from None


def _no_features(path: Path) -> EmptyHistory:
    return EmptyHistory(f"No features. Run `pricebook featurize`. Received: {path} is missing")


def panel_version(as_of: date, params: Params, settings: Settings) -> str:
    """A digest of everything the panel is made from: files, definitions, cut-off and time zone.

    The files themselves are hashed, not the version that `featurize` recorded: a file edited since
    then gives another digest.

    Raises:
        EmptyHistory: there are no features.
    """
    digest = hashlib.md5(f"{as_of} {params.shop.timezone}".encode(), usedforsecurity=False)
    for path in (DEFINITIONS, *(settings.features / name for name in FILES)):
        digest.update(_md5(path))
    if (settings.features / HALVES_FILE).exists():
        digest.update(_md5(settings.features / HALVES_FILE))
    return digest.hexdigest()


def _md5(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").digest()
    except FileNotFoundError:
        raise _no_features(path) from None


def _folder(settings: Settings) -> Path:
    return settings.state / "panel"


def _join(as_of: date, params: Params, settings: Settings) -> pd.DataFrame:
    import pandas as pd

    from pipelines.feature_store import open_store, training_frame

    keys = ["sku", "zone", "period", "event_timestamp"]
    rows = read_features("sku_period", settings, keys)
    rows = rows[rows["event_timestamp"] <= cutoff(as_of, params.shop.timezone)]
    if rows.empty:
        raise EmptyHistory(
            f"{settings.features} has no period before the cut-off. Received: {as_of}"
        )
    frame = training_frame(open_store(settings), "demand", rows)
    frame["period"] = pd.to_datetime(frame["period"])
    return with_halves(frame, settings).sort_values(KEY, ignore_index=True)


def with_halves(rows: pd.DataFrame, settings: Settings) -> pd.DataFrame:
    """Add units and price of the two halves of the sales (`pricebook.features.halves`).

    They are known when the period of their row is, so a row gets no data from after its end.
    Features made by an earlier version have none. Then the rows stay as they are.
    """
    import pandas as pd

    path = settings.features / HALVES_FILE
    if not path.exists():
        return rows
    halves = pd.read_parquet(path, columns=[*KEY, *HALVES])
    halves["period"] = pd.to_datetime(halves["period"]).astype(rows["period"].dtype)
    return rows.merge(halves, on=KEY, how="left", validate="one_to_one")
