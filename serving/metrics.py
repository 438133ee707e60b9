"""What /metrics counts beside BentoML's own: quotes, by whether and how they were repriced."""

from __future__ import annotations

from prometheus_client import Counter

from pricebook.quote import Quote

TELLING = frozenset({"cost", "public_offer", "personal"})  # rules that bound no price


class Counters:
    """Made once a process, after BentoML has set up its metrics."""

    def __init__(self) -> None:
        self._quotes = Counter(
            "pricebook_quotes", "Quotes given, by outcome and last rule", ("outcome", "rule")
        )

    def quote(self, quote: Quote) -> None:
        rules = [reason.rule for reason in quote.reasons if reason.rule not in TELLING]
        self._quotes.labels(_outcome(quote), rules[-1] if rules else "none").inc()


def _outcome(quote: Quote) -> str:
    if quote.personalised:
        return "personal"
    return "list_price" if quote.price == quote.list_price else "public"
