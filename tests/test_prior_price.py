"""The prior price of a discount, case by case of Article 6a of Directive 98/6/EC."""

import re
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricebook.config import REPO_ROOT, PriorPrice
from pricebook.config import Quote as Limits
from pricebook.pricing.prior_price import PriceHistory, Rules, counts, prior_price

START = datetime(2026, 1, 1, tzinfo=UTC)
SHOP = Rules()


def day(number, **time):
    return START + timedelta(days=number, **time)


def history(*prices):
    """The history of prices, each from a day."""
    return PriceHistory.of([(day(number), price) for number, price in prices])


def discount_from(past, number, price, rules=SHOP, public=True):
    """The price that a discount on a day may be announced against."""
    prior = prior_price(past, day(number), price, rules, public)
    return prior if prior is not None and price < prior else None


# The lowest price of the 30 days before the reduction (Article 6a(2))


def test_a_reduction_is_announced_against_the_price_before_it():
    assert discount_from(history((0, 100)), 40, 70) == 100


def test_the_prior_price_is_the_lowest_of_the_30_days_before_the_reduction():
    assert discount_from(history((0, 100), (20, 80), (25, 100)), 40, 70) == 80


@pytest.mark.parametrize(("reduced_on", "prior"), [(54, 80), (55, 100)])
def test_a_price_that_ended_30_days_before_the_reduction_does_not_count(reduced_on, prior):
    assert discount_from(history((0, 100), (20, 80), (25, 100)), reduced_on, 70) == prior


def test_a_discount_that_raises_the_price_before_it_is_not_announced():
    assert discount_from(history((0, 70), (35, 100)), 40, 70) is None
    assert discount_from(history((0, 70), (35, 100)), 40, 90) is None


def test_a_public_offer_of_a_month_is_the_prior_price_whatever_the_list_price():
    assert discount_from(history((0, 100), (10, 85)), 45, 80) == 85


def test_the_prior_price_stays_the_same_while_the_reduction_continues():
    past = history((0, 100), (40, 70))
    assert {discount_from(past, number, 70) for number in range(40, 400)} == {100}


def test_without_a_reduction_no_discount_is_announced():
    past = history((0, 100), (10, 80), (20, 100))
    assert {discount_from(past, number, 100) for number in range(20, 90)} == {None}
    assert [prior_price(past, day(number), 100, SHOP) for number in (40, 60)] == [80, 100]


def test_a_reduction_that_ends_and_starts_again_has_a_new_prior_price():
    past = history((0, 100), (40, 70), (50, 100))
    assert discount_from(past, 60, 70) is None
    assert discount_from(past, 60, 60) == 70
    assert discount_from(past, 90, 60) == 100


def test_a_part_of_a_reduction_that_is_taken_back_is_not_announced():
    assert discount_from(history((0, 100), (40, 70)), 50, 80) is None


def test_a_further_reduction_is_announced_against_the_reduced_price():
    assert discount_from(history((0, 100), (40, 80)), 50, 70) == 80


# Price changes of less than a minute


def test_a_rise_of_some_seconds_does_not_end_a_reduction():
    past = history((0, 100), (40, 70)).changed(100, day(50))
    assert discount_from(past.changed(70, day(50, seconds=59)), 51, 70) == 100
    assert discount_from(past.changed(70, day(50, seconds=60)), 51, 70) is None


def test_two_workers_that_quote_the_old_and_the_new_price_in_turns_start_one_reduction():
    past = history((0, 100))
    for second, price in enumerate([70, 100, 70, 100, 70]):
        past = past.changed(price, day(40, seconds=second))
    assert past.spans == history((0, 100), (40, 70)).spans


def test_a_lower_price_of_some_seconds_counts():
    past = history((0, 100), (40, 60)).changed(100, day(40, seconds=5))
    assert discount_from(past, 50, 70) is None


def test_a_time_before_the_current_price_counts_as_its_start():
    past = history((0, 100)).changed(70, day(40)).changed(60, day(40, milliseconds=-3))
    assert [span.start for span in past.spans] == [day(0), day(40), day(40)]


