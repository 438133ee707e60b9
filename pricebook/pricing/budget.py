"""The budget of personal offers, and the caps per shopper: what has been given, and what may be.

Every quote counts as if it were accepted. The budget is a share of the value of the quotes to named
shoppers in the period so far, so it grows with the traffic and is never spent ahead of it. Each
worker counts only its own quotes, and each worker has its part of a cap. If every worker stays
within its own limits, all of them together do, without waiting for each other.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import NamedTuple
from zlib import crc32

from pricebook.config import Personal
from pricebook.pricing.personal import Expectation

LONGEST = 7  # days of the longest period
MAX_SHOPPERS = 200_000  # with personal offers per day and worker; others get public offers


class WorkerPart(NamedTuple):
    """Which part of a cap is a worker's: it is number `number` (from 0) of `workers`.

    With 0 workers it has no part, so it makes no personal offers.
    """

    number: int = 0
    workers: int = 1

    @property
    def label(self) -> str:
        """Names the part in the quote log.

        >>> WorkerPart(0, 2).label
        '1/2'
        """
        return f"{self.number + 1}/{self.workers}"

    def of(self, total: int, key: str) -> int:
        """This worker's part of a total. The parts of all workers add up to the total.

        The key decides which workers get the remainder.

        >>> sum(WorkerPart(number, 3).of(100, "ann") for number in range(3))
        100
        """
        if self.workers == 0:
            return 0
        place = (self.number + crc32(key.encode())) % self.workers
        return total // self.workers + (place < total % self.workers)


class Issued(NamedTuple):
    """A quote to a named shopper, as the account counts it. Money in minor units.

    Attributes:
        value: price x quantity.
        discount: (public price - personal price) x quantity; None for a public offer.
        cost: the discount times the expected units relative to those at the public price, rounded
            up: a lower price sells more often. At least the discount.
    """

    day: date
    customer_id: str
    value: int
    discount: int | None = None
    cost: int = 0

    @classmethod
    def from_offer(
        cls, day: date, customer_id: str, price: int, quantity: int, expected: Expectation | None
    ) -> Issued:
        if expected is None:
            return cls(day, customer_id, price * quantity)
        discount = (expected.public_price - price) * quantity
        cost = math.ceil(discount * max(1.0, expected.units))
        return cls(day, customer_id, price * quantity, discount, cost)


class Given(NamedTuple):
    """Personal offers to a shopper: their number and the sum of their discounts."""

    offers: int = 0
    discount: int = 0


@dataclass
class Day:
    """The totals of a worker and a day (UTC): value of quotes, cost of personal discounts."""

    value: int = 0
    cost: int = 0
    shoppers: dict[str, Given] = field(default_factory=dict)


class OfferAccount:
    """What one worker has quoted and given as personal discounts, by day.

    >>> account, today = OfferAccount(), date(2026, 1, 5)
    >>> account.add(Issued(today, "ann", value=1000))
    >>> offer = Issued(today, "bob", value=190, discount=12, cost=14)
    >>> account.refusal(offer, Personal(budget=0.02)) is None
    True
    >>> account.add(offer)
    >>> account.refusal(offer, Personal(budget=0.02))
    'offer_budget'
    """

    def __init__(self, part: WorkerPart | None = None) -> None:
        self.part = WorkerPart() if part is None else part
        self._days: dict[date, Day] = {}
        self._lock = threading.Lock()  # a background thread adds what it reads in the log

    def add(self, issued: Issued) -> None:
        """Count a quote of this worker."""
        with self._lock:
            day = self._day(issued.day)
            day.value += issued.value
            _add_discount(day, issued)

    def add_value(self, day: date, value: int) -> None:
        """Count the value of public offers of this worker to named shoppers."""
        with self._lock:
            self._day(day).value += value

    def restore(self, issued: Issued, label: str) -> None:
        """Count a quote in the log if it concerns this worker's part.

        An earlier process may have had the same part. If the log is of a service with another
        number of workers, its discounts count in full in every part, and the value of its quotes
        does not count.
        """
        if label == self.part.label:
            self.add(issued)
        elif label.partition("/")[2] != str(self.part.workers):
            with self._lock:
                _add_discount(self._day(issued.day), issued)

    def refusal(self, offer: Issued, personal: Personal, opening: int = 0) -> str | None:
        """The rule that withholds a personal offer; None if it may be made.

        Args:
            opening: the value that the period's quotes are assumed to reach; for all workers. So
                the first shoppers of a period can have personal offers.
        """
        days = self._period(offer.day, personal)
        if self._exceeds_cap(offer, days, personal):
            return "shopper_cap"
        value = sum(day.value for day in days) + offer.value
        base = max(value, self.part.of(opening, "opening"))
        cost = sum(day.cost for day in days) + offer.cost
        return "offer_budget" if cost > int(personal.budget * base) else None

    def totals(self, day: date, personal: Personal) -> tuple[int, int]:
        """The value of this worker's quotes and the cost of its discounts, in a day's period."""
        days = self._period(day, personal)
        return sum(day.value for day in days), sum(day.cost for day in days)

    def _exceeds_cap(self, offer: Issued, days: list[Day], personal: Personal) -> bool:
        name = offer.customer_id
        given = [day.shoppers.get(name, Given()) for day in days]
        offers = sum(each.offers for each in given) + 1
        discount = sum(each.discount for each in given) + (offer.discount or 0)
        highest = personal.max_discount
        too_many = offers > self.part.of(personal.max_offers, name)
        too_much = highest is not None and discount > self.part.of(highest, name)
        full = offers == 1 and any(len(day.shoppers) >= MAX_SHOPPERS for day in days)
        return too_many or too_much or full

    def _period(self, day: date, personal: Personal) -> list[Day]:
        first = first_day(day, personal)
        return [total for at, total in self._days.items() if first <= at <= day]

    def _day(self, at: date) -> Day:
        """The totals of a day. Days that are in no period any more are dropped."""
        if at not in self._days:
            recent = {day: total for day, total in self._days.items() if (at - day).days < LONGEST}
            self._days = {**recent, at: Day()}
        return self._days[at]


def _add_discount(day: Day, issued: Issued) -> None:
    if issued.discount is None:
        return
    day.cost += issued.cost
    offers, discount = day.shoppers.get(issued.customer_id, Given())
    day.shoppers[issued.customer_id] = Given(offers + 1, discount + issued.discount)


def first_day(day: date, personal: Personal) -> date:
    """The first day of the period that contains a day.

    >>> first_day(date(2026, 1, 7), Personal(period="week")).isoformat()
    '2026-01-05'
    """
    return day if personal.period == "day" else day - timedelta(days=day.weekday())
