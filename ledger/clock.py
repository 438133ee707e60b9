"""The current time, for the time stamps of the ledger.

A stage takes its cut-off as an argument and never reads the clock, so that a second run gives the
same result. Only the time stamps of alerts, verdicts, prices and keys use this module.
"""

from datetime import UTC, datetime


def now() -> datetime:
    """The current time in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