# Prices for some shoppers


def test_a_personal_discount_is_announced_against_the_current_public_price():
    past = history((0, 100), (40, 70))
    assert discount_from(past, 50, 65, public=False) == 70


def test_a_personal_offer_at_the_public_price_has_its_prior_price():
    assert discount_from(history((0, 100), (40, 70)), 50, 70, public=False) == 100


@pytest.mark.parametrize("arm", ["control", "explore", "canary"])
def test_a_price_of_another_arm_counts_if_anybody_could_pay_it_and_it_is_lower(arm):
    assert counts(arm, False, True, price=69, current=70)
    assert not counts(arm, False, True, price=71, current=70)
    assert not counts(arm, False, False, price=69, current=70)
    assert not counts(arm, False, True, price=69, current=None)


def test_the_champions_public_offer_counts_and_a_personal_one_does_not():
    assert counts("champion", False, False, price=71, current=70)
    assert not counts("champion", True, False, price=69, current=70)


# Rules by setting (Article 6a(3) to (5))


def test_a_progressive_reduction_keeps_the_prior_price_of_its_first_step():
    past = history((0, 100), (40, 80), (45, 75))
    assert discount_from(past, 60, 70, Rules(progressive=True)) == 100
    assert discount_from(past, 60, 70) == 75


def test_a_progressive_reduction_starts_with_its_first_step_below_the_prior_price():
    past = history((0, 60), (5, 100), (20, 90), (50, 80))
    assert discount_from(past, 51, 80, Rules(progressive=True)) == 90


def test_a_progressive_reduction_ends_with_a_rise():
    past = history((0, 100), (40, 80), (45, 90))
    assert discount_from(past, 50, 70, Rules(progressive=True)) == 80


def rules(department="", category="", **prior):
    return Rules.from_limits(Limits(prior_price=PriorPrice(**prior)), department, category)


def test_no_discount_of_a_new_product_is_announced():
    new = history((0, 100))
    assert discount_from(new, 29, 70, rules()) is None
    assert discount_from(new, 30, 70, rules()) == 100
    assert discount_from(new.changed(70, day(29)), 300, 70, rules()) is None


def test_by_setting_a_new_product_has_the_lowest_price_since_it_is_sold():
    new = history((0, 100), (10, 90))
    assert discount_from(new, 20, 70, rules(new_products="shorter")) == 90


def test_perishables_have_their_own_days_by_department_or_category():
    past = history((0, 100), (38, 80), (39, 90))
    own = {"perishables": {"BAKERY": 0, "FISH": None}}
    assert discount_from(past, 40, 70, rules("BAKERY", **own)) == 90
    assert discount_from(past, 40, 70, rules("GROCERY", "BAKERY", **own)) == 90
    assert rules("FISH", **own) is None
    assert discount_from(past, 40, 70, rules("GROCERY", **own)) == 80


def test_the_rule_of_a_category_precedes_the_one_of_its_department():
    own = {"perishables": {"BAKERY": None, "BISCUITS": 30}}
    assert rules("BAKERY", "BISCUITS", **own).window == rules("GROCERY").window


def test_a_quote_that_may_still_be_paid_counts():
    past = history((0, 80)).changed(100, day(10))
    assert discount_from(past, 40, 90, rules()) is None
    assert discount_from(past.changed(100, day(10)), 41, 90, rules()) == 100


def test_fewer_than_30_days_are_refused():
    with pytest.raises(ValueError, match="greater than or equal to 30"):
        PriorPrice(days=29)


def test_a_history_without_prices_is_an_error():
    with pytest.raises(ValueError, match=r"Received: \[\]"):
        PriceHistory.of([])


# What always holds. Times are in whole hours, so that no change is taken back within a minute.

changes = st.lists(st.tuples(st.integers(1, 24 * 20), st.integers(60, 100)), max_size=40)
some_rules = st.builds(Rules, st.just(SHOP.window), st.booleans())


