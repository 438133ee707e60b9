"""The service's log: one JSON object per line, written by the handlers that BentoML sets up."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

# The only fields of `extra` that are written. Others could hold a shopper's id or a secret.
EXTRA_FIELDS = ("quote_id", "quote_ids")


class JsonFormatter(logging.Formatter):
    """Formats a log record as JSON, with the quotes it is about and the traceback if any."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "pid": record.process,
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= {name: vars(record)[name] for name in EXTRA_FIELDS if name in vars(record)}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def use_json_logs() -> None:
    """Log JSON lines in this process, including the logs of BentoML and other libraries."""
    logging.getLogger("pricebook").setLevel(logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(JsonFormatter())
