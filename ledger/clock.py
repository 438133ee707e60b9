"""The one place that asks what time it is.

A stage is told its cut-off and repeats itself exactly; *when it ran* is not part of its result.
That is only written beside it, on alerts, verdicts and prices, and is taken here, at the edge.
"""

from datetime import UTC, datetime


def now() -> datetime:
    """The present instant, in UTC, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
