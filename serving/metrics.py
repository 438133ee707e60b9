"""The service's own Prometheus metrics, which /metrics shows along with BentoML's."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from prometheus_client import Counter, Gauge

from pricebook.pricing.quote import FALLBACKS
from serving.quotes.offers import MetricLabels, RenderedOffer

Totals = tuple[int, int, int]  # quotes, sum of prices, sum of list prices (minor units)


class ServiceMetrics:
    """The metrics of one worker process. Create it once, after BentoML has set up Prometheus.

    Several workers write to files of a shared folder, from which /metrics adds up their counters.
    Of a gauge it shows the value that was set last by any worker: each worker reads the events of
    all, so the most recent value is right, and that of a worker that was killed is not.
    """

    def __init__(self) -> None:
        self._quotes = Counter(
            "pricebook_quotes",
            "Quotes issued, by experiment arm, outcome and last rule",
            ("arm", "outcome", "rule"),
        )
        self._hits = Counter(
            "pricebook_guardrail_hits", "Prices that a rule has changed", ("rule",)
        )
        self._fallbacks = Counter(
            "pricebook_fallbacks", "Quotes at list price because something failed", ("rule",)
        )
        self._quoted_minor = Counter("pricebook_quoted_minor", "Sum of the prices quoted")
        self._listed_minor = Counter("pricebook_listed_minor", "Sum of their list prices")
        self._unlogged = Counter(
            "pricebook_unlogged_quotes", "Quotes that could not be written to the quote log"
        )
        self._dropped_locks = Counter(
            "pricebook_locks_dropped", "Price locks dropped before they expired"
        )
        self._swaps = Counter("pricebook_swaps", "Bundles served or refused", ("how",))
        self._event_ages = Gauge(
            "pricebook_signal_age_seconds",
            "Time since the last event of a kind",
            ("signal",),
            multiprocess_mode="mostrecent",
        )
        self._unreadable = Gauge(
            "pricebook_unreadable_events",
            "Lines of the event log that are not events",
            multiprocess_mode="mostrecent",
        )
        self._waiting = Gauge(
            "pricebook_pushes_waiting",
            "Skus and shoppers whose live features wait to be pushed to the online store",
            multiprocess_mode="mostrecent",
        )
        self._push_failures = Counter(
            "pricebook_push_failures", "Failed pushes of live features to the online store"
        )
        self._reported_push_failures = 0
        self._pending: dict[MetricLabels, Totals] = {}
        self._lock = threading.Lock()

    def add_quotes(self, offers: Sequence[RenderedOffer]) -> None:
        """Count quotes in memory until the next `flush`.

        Each Prometheus counter writes to a memory-mapped file under a lock. Doing so for every
        quote would cost more than issuing it.
        """
        with self._lock:
            for offer in offers:
                count, quoted, listed = self._pending.get(offer.labels, (0, 0, 0))
                sums = quoted + offer.price, listed + offer.list_price
                self._pending[offer.labels] = (count + 1, *sums)

    def flush(self) -> None:
        """Add the quotes counted since the last call to the Prometheus counters."""
        with self._lock:
            pending, self._pending = self._pending, {}
        for (arm, outcome, rules), (count, quoted, listed) in pending.items():
            self._quotes.labels(arm, outcome, rules[-1] if rules else "none").inc(count)
            for rule in rules:
                counter = self._fallbacks if rule in FALLBACKS else self._hits
                counter.labels(rule).inc(count)
            self._quoted_minor.inc(quoted)
            self._listed_minor.inc(listed)

    def add_unlogged(self, quotes: int) -> None:
        self._unlogged.inc(quotes)

    def add_dropped_lock(self) -> None:
        self._dropped_locks.inc()

    def add_swap(self, outcome: str) -> None:
        self._swaps.labels(outcome).inc()

    def set_events(self, ages: dict[str, float], unreadable: int) -> None:
        """Set the seconds since the last event of each kind, and the unreadable lines so far."""
        for kind, seconds in ages.items():
            self._event_ages.labels(kind).set(seconds)
        self._unreadable.set(unreadable)

    def set_pushes(self, waiting: int, failures: int) -> None:
        """Set the keys that wait to be pushed, and count new failures. `failures` is a total.

        Only the worker that pushes for all calls this.
        """
        self._waiting.set(waiting)
        self._push_failures.inc(failures - self._reported_push_failures)
        self._reported_push_failures = failures
