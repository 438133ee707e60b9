"""Ladders and rounding, over every list price and set of endings."""

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
def test_rungs_ascend_above_zero_without_repeats(list_price, endings):
    ladder = money.rungs(list_price, endings)
    assert ladder[0] > 0
    assert (np.diff(ladder) > 0).all()


@given(list_prices, endings)
def test_no_gap_leaves_an_item_without_a_choice(list_price, endings):
    widest = np.diff(money.rungs(list_price, endings), prepend=0).max()
    assert widest <= max(1, money.WIDEST_GAP * list_price)


@given(st.integers(200, 2_000), st.integers(0, 9))
def test_every_rung_below_the_list_price_has_the_ending(list_price, ending):
    assert {rung % 10 for rung in money.rungs(list_price, (ending,))[:-1].tolist()} == {ending}


@given(list_prices, endings)
def test_a_ladder_stays_short(list_price, endings):
    assert money.rungs(list_price, endings).size <= 200 * (len(endings) + 1) + 1


@given(list_prices, endings, st.floats(0, 6_000_000))
def test_snapping_up_never_goes_below_a_price_on_the_ladder(list_price, endings, price):
    rung = money.at_or_above(money.rungs(list_price, endings), price)
    assert rung in money.rungs(list_price, endings)
    assert rung >= min(price, list_price)


@given(list_prices, endings, st.integers(0, 6_000_000))
def test_snapping_a_rung_leaves_it_alone(list_price, endings, price):
    ladder = money.rungs(list_price, endings)
    rung = money.nearest(ladder, price, 0, np.inf)
    assert money.nearest(ladder, rung, 0, np.inf) == rung


@given(list_prices, endings, st.tuples(st.integers(0, 10**6), st.integers(0, 10**6)))
def test_snapping_stays_inside_the_bounds_where_a_rung_does(list_price, endings, bounds):
    ladder = money.rungs(list_price, endings)
    low, high = min(bounds), max(bounds)
    rung = money.nearest(ladder, high, low, high)
    assert low <= rung <= high or not ((ladder >= low) & (ladder <= high)).any()


@given(st.integers(0, 10**9), st.floats(0, 1))
def test_rounding_up_is_never_less_and_under_one_unit_more(cost, margin):
    exact = cost * (1 + margin)
    assert -1e-6 <= money.round_up(exact) - exact < 1


def test_a_ladder_of_a_free_item_is_refused():
    with pytest.raises(ValueError, match="Received: 0"):
        money.rungs(0, (9,))


def test_endings_of_two_digits_are_kept_while_the_item_can_afford_them():
    assert money.rungs(2_500, (49, 99)).tolist()[-4:] == [2_399, 2_449, 2_499, 2_500]


def test_amounts_are_shown_in_the_currency_s_own_digits():
    assert [money.display(1_980, "JPY", 0), money.display(5, "USD", 2)] == ["1980 JPY", "0.05 USD"]
