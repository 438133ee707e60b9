"""Feast's settings for the feature store of a home, shared by the stages and the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pricebook.config import Settings


@contextmanager
def quick_feast_import() -> Iterator[None]:
    """Import Feast inside this block, without its run-time type checks.

    Feast decorates its classes with typeguard, which parses and compiles every method again at
    each import: 2.5 of 3.6 s, in every task and service worker. The block makes that decorator do
    nothing. Mypy checks the types of our calls instead.
    """
    import typeguard

    original = typeguard.typechecked
    typeguard.typechecked = _unchanged
    try:
        yield
    finally:
        typeguard.typechecked = original


def _unchanged(target: Any = None, **_: Any) -> Any:
    """A decorator, used with or without arguments, that returns what it decorates."""
    return (lambda inner: inner) if target is None else target


def store_folder(settings: Settings) -> Path:
    return settings.state / "feast"


def registry_settings(settings: Settings) -> dict[str, Any]:
    """Feast's `registry` section: a file in the home, or a database by URL."""
    if settings.feast_registry_url:
        return {"registry_type": "sql", "path": settings.feast_registry_url}
    return {"path": str(store_folder(settings) / "registry.db"), "cache_ttl_seconds": 0}


def online_settings(settings: Settings) -> dict[str, Any]:
    """Feast's `online_store` section: SQLite in the home, or Redis by URL."""
    if settings.redis_url:
        return {"type": "redis", "connection_string": redis_address(settings.redis_url)}
    return {"type": "sqlite", "path": str(store_folder(settings) / "online.db")}


def redis_address(url: str) -> str:
    """A Redis URL in the format of Feast's `connection_string`.

    >>> redis_address("redis://:secret@cache:6380/2")
    'cache:6380,db=2,password=secret'
    """
    parts = urlsplit(url)
    address = [f"{parts.hostname}:{parts.port or 6379}"]
    if parts.path.strip("/"):
        address.append(f"db={parts.path.strip('/')}")
    if parts.password:
        address.append(f"password={parts.password}")
    return ",".join([*address, "ssl=true"] if parts.scheme == "rediss" else address)
