"""The kill switch: while its file is there, everything sells at its list price."""

from __future__ import annotations

import os
from pathlib import Path


class KillSwitch:
    """Looked at between requests (`TtlCache`), so that it acts at once in every worker."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)

    def __call__(self) -> str | None:
        """Why it is on, or None."""
        if not os.path.exists(self._path):  # noqa: PTH110
            return None
        try:
            with open(self._path, errors="replace") as file:  # noqa: PTH123 (a Path costs more than the look)
                return file.read(200).strip() or "switched off"
        except FileNotFoundError:
            return None
        except OSError:
            return "the kill switch cannot be read"
