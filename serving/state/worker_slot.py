"""The number of a worker process among those of its home, held by a lock file."""

from __future__ import annotations

import fcntl
import logging
import time
from pathlib import Path

from pricebook.pricing.budget import WorkerPart

log = logging.getLogger("pricebook.workers")

PATIENCE = 5.0  # seconds to wait for a worker that is still ending


class WorkerSlot:
    """Holds one of `workers` numbers. Two live processes never hold the same one.

    The operating system releases the lock file when the process ends, even if it is killed. The
    process that replaces it takes the same number, and with it what the number has spent.
    """

    def __init__(self, folder: Path, workers: int, patience: float = PATIENCE) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        until = time.monotonic() + patience
        while (part := self._take(folder, workers)) is None and time.monotonic() < until:
            time.sleep(0.05)
        if part is None:
            log.error("More processes than workers: no personal offers. Received: %d", workers)
        self.part = part or WorkerPart(0, 0)

    def _take(self, folder: Path, workers: int) -> WorkerPart | None:
        for number in range(workers):
            file = (folder / f"worker-{number + 1}.lock").open("w")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                file.close()
            else:
                self._file = file  # closing it would release the lock
                return WorkerPart(number, workers)
        return None

    def close(self) -> None:
        """Release the number."""
        if self.part.workers:
            self._file.close()
