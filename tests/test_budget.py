"""The budget and the caps of personal offers hold, over all workers and restarts."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from pricebook.config import Personal
from pricebook.pricing.budget import Issued, OfferAccount, WorkerPart
from pricebook.pricing.personal import Expectation

TODAY = date(2026, 1, 7)  # a Wednesday
NAMES = ["ann", "bob", "cid"]


def public(value, name="ann", day=TODAY):
    return Issued(day, name, value)


def personal(discount, name="ann", day=TODAY, price=100):
    return Issued(day, name, price, discount, discount)


def test_a_personal_quote_counts_its_discount_times_the_expected_units():
    expected = Expectation(public_price=110, profit=1.0, public_profit=0.5, units=1.23)
    issued = Issued.from_offer(TODAY, "ann", 100, 3, expected)
    assert (issued.value, issued.discount, issued.cost) == (300, 30, 37)


def test_an_offer_expected_to_sell_less_still_costs_its_discount():
    expected = Expectation(public_price=110, profit=1.0, public_profit=0.5, units=0.4)
    assert Issued.from_offer(TODAY, "ann", 100, 1, expected).cost == 10


@given(st.integers(0, 10_000), st.integers(1, 9), st.text(max_size=5))
def test_the_parts_of_all_workers_add_up(total, workers, name):
    parts = [WorkerPart(number, workers).of(total, name) for number in range(workers)]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1


def test_the_budget_grows_with_the_value_of_quotes():
    account, settings = OfferAccount(), Personal(budget=0.1)
    assert account.refusal(personal(50), settings) == "offer_budget"
    account.add(public(400))
    assert account.refusal(personal(50), settings) is None
    assert account.refusal(personal(51), settings) == "offer_budget"


def test_an_opening_value_lets_the_first_offers_of_a_period_be_made():
    account, settings = OfferAccount(WorkerPart(0, 2)), Personal(budget=0.1)
    assert account.refusal(personal(50), settings, opening=1000) is None
    assert account.refusal(personal(51), settings, opening=1000) == "offer_budget"


@pytest.mark.parametrize(("limit", "refused"), [(150, None), (149, "shopper_cap")])
def test_the_discounts_of_a_shopper_are_capped(limit, refused):
    account, settings = OfferAccount(), Personal(budget=1.0, max_discount=limit)
    account.add(personal(100))
    assert account.refusal(personal(50), settings) == refused
    assert account.refusal(personal(50, "bob"), settings) is None


def test_a_week_counts_its_days_from_monday():
    account, week = OfferAccount(), Personal(budget=1.0, max_offers=2, period="week")
    for day in (-3, -2, -1):  # Sunday, Monday, Tuesday
        account.add(personal(1, day=TODAY + timedelta(days=day)))
    assert account.refusal(personal(1), week) == "shopper_cap"
    assert account.refusal(personal(1), week.model_copy(update={"max_offers": 3})) is None
    assert account.refusal(personal(1), Personal(budget=1.0, max_offers=1)) is None


def test_a_restored_account_has_what_an_earlier_process_in_its_place_gave():
    account, settings = OfferAccount(WorkerPart(0, 2)), Personal(budget=0.1)
    account.restore(public(1000), "1/2")
    account.restore(personal(60), "1/2")
    account.restore(personal(90), "2/2")  # counted by the other worker
    assert account.totals(TODAY, settings) == (1100, 60)


def test_discounts_of_a_service_with_other_workers_count_in_full_but_not_its_value():
    account = OfferAccount(WorkerPart(0, 2))
    account.restore(public(1000), "1/1")
    account.restore(personal(60), "1/1")
    assert account.totals(TODAY, Personal()) == (0, 60)


def test_a_process_without_a_place_among_the_workers_makes_no_personal_offers():
    account = OfferAccount(WorkerPart(0, 0))
    account.add(public(10_000))
    assert account.refusal(personal(1), Personal(budget=1.0)) == "shopper_cap"


class Workers(RuleBasedStateMachine):
    """Workers of one home that quote, end and are replaced in any order."""

    settings = Personal(budget=0.1, max_offers=5, max_discount=90)
    workers = 3
    opening = 700

    def __init__(self):
        super().__init__()
        self.log = []
        self.accounts = [self._start(number) for number in range(self.workers)]

    def _start(self, number):
        account = OfferAccount(WorkerPart(number, self.workers))
        for issued, label in self.log:
            account.restore(issued, label)
        return account

    @rule(
        number=st.integers(0, 2),
        name=st.sampled_from(NAMES),
        value=st.integers(1, 500),
        discount=st.one_of(st.none(), st.integers(1, 40)),
        extra=st.integers(0, 10),
    )
    def quote(self, number, name, value, discount, extra):
        account = self.accounts[number]
        issued = Issued(TODAY, name, value, discount, 0 if discount is None else discount + extra)
        if discount is None or not account.refusal(issued, self.settings, self.opening):
            account.add(issued)
            self.log.append((issued, account.part.label))

    @rule(number=st.integers(0, 2))
    def restart(self, number):
        self.accounts[number] = self._start(number)

    @invariant()
    def the_budget_holds(self):
        given = sum(issued.cost for issued, _ in self.log)
        base = [self.opening // self.workers + 1] * self.workers
        for number in range(self.workers):
            label = WorkerPart(number, self.workers).label
            value = sum(issued.value for issued, at in self.log if at == label)
            base[number] = max(value, base[number])
        assert given <= self.settings.budget * sum(base)

    @invariant()
    def the_caps_hold(self):
        for name in NAMES:
            own = [i for i, _ in self.log if i.customer_id == name and i.discount is not None]
            assert len(own) <= self.settings.max_offers
            assert sum(issued.discount for issued in own) <= self.settings.max_discount


TestWorkers = Workers.TestCase
