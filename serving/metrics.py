"""What /metrics tells beside BentoML's own, in the shop's words."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import Counter, Gauge

from pricebook.quote import Offer
from serving.offers import Ready

TELLING = frozenset({"cost", "public_offer", "personal", "model"})  # rules that bound no price
FALLBACKS = frozenset({"online_store", "no_model", "no_answer", "kill_switch"})


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
        self._stale = Gauge(
            "pricebook_signal_age_seconds",
            "Since the last event of a kind",
            ("signal",),
            multiprocess_mode="livemin",
        )
        self._of = lru_cache(4096)(self._children)

    def quote(self, ready: Ready) -> None:
        offer = ready.offer
        for child in self._of(offer.arm, _outcome(offer), _rules(offer)):
            child.inc()
        self._charged.inc(offer.price)
        self._listed.inc(offer.list_price)

    def unlogged(self, quotes: int) -> None:
        self._unlogged.inc(quotes)

    def dropped(self) -> None:
        self._dropped.inc()

    def swapped(self, how: str) -> None:
        self._swaps.labels(how).inc()

    def heard(self, ages: dict[str, float]) -> None:
        for signal, seconds in ages.items():
            self._stale.labels(signal).set(seconds)

    def _children(self, arm: str, outcome: str, rules: tuple[str, ...]) -> list[Counter]:
        found = [self._quotes.labels(arm, outcome, rules[-1] if rules else "none")]
        found += [self._hits.labels(rule) for rule in rules]
        return found + [self._fallbacks.labels(rule) for rule in rules if rule in FALLBACKS]


def _outcome(offer: Offer) -> str:
    if offer.personalised:
        return "personal"
    return "list_price" if offer.price == offer.list_price else "public"


def _rules(offer: Offer) -> tuple[str, ...]:
    return tuple(reason.rule for reason in offer.reasons if reason.rule not in TELLING)
