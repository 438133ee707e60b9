"""The service's log: one JSON object a line, on whatever handlers BentoML has set up."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

EXTRA = ("quote_id", "quote_ids")  # all that is told of `extra`: no shopper, no secret


class Lines(logging.Formatter):
    """A record as JSON, with the quotes it is about, and what was raised."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: vars(record)[name] for name in EXTRA if name in vars(record)}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def structured() -> None:
    """Let this worker's log be lines of JSON, those of BentoML and of libraries included."""
    logging.getLogger("pricebook").setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(Lines())
