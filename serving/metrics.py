"""What /metrics tells beside BentoML's own, in the shop's words."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from prometheus_client import Counter, Gauge

from serving.quotes.offers import FALLBACKS, Kind, Ready

Tally = dict[Kind, tuple[int, int, int]]


class Counters:
    """Made once a process, after BentoML has set up its metrics."""

    def __init__(self) -> None:
        self._quotes = Counter(
            "pricebook_quotes",
            "Quotes given, by arm, outcome and last rule",
            ("arm", "outcome", "rule"),
        )
        self._hits = Counter("pricebook_guardrail_hits", "Prices a rule has changed", ("rule",))
        self._fallbacks = Counter(
            "pricebook_fallbacks", "Quotes at list price because something failed", ("rule",)
        )
        self._charged = Counter("pricebook_quoted_minor", "Sum of the prices quoted")
        self._listed = Counter("pricebook_listed_minor", "Sum of their list prices")
        self._unlogged = Counter("pricebook_unlogged_quotes", "Quotes the log would not take")
        self._dropped = Counter("pricebook_locks_dropped", "Quotes let go before they expired")
        self._swaps = Counter("pricebook_swaps", "Bundles served or refused", ("how",))
        # Every worker hears all events: the one that told last is right, and none that was killed.
        self._stale = Gauge(
            "pricebook_signal_age_seconds",
            "Since the last event of a kind",
            ("signal",),
            multiprocess_mode="mostrecent",
        )
        self._unreadable = Gauge(
            "pricebook_unreadable_events",
            "Lines of the event log that are no events",
            multiprocess_mode="mostrecent",
        )
        self._waiting = Gauge(
            "pricebook_pushes_waiting",
            "Skus and shoppers whose live figures the online store lacks",
            multiprocess_mode="mostrecent",
        )
        self._failures = Counter(
            "pricebook_push_failures", "Pushes of live figures the online store did not take"
        )
        self._failures_told = 0
        self._seen: Tally = {}
        self._seeing = threading.Lock()

    def quotes(self, given: Sequence[Ready]) -> None:
        """Keep quotes in mind until the next `tell`: counting them costs more than giving them."""
        with self._seeing:
            for ready in given:
                count, charged, listed = self._seen.get(ready.kind, (0, 0, 0))
                prices = charged + ready.price, listed + ready.list_price
                self._seen[ready.kind] = (count + 1, *prices)

    def tell(self) -> None:
        """Count what was kept in mind since."""
        with self._seeing:
            seen, self._seen = self._seen, {}
        for (arm, outcome, rules), (count, charged, listed) in seen.items():
            self._quotes.labels(arm, outcome, rules[-1] if rules else "none").inc(count)
            for rule in rules:
                counter = self._fallbacks if rule in FALLBACKS else self._hits
                counter.labels(rule).inc(count)
            self._charged.inc(charged)
            self._listed.inc(listed)

    def unlogged(self, quotes: int) -> None:
        self._unlogged.inc(quotes)

    def dropped(self) -> None:
        self._dropped.inc()

    def swapped(self, how: str) -> None:
        self._swaps.labels(how).inc()

    def heard(self, ages: dict[str, float], unreadable: int) -> None:
        for signal, seconds in ages.items():
            self._stale.labels(signal).set(seconds)
        self._unreadable.set(unreadable)

    def pushed(self, waiting: int, failures: int) -> None:
        """Of the worker that pushes for all: keys that wait now, and all its failures."""
        self._waiting.set(waiting)
        self._failures.inc(failures - self._failures_told)
        self._failures_told = failures
