"""Feature parity: the offline and the online store must give the same values for the same keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from math import inf, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.materialize import SERVICES, online_rows, store_timezone, training_frame
from pricebook.config import cutoff
from pricebook.errors import EmptyHistory

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore


@dataclass(frozen=True)
class Comparison:
    """How many values were compared, and which differ: what it is, and by how much."""

    compared: int = 0
    gaps: dict[str, float] = field(default_factory=dict)

    def __add__(self, other: Comparison) -> Comparison:
        return Comparison(self.compared + other.compared, {**self.gaps, **other.gaps})

    def as_dict(self) -> dict[str, Any]:
        """compared, mismatched (sorted) and max_abs_diff (of numbers)."""
        largest = max((gap for gap in self.gaps.values() if gap < inf), default=0.0)
        return {
            "compared": self.compared,
            "mismatched": sorted(self.gaps),
            "max_abs_diff": largest,
        }


def compare(
    service: str, keys: list[str], offline: pd.DataFrame, online: Sequence[dict[str, Any]]
) -> Comparison:
    """Every feature both have, key by key; a value only one of them has is a difference."""
    expected = {_key(row, keys): row for row in offline.to_dict("records")}
    found = Comparison()
    for row in online:
        key = _key(row, keys)
        features = expected[key].keys() & row.keys() - set(keys)
        gaps = {
            f"{service}:{name} of {' '.join(key)}: {expected[key][name]!r} != {row[name]!r}": gap
            for name in features
            if (gap := distance(expected[key][name], row[name]))
        }
        found += Comparison(len(features), gaps)
    return found


def _key(row: dict[str, Any], keys: list[str]) -> tuple[str, ...]:
    return tuple(str(row[key]) for key in keys)


def distance(one: Any, other: Any) -> float:
    """0 if two values are the same; else their difference, infinite if they are not numbers.

    >>> distance(1, 1.5), distance(None, float("nan")), distance("a", None)
    (0.5, 0.0, inf)
    """
    a, b = plain(one), plain(other)
    if a == b:
        return 0.0
    both_numbers = isinstance(a, int | float) and isinstance(b, int | float)
    return float(abs(a - b)) if both_numbers else inf


def plain(value: Any) -> Any:
    """A value without the null and array types of the store it came from."""
    value = value.tolist() if hasattr(value, "tolist") else value
    missing = (isinstance(value, float) and isnan(value)) or str(value) in ("NaT", "<NA>")
    return None if missing else value


def parity(store: FeatureStore, as_of: date, sample: int, seed: int) -> dict[str, Any]:
    """Offline features at the cut-off against what is served online, for a sample of keys.

    Returns:
        compared: values compared; mismatched: "service feature key: offline, online" of those that
        differ; max_abs_diff: the largest difference between two numbers.
    """
    instant = cutoff(as_of, store_timezone(store))
    folder = Path(str(store.config.repo_path))
    found = Comparison()
    for service in SERVICES:
        keys = _sampled_keys(folder, service, sample, seed)
        offline = training_frame(store, service, keys.assign(event_timestamp=instant))
        online = online_rows(store, service, keys.to_dict("records"))
        found += compare(service, list(keys.columns), offline, online)
    return found.as_dict()


def _sampled_keys(folder: Path, service: str, sample: int, seed: int) -> pd.DataFrame:
    import pandas as pd

    found = []
    for view in SERVICES[service]:
        record = folder / f"{view}.pushed.parquet"
        if not record.exists():
            raise EmptyHistory(f"Nothing was materialized. Received: no {record}")
        keys = pd.read_parquet(record)
        found.append(keys.sample(min(sample, len(keys)), random_state=seed, ignore_index=True))
    return pd.concat(found, axis=1, join="inner")
