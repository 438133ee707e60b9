"""The quote log: every quote as one JSON line, with what it was decided from, appended for good."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic_core import to_json


class Journal:
    """Appends to one file a day (UTC). Lines of one call are written at once, and stay together."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._path: Path | None = None
        self._descriptor = -1

    def append(self, entries: Iterable[Mapping[str, Any]], at: datetime) -> None:
        """Write entries of an instant.

        Raises:
            OSError: the disk refuses.
        """
        self._open(self.folder / f"quotes-{at:%Y-%m-%d}.jsonl")
        os.write(
            self._descriptor,
            b"".join(to_json(entry, inf_nan_mode="null") + b"\n" for entry in entries),
        )

    def _open(self, path: Path) -> None:
        if path == self._path:
            return
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
        self._path = path
