"""Atomic writes: a reader never sees half-written content.

A file or folder is written under a temporary name in the same folder, and then renamed. A rename
replaces a file at once. A folder takes two renames; a reader in between finds no folder.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pricebook.errors import DamagedFile


def _temporary_path(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path. It is renamed to `path` on success and removed on failure."""
    partial = _temporary_path(path)
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def atomic_dir(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder. It replaces `path` on success and is removed on failure.

    Temporary folders of killed runs are removed first.
    """
    for leftover in path.parent.glob(f".{path.name}.*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)
    partial, old = _temporary_path(path), _temporary_path(path)
    partial.mkdir()
    try:
        yield partial
        if path.exists():  # a rename cannot replace a folder with content
            path.rename(old)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    with atomic_path(path) as partial:
        partial.write_text(json.dumps(value, indent=2, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DamagedFile: the file is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise DamagedFile(
            f"{path} is damaged. Delete it, then run the stage that writes it. Received: {error}"
        ) from None