def raw(steps):
    """The instants and prices of a history; a step is the hours since the one before, and a price.

    A repeated price is no change.
    """
    at, prices = START, [(START, 100)]
    for hours, price in steps:
        at += timedelta(hours=hours)
        if price != prices[-1][1]:
            prices.append((at, price))
    return prices


def lowest_before(prices, started):
    """The lowest price that anybody could pay in the 30 days before an instant."""
    ends = [at for at, _ in prices[1:]] + [datetime.max.replace(tzinfo=UTC)]
    return min(
        price
        for (at, price), end in zip(prices, ends, strict=True)
        if at < started and end > started - SHOP.window
    )


def peak(prices):
    """The position of the last price that the price before it is not above."""
    position = len(prices) - 1
    while position > 0 and prices[position][1] < prices[position - 1][1]:
        position -= 1
    return position


def by_definition(prices, progressive):
    """The price that a discount to the last of the prices may be announced against, or None."""
    first = peak(prices) + 1 if progressive else max(1, len(prices) - 1)
    for at, price in prices[first:]:
        if price < (lowest := lowest_before(prices, at)):
            return lowest
    return None


@settings(max_examples=1000, deadline=None)
@given(changes, some_rules)
def test_a_discount_is_announced_against_the_lowest_price_before_the_reduction(steps, rule):
    prices = raw(steps)
    now, price = prices[-1][0] + timedelta(days=400), prices[-1][1]
    prior = prior_price(PriceHistory.of(prices), now, price, rule)
    assert (prior if price < prior else None) == by_definition(prices, rule.progressive)


@settings(max_examples=1000, deadline=None)
@given(changes, st.integers(60, 100), some_rules)
def test_a_price_that_was_never_quoted_starts_its_reduction_now(steps, price, rule):
    prices = raw(steps)
    now = prices[-1][0] + timedelta(hours=1)
    prior = prior_price(PriceHistory.of(prices), now, price, rule)
    after = prices if price == prices[-1][1] else [*prices, (now, price)]
    assert (prior if price < prior else None) == by_definition(after, rule.progressive)


@settings(max_examples=500, deadline=None)
@given(changes, some_rules)
def test_time_alone_changes_no_discount(steps, rule):
    past = PriceHistory.of(raw(steps))
    later = [discount_from(past, 900 + number, past.price, rule) for number in range(0, 90, 10)]
    assert len(set(later)) == 1


@settings(max_examples=500, deadline=None)
@given(changes)
def test_a_history_stays_small(steps):
    spans = PriceHistory.of(raw(steps * 3)).spans
    assert len(spans) <= 2 * len({span.price for span in spans})
    assert [span.start for span in spans] == sorted(span.start for span in spans)


@settings(max_examples=500, deadline=None)
@given(changes, st.integers(60, 99))
def test_a_personal_discount_is_never_announced_above_the_public_price(steps, price):
    past = PriceHistory.of(raw(steps))
    prior = discount_from(past, 900, price, public=False)
    assert prior is None or price == past.price or prior <= past.price


# The example in the docs


@pytest.fixture
def example():
    """The rows of the table in docs/service.md: day, price, prior price, discount_from."""
    text = (REPO_ROOT / "docs/service.md").read_text().partition("### Discounts")[2]
    text = text.partition("###")[0]
    rows = [line.split("|")[1:5] for line in text.splitlines() if re.match(r"\| \d", line)]
    return [[int(cell) if cell.strip() else None for cell in row] for row in rows]


def test_the_example_in_the_docs_is_computed_by_these_rules(example):
    past = history((-100, 100))
    for number, price, prior, announced in example:
        assert prior_price(past, day(number), price, SHOP) == prior
        assert discount_from(past, number, price) == announced
        past = past.changed(price, day(number))
    assert len(example) == 7
    assert discount_from(history((-100, 100), (40, 85)), 76, 80, Rules(progressive=True)) == 100
