"""The prior price: what a discount may be announced against.

It is the lowest price that everybody could pay in the 30 days before the current reduction started
(Directive 98/6/EC, Article 6a; CJEU C-330/23, Aldi Süd). It stays the same while that reduction
continues, however long. A reduction starts when the public price falls below it, and ends when the
public price rises. So a price that rises and falls again within 30 days is a new reduction, and its
prior price is at most the reduced one.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from pricebook.config import Quote as Limits
from pricebook.pricing.arms import CHAMPION

# A rise that is taken back sooner does not end a reduction. While a new champion is loaded, or an
# event is read, two workers quote the old and the new price in turns.
SETTLING = timedelta(minutes=1)
LONG_AGO = date(1970, 1, 1)


class Span(NamedTuple):
    """A price that everybody could pay, from `start` until just before `end` (None: until now)."""

    price: int
    start: datetime
    end: datetime | None = None


@dataclass(frozen=True, slots=True)
class PriceHistory:
    """The public price of a sku in a zone, with as much of its past as a prior price depends on.

    A past price is left out if a later price was at most as high and has been followed by a rise:
    no window before a reduction then contains the first without the second. So a history has at
    most two spans for each price, however often the price has changed.

    Attributes:
        since: when the sku came on the market, or was first quoted.
        spans: in the order of time; the last one is the current price.
        before_rise: the history before the latest rise, if the rise may still be taken back.
    """

    since: datetime
    spans: tuple[Span, ...]
    before_rise: PriceHistory | None = field(default=None, compare=False)

    @classmethod
    def starting(cls, price: int, at: datetime) -> PriceHistory:
        """The history of a sku that is on the market from an instant."""
        return cls(at, (Span(price, at),))

    @classmethod
    def before_quotes(cls, lowest: int, first_day: date | None) -> PriceHistory:
        """The history before the first quote: one price, the lowest that is known.

        Args:
            first_day: when the sku came on the market, in local time, so it was there at the end of
                that day in UTC at the latest. None: long ago.
        """
        first = datetime.combine(first_day or LONG_AGO, time.min, UTC)
        return cls.starting(lowest, first + timedelta(days=1))

    @classmethod
    def of(cls, prices: list[tuple[datetime, int]]) -> PriceHistory:
        """The history of public prices, each from its instant, in the order of time.

        Raises:
            ValueError: there is no price.
        """
        if not prices:
            raise ValueError("A history has at least one price. Received: []")
        (first, price), *later = prices
        history = cls.starting(price, first)
        for at, price in later:
            history = history.changed(price, at)
        return history

    @property
    def price(self) -> int:
        """The current public price."""
        return self.spans[-1].price

    def changed(self, price: int, at: datetime) -> PriceHistory:
        """This history with a public price that is first quoted at an instant."""
        current = self.spans[-1]
        at = max(at, current.start)  # clocks of two workers may differ by milliseconds
        if price == current.price:
            return self
        before = self.before_rise if at - current.start < SETTLING else None
        if before is not None and price <= before.price:
            return before.changed(price, at)
        past = (*self.spans[:-1], current._replace(end=at))
        if price < current.price:
            return PriceHistory(self.since, (*past, Span(price, at)))
        lows = tuple(span for span in past[:-1] if span.price < current.price)
        spans = (*lows, past[-1], Span(price, at))
        return PriceHistory(self.since, spans, replace(self, before_rise=before))


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules for one sku.

    Attributes:
        window: how long before a reduction a price counts; zero for the price just before it.
        progressive: whether a reduction that grows keeps the prior price of its first step.
        min_age: how long a sku must have been on the market before a reduction of it is announced.
    """

    window: timedelta = timedelta(days=30)
    progressive: bool = False
    min_age: timedelta = timedelta(0)

    @classmethod
    def from_limits(cls, limits: Limits, department: str, category: str) -> Rules | None:
        """The rules for a department and category; None if no discount may be announced.

        A quote may still be paid until it expires, so its validity is added to the window.
        """
        settings = limits.prior_price
        of_department = settings.perishables.get(department, settings.days)
        days = settings.perishables.get(category, of_department)
        if days is None:
            return None
        valid = timedelta(seconds=limits.ttl_seconds if days else 0)
        min_age = timedelta(days=settings.days if settings.new_products == "none" else 0)
        return cls(timedelta(days=days) + valid, settings.progressive, min_age)


def prior_price(
    history: PriceHistory, now: datetime, price: int, rules: Rules, public: bool = True
) -> int | None:
    """The prior price of an offer; a discount may be announced if the offer's price is below it.

    Without a reduction it is the lowest price of the window that ends now.

    Args:
        price: of the offer. A public price that differs from the current one applies from now on.
        public: whether everybody gets this price. A lower price that only some shoppers get is a
            reduction that starts now, so the current public price is in its window.

    Returns:
        the price in minor units; None if the sku is too new for an announced discount.

    >>> day = lambda number: datetime(2026, 1, 1) + timedelta(days=number)
    >>> history = PriceHistory.of([(day(0), 100), (day(40), 70)])
    >>> prior_price(history, day(200), 70, Rules())  # the reduction continues
    100
    >>> prior_price(history, day(200), 80, Rules())  # the price rises, so the reduction ends
    70
    """
    if public or price == history.price:
        history = history.changed(price, now)
        if (reduction := _reduction(history.spans, rules)) is not None:
            started, prior = reduction
            return prior if started - history.since >= rules.min_age else None
    is_new = now - history.since < rules.min_age
    return None if is_new else _lowest(history.spans, now, rules.window)


def _reduction(spans: tuple[Span, ...], rules: Rules) -> tuple[datetime, int] | None:
    """The start and the prior price of the reduction in force; None if there is none."""
    reduction: tuple[datetime, int] | None = None
    for last in range(_peak(spans) + 1, len(spans)):
        step = spans[last]
        if rules.progressive and reduction is not None:
            continue
        lowest = _lowest(spans[:last], step.start, rules.window)
        reduction = (step.start, lowest) if step.price < lowest else None
    return reduction


def _peak(spans: tuple[Span, ...]) -> int:
    """The position of the span that the price rose to last; 0 if it never rose."""
    rises = (n for n in range(len(spans) - 1, 0, -1) if spans[n].price > spans[n - 1].price)
    return next(rises, 0)


def _lowest(spans: tuple[Span, ...], at: datetime, window: timedelta) -> int:
    """The lowest price of the window that ends at an instant. The last of the spans is in it."""
    oldest = at - window
    earlier = (span.price for span in spans[:-1] if span.end is None or span.end > oldest)
    return min((spans[-1].price, *earlier))


def counts(arm: str, personalised: bool, anonymous: bool, price: int, current: int | None) -> bool:
    """Whether a quote belongs to the history of public prices.

    The champion's public offer does. A price of another arm is for some shoppers only. But if it is
    quoted to an anonymous shopper, everybody could have got it, so it counts where it is lower.

    Args:
        current: the current public price; None if there is none.
    """
    if personalised:
        return False
    if arm == CHAMPION:
        return True
    return anonymous and current is not None and price < current
