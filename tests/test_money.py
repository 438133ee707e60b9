"""Properties of price ladders and of rounding, for all list prices and endings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricebook import money

list_prices = st.integers(1, 5_000_000)
endings = st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True).map(tuple)


@given(list_prices, endings)
def test_the_list_price_is_the_top_rung(list_price, endings):
    assert money.rungs(list_price, endings)[-1] == list_price


@given(list_prices, endings)
def test_rungs_are_above_zero_and_strictly_ascending(list_price, endings):
    ladder = money.rungs(list_price, endings)
    assert ladder[0] > 0
    assert (np.diff(ladder) > 0).all()


@given(list_prices, endings)
def test_gaps_are_at_most_5_percent_of_the_list_price(list_price, endings):
    widest = np.diff(money.rungs(list_price, endings), prepend=0).max()
    assert widest <= max(1, money.WIDEST_GAP * list_price)


@given(st.integers(200, 2_000), st.integers(0, 9))
def test_rungs_below_the_list_price_have_the_ending(list_price, ending):
    assert {rung % 10 for rung in money.rungs(list_price, (ending,))[:-1].tolist()} == {ending}


@given(list_prices, endings)
def test_a_ladder_has_few_rungs(list_price, endings):
    assert money.rungs(list_price, endings).size <= 200 * (len(endings) + 1) + 1


@given(list_prices, endings, st.floats(0, 6_000_000))
def test_at_or_above_gives_a_rung_that_is_not_below_the_price(list_price, endings, price):
    rung = money.at_or_above(money.rungs(list_price, endings), price)
    assert rung in money.rungs(list_price, endings)
    assert rung >= min(price, list_price)


@given(list_prices, endings, st.integers(0, 6_000_000))
def test_the_nearest_rung_to_a_rung_is_itself(list_price, endings, price):
    ladder = money.rungs(list_price, endings)
    rung = money.nearest(ladder, price, 0, np.inf)
    assert money.nearest(ladder, rung, 0, np.inf) == rung


@given(list_prices, endings, st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)))
def test_the_nearest_rung_is_inside_the_bounds_if_any_rung_is(list_price, endings, bounds):
    ladder = money.rungs(list_price, endings)
    low, high = min(bounds), max(bounds)
    rung = money.nearest(ladder, high, low, high)
    assert low <= rung <= high or not ((ladder >= low) & (ladder <= high)).any()


@given(st.integers(0, 10**9), st.floats(0, 1))
def test_rounding_up_adds_less_than_one_unit(cost, margin):
    exact = cost * (1 + margin)
    assert -1e-6 <= money.round_up(exact) - exact < 1


def test_a_ladder_needs_a_list_price_above_zero():
    with pytest.raises(ValueError, match="Received: 0"):
        money.rungs(0, (9,))


def test_two_digit_endings_are_used_for_items_with_a_high_enough_price():
    assert money.rungs(2_500, (49, 99)).tolist()[-4:] == [2_399, 2_449, 2_499, 2_500]
