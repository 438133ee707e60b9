"""Feature parity: the offline and the online store must return the same values for a key."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from math import inf, isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.feature_store import (
    SERVICES,
    online_rows,
    pushed_keys_file,
    store_timezone,
    training_frame,
)
from pricebook.config import cutoff
from pricebook.errors import EmptyHistory

if TYPE_CHECKING:
    import pandas as pd
    from feast import FeatureStore


@dataclass(frozen=True)
class Comparison:
    """The result of comparing values of two stores.

    Attributes:
        compared: how many values were compared.
        differences: description of a value that differs: by how much.
        not_covered: views that could not be compared, and why.
    """

    compared: int = 0
    differences: dict[str, float] = field(default_factory=dict)
    not_covered: frozenset[str] = frozenset()

    def __add__(self, other: Comparison) -> Comparison:
        return Comparison(
            self.compared + other.compared,
            {**self.differences, **other.differences},
            self.not_covered | other.not_covered,
        )

    def as_dict(self) -> dict[str, Any]:
        """compared, mismatched (sorted), max_abs_diff (of numbers), not_covered (sorted)."""
        finite = (difference for difference in self.differences.values() if difference < inf)
        return {
            "compared": self.compared,
            "mismatched": sorted(self.differences),
            "max_abs_diff": max(finite, default=0.0),
            "not_covered": sorted(self.not_covered),
        }


def compare(
    service: str, keys: list[str], offline: pd.DataFrame, online: Sequence[dict[str, Any]]
) -> Comparison:
    """Compare every feature that both stores have, key by key.

    A value that only one of them has is a difference.
    """
    expected = {_key(row, keys): row for row in offline.to_dict("records")}
    result = Comparison()
    for row in online:
        key = _key(row, keys)
        features = expected[key].keys() & row.keys() - set(keys)
        differences = {
            f"{service}:{name} of {' '.join(key)}: {expected[key][name]!r} != {row[name]!r}": size
            for name in features
            if (size := distance(expected[key][name], row[name]))
        }
        result += Comparison(len(features), differences)
    return result


def _key(row: dict[str, Any], keys: list[str]) -> tuple[str, ...]:
    return tuple(str(row[key]) for key in keys)


def distance(first: Any, second: Any) -> float:
    """0 if two values are equal; else their difference, or infinity if they are not numbers.

    >>> distance(1, 1.5), distance(None, float("nan")), distance("a", None)
    (0.5, 0.0, inf)
    """
    a, b = plain(first), plain(second)
    if a == b:
        return 0.0
    both_numbers = isinstance(a, int | float) and isinstance(b, int | float)
    return float(abs(a - b)) if both_numbers else inf


def plain(value: Any) -> Any:
    """A value as a Python object, without the null and array types of its store."""
    value = value.tolist() if hasattr(value, "tolist") else value
    missing = (isinstance(value, float) and isnan(value)) or str(value) in ("NaT", "<NA>")
    return None if missing else value


def parity(store: FeatureStore, as_of: date, sample: int, seed: int) -> dict[str, Any]:
    """Compare offline features at the cut-off with the online store, for a sample of keys.

    A view without keys cannot be compared: a shop whose orders are anonymous has no shoppers and no
    segments. The other views are compared, and `not_covered` names the view.

    Returns:
        compared: the number of values; mismatched: "service:feature of key: offline != online" of
        each value that differs; max_abs_diff: the largest difference of two numbers; not_covered:
        the views without keys.

    Raises:
        EmptyHistory: nothing was materialized, or no view has a key.
    """
    parts = _compare_services(store, as_of, sample, seed)
    result = sum(parts, start=Comparison())
    if not result.compared:
        raise EmptyHistory(
            "No sku is active in the online store; refresh the home with newer orders, or raise "
            f"materialize.active_periods. Received: {', '.join(sorted(result.not_covered))}"
        )
    return result.as_dict()


def _compare_services(
    store: FeatureStore, as_of: date, sample: int, seed: int
) -> Iterator[Comparison]:
    import pandas as pd

    instant = cutoff(as_of, store_timezone(store))
    folder = Path(str(store.config.repo_path))
    for service, views in SERVICES.items():
        sampled = {view: _sample_keys(folder, view, sample, seed) for view in views}
        empty = [view for view, keys in sampled.items() if keys.empty]
        yield Comparison(not_covered=frozenset(f"{view}: no active keys" for view in empty))
        if len(empty) == len(views):
            continue
        covered = [view for view in views if view not in empty] if empty else None
        frames = [keys for view, keys in sampled.items() if view not in empty]
        keys = pd.concat(frames, axis=1, join="inner")
        at_cutoff = keys.assign(event_timestamp=instant)
        offline = training_frame(store, service, at_cutoff, covered)
        online = online_rows(store, service, keys.to_dict("records"), covered)
        yield compare(service, list(keys.columns), offline, online)


def _sample_keys(folder: Path, view: str, sample: int, seed: int) -> pd.DataFrame:
    import pandas as pd

    file = pushed_keys_file(folder, view)
    if not file.exists():
        raise EmptyHistory(f"Nothing was materialized. Received: no {file}")
    keys = pd.read_parquet(file)
    return keys.sample(min(sample, len(keys)), random_state=seed, ignore_index=True)
