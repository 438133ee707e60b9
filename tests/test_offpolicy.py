"""What another policy would have earned: worked figures, what must hold, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.offpolicy import fit_demand, modelled
from pricebook.pricing.decision import Choice
from pricebook.pricing.offpolicy import (
    NORMAL,
    Estimate,
    Evidence,
    doubly_robust,
    inverse_propensity,
    logged,
    overall,
    within_arm,
)

MONEY = arrays(np.float64, 6, elements=st.floats(-1e4, 1e4))
CHANCES = arrays(np.float64, 6, elements=st.floats(0.01, 1))


def evidence(earned, propensity, target, who=None):
    columns = (np.array(column, float) for column in (earned, propensity, target))
    return Evidence(*columns, np.arange(len(earned)) if who is None else np.array(who))


def line(quote_id, price, arm="explore", choice=((3, 4), (0.25, 0.75)), **more):
    drawn = None if choice is None else {"prices": choice[0], "chances": choice[1]}
    within = 1.0 if choice is None else choice[1][choice[0].index(price)]
    times = {"issued_at": "2026-01-05T09:00:00+00:00", "expires_at": "2026-01-05T09:15:00+00:00"}
    quote = {"quote_id": quote_id, "sku": "milk", "zone": "all", "price": price, "arm": arm}
    shopper = {"customer_id": more.get("who", quote_id)}
    features = {"unit_cost": more.get("cost", 1.0)}
    quote |= {"propensity": 0.5 * within, **times, **more.get("quote", {})}
    return {"quote": quote, "choice": drawn, "features": features, "shopper": shopper}


def order(event_id, quote_id, quantity):
    return {"order": {"event_id": event_id, "quote_id": quote_id, "quantity": quantity}}


def cheapest(choice):
    return choice.prices[0]


@given(MONEY, CHANCES)
def test_of_the_policy_that_drew_it_tells_the_mean_reward(earned, chance):
    found = inverse_propensity(evidence(earned, chance, chance))
    assert found.value == pytest.approx(earned.mean(), abs=1e-9)


@given(MONEY, CHANCES, CHANCES)
def test_a_model_that_says_nothing_changes_nothing(earned, chance, target):
    seen, nothing = evidence(earned, chance, target), np.zeros(6)
    assert doubly_robust(seen, nothing, nothing) == inverse_propensity(seen)


@given(MONEY, CHANCES, CHANCES, MONEY)
def test_a_model_that_is_right_is_believed(earned, chance, target, expected):
    found = doubly_robust(evidence(earned, chance, target), earned, expected)
    assert found.value == pytest.approx(expected.mean(), abs=1e-9)


def test_a_reward_counts_as_often_as_its_chance_was_small():
    seen = evidence([8, 3, 6], [0.25, 0.5, 0.5], [1, 0, 1])
    assert inverse_propensity(seen).value == pytest.approx((8 * 4 + 6 * 2) / 3)


def test_the_error_is_that_of_a_mean():
    earned = np.array([1.0, 4.0, 2.0, 7.0])
    found = inverse_propensity(evidence(earned, np.ones(4), np.ones(4)))
    assert found.error == pytest.approx(earned.std(ddof=1) / 2)


def test_who_asks_twice_tells_no_more_than_who_asks_once():
    once = evidence([1, 5, 3], [0.5] * 3, [1] * 3)
    twice = evidence([1, 1, 5, 5, 3, 3], [0.5] * 6, [1] * 6, ["a", "a", "b", "b", "c", "c"])
    assert inverse_propensity(twice).error == pytest.approx(inverse_propensity(once).error)


@pytest.mark.parametrize("off", [0.0, 5.0])
def test_both_recover_a_known_value_whatever_the_model_says(off):
    rng, price = np.random.default_rng(3), np.array([3.0, 4.0, 5.0])
    chance = np.array([0.2, 0.5, 0.3])
    drawn = rng.choice(3, 20_000, p=chance)
    earned = price[drawn] * rng.binomial(1, 1.5 / price[drawn])
    seen = evidence(earned, chance[drawn], drawn == 0)
    said = 1.5 + off * (drawn + 1)
    robust = doubly_robust(seen, said, np.full(drawn.size, 1.5 + off))
    for found in (inverse_propensity(seen), robust):
        assert abs(found.value - 1.5) < 3 * found.error < 0.5


def test_a_good_model_narrows_the_interval():
    rng = np.random.default_rng(5)
    drawn = rng.random(5_000) < 0.5
    earned = 10 + rng.normal(0, 1, drawn.size)
    seen, said = evidence(earned, np.full(drawn.size, 0.5), drawn), np.full(drawn.size, 10.0)
    assert doubly_robust(seen, said, said).error < inverse_propensity(seen).error / 3


def test_an_interval_reaches_as_far_to_either_side():
    assert Estimate(2.0, 0.5).interval == (2 - 0.5 * NORMAL, 2 + 0.5 * NORMAL)


@pytest.mark.parametrize("wrong", [0.0, -0.1, 1.1, np.nan])
def test_a_propensity_that_is_none_is_refused(wrong):
    with pytest.raises(ValueError, match=f"propensity.*Received: {wrong}"):
        evidence([1, 2], [0.5, wrong], [1, 0])


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.nan])
def test_a_target_that_is_no_chance_is_refused(wrong):
    with pytest.raises(ValueError, match=f"target.*Received: {wrong}"):
        evidence([1, 2], [0.5, 0.5], [1, wrong])


def test_a_reward_nobody_knows_is_refused():
    with pytest.raises(ValueError, match=r"finite reward\. Received: nan"):
        evidence([1, np.nan], [0.5, 0.5], [1, 0])


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"one length. Received: .*\(3,\)"):
        evidence([1, 2, 3], [0.5, 0.5], [1, 0])


def test_one_who_asks_has_no_error():
    with pytest.raises(ValueError, match=r"two who ask. Received: \['ann'\]"):
        evidence([1, 2], [0.5, 0.5], [1, 0], ["ann", "ann"])


def test_a_model_that_does_not_answer_for_each_is_refused():
    with pytest.raises(ValueError, match=r"must answer \(2,\). Received"):
        doubly_robust(evidence([1, 2], [0.5, 0.5], [1, 0]), np.zeros(2), np.zeros(3))


def test_a_quote_earns_what_was_ordered_on_it_whenever_told_and_once():
    told = [order("e1", "a", 2), line("a", 3), order("e2", "a", 1), order("e1", "a", 2)]
    (found,) = logged([*told, order("e3", "elsewhere", 9)])
    assert (found.units, found.profit) == (3, 3 * (3 - 1))


def test_a_quote_without_an_order_sold_nothing():
    assert logged([line("a", 3)])[0].profit == 0


def test_a_quote_whose_cost_is_not_known_is_no_evidence():
    quotes = logged([line("a", 3, cost=None), line("b", 4)])
    with pytest.raises(ValueError, match="finite reward"):
        within_arm(quotes, cheapest)


def test_a_price_that_was_not_drawn_was_certain_in_its_arm():
    assert logged([line("a", 3, choice=None)])[0].choice == Choice((3,), (1.0,))


def test_within_the_arm_the_share_of_the_arm_does_not_count():
    seen = within_arm(logged([line("a", 3), line("b", 4)]), cheapest)
    assert (seen.propensity.tolist(), seen.target.tolist()) == ([0.25, 0.75], [1, 0])


def test_overall_a_quote_of_another_arm_was_asked_for_and_tells_nothing():
    seen = overall(logged([line("a", 3), line("b", 3, arm="champion", choice=None)]), cheapest)
    assert (seen.propensity.tolist(), seen.target.tolist()) == ([0.125, 0.5], [1, 0])


def test_who_has_no_name_shares_a_draw_with_others_at_the_moment():
    later = {"issued_at": "2026-01-05T09:16:00+00:00", "expires_at": "2026-01-05T09:31:00+00:00"}
    soon = {"issued_at": "2026-01-05T09:01:00+00:00", "expires_at": "2026-01-05T09:16:00+00:00"}
    times = ({}, soon, later)
    lines = [line(str(n), 3, who=None, quote=time) for n, time in enumerate(times)]
    first, second, third = (one.who for one in logged(lines))
    assert first == second != third


def model_where(bob_bought):
    """The reward model where ann and bob were shown both prices; ann bought 2 units, and 1."""
    lines = [line(f"{who}{price}", price, who=who) for who in ("ann", "bob") for price in (3, 4)]
    ids = [one["quote"]["quote_id"] for one in lines]
    quotes = logged([*lines, *map(order, ids, ids, (2, 1, *bob_bought))])
    return np.array(modelled(quotes, np.array([one.who for one in quotes])))


def test_what_a_shopper_bought_tells_the_reward_model_of_the_others_alone():
    before, after = model_where((1, 1)), model_where((9, 3))
    changed = (before != after).any(axis=0)
    assert changed.tolist() == [True, True, False, False]


def test_the_reward_model_finds_the_demand_that_led_to_the_log():
    sku, price = np.repeat([0, 2], 3), np.array([300.0, 350, 400, 90, 99, 110])
    level, elasticity = fit_demand(sku, np.array([5e5, 0, 2e4])[sku] * price**-2.5, price, 3)
    assert elasticity == pytest.approx(-2.5)
    assert level == pytest.approx([5e5, 0, 2e4])
