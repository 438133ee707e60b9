"""Exploration: which rungs may be drawn, and with which probability."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pricebook.pricing.exploration import MIN_PROBABILITY, chances, drawn

sizes = st.tuples(st.integers(1, 4), st.integers(1, 12))
reaches = st.integers(1, 10)
temperatures = st.floats(0.01, 100)
FLOATS = st.floats(-1e9, 1e9)


@st.composite
def batches(draw, profits=FLOATS):
    """Profit (n, k), and which rungs are allowed (n, k)."""
    size = draw(sizes)
    return draw(arrays(np.float64, size, elements=profits)), draw(arrays(np.bool_, size))


def chance(*profit, allowed=None, reach=2, temperature=0.5):
    may = [True] * len(profit) if allowed is None else allowed
    return chances(np.array([profit], float), np.array([may]), reach, temperature)[0]


def within(profit, allowed, reach):
    """Which rungs may be drawn, computed by definition."""
    near = np.zeros(allowed.shape, bool)
    for row, may in enumerate(allowed):
        rungs = np.flatnonzero(may)
        if rungs.size:
            best = int(profit[row, rungs].argmax())
            near[row, rungs[max(best - reach, 0) : best + reach + 1]] = True
    return near


@given(batches(), reaches, temperatures)
def test_only_allowed_rungs_within_reach_have_a_probability(batch, reach, temperature):
    profit, allowed = batch
    result = chances(profit, allowed, reach, temperature)
    near = within(profit, allowed, reach)
    assert (result[near] >= MIN_PROBABILITY).all() and not result[~near].any()


@given(batches(), reaches, temperatures)
def test_probabilities_sum_to_one_unless_no_rung_is_allowed(batch, reach, temperature):
    result = chances(*batch, reach, temperature).sum(axis=1)
    assert result == pytest.approx(batch[1].any(axis=1).astype(float))


@given(batches(), reaches, temperatures)
def test_a_rung_of_higher_profit_is_not_less_likely(batch, reach, temperature):
    profit, allowed = batch
    result = chances(profit, allowed, reach, temperature)
    for row, near in enumerate(within(profit, allowed, reach)):
        by_profit = result[row, near][np.argsort(profit[row, near])]
        assert all(lower <= other + 1e-12 for lower, other in pairwise(by_profit))


@given(batches(st.integers(-1000, 1000)), st.sampled_from([0.25, 8.0]), st.integers(-500, 500))
def test_neither_the_unit_nor_the_sign_of_profit_matters(batch, unit, less):
    profit, allowed = batch
    moved = chances(unit * (profit - less), allowed, 2, 0.5)
    assert moved == pytest.approx(chances(profit, allowed, 2, 0.5))


@given(batches(), arrays(np.float64, 4, elements=st.floats(0, 1, exclude_max=True)), reaches)
def test_a_drawn_rung_has_a_positive_probability(batch, uniform, reach):
    result = chances(*batch, reach, 0.5)
    some = result[batch[1].any(axis=1)]
    at = drawn(some, uniform[: len(some)])
    assert (some[np.arange(len(some)), at] > 0).all()


@given(batches(), reaches)
def test_each_rung_is_drawn_in_proportion_to_its_probability(batch, reach):
    row = chances(*batch, reach, 0.5)[:1]
    uniform = (np.arange(1000) + 0.5) / 1000
    often = np.bincount(drawn(np.repeat(row, 1000, axis=0), uniform), minlength=row.shape[1])
    assert not batch[1][0].any() or often / 1000 == pytest.approx(row[0], abs=0.002)


def test_the_rounding_remainder_selects_the_last_possible_rung():
    short = np.array([[0.5, 0.5 - 1e-9, 0.0]])
    assert drawn(short, np.array([np.nextafter(1, 0)])).tolist() == [1]


@pytest.mark.parametrize("unknown", [np.nan, np.inf, -np.inf])
def test_a_row_with_an_unknown_profit_has_no_probabilities(unknown):
    assert not chance(1, unknown, 3).any()


def test_reach_counts_only_allowed_rungs():
    result = chance(1, 2, 3, 9, 2, allowed=[True, False, False, True, True], reach=1)
    assert (result > 0).tolist() == [True, False, False, True, True]


def test_the_best_rung_is_chosen_among_the_allowed_ones():
    assert chance(9, 1, 2, allowed=[False, True, True]).argmax() == 2


def test_the_smallest_loss_is_the_most_likely():
    assert chance(-9, -1, -5).argmax() == 1


def test_rungs_of_equal_profit_are_equally_likely():
    assert chance(4, 4, 4) == pytest.approx(1 / 3)


def test_a_high_temperature_draws_evenly_and_a_low_one_the_best():
    assert chance(1, 3, 2, temperature=1e3) == pytest.approx(1 / 3, abs=1e-3)
    assert chance(1, 3, 2, temperature=1e-2) == pytest.approx(
        [MIN_PROBABILITY, 1 - 2 * MIN_PROBABILITY, MIN_PROBABILITY]
    )
