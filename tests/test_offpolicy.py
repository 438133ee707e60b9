"""What another policy would have earned: worked figures, what must hold, and what is refused."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmarks.offpolicy import fit_demand, reward_model
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
def test_the_logging_policy_itself_earns_the_mean_reward(earned, chance):
    estimate = inverse_propensity(evidence(earned, chance, chance))
    assert estimate.value == pytest.approx(earned.mean(), abs=1e-9)


@given(MONEY, CHANCES, CHANCES)
def test_a_model_that_predicts_zero_changes_nothing(earned, chance, target):
    sample, nothing = evidence(earned, chance, target), np.zeros(6)
    assert doubly_robust(sample, nothing, nothing) == inverse_propensity(sample)


@given(MONEY, CHANCES, CHANCES, MONEY)
def test_a_correct_model_gives_its_expected_reward(earned, chance, target, expected):
    estimate = doubly_robust(evidence(earned, chance, target), earned, expected)
    assert estimate.value == pytest.approx(expected.mean(), abs=1e-9)


def test_a_reward_is_weighted_by_the_inverse_of_its_probability():
    sample = evidence([8, 3, 6], [0.25, 0.5, 0.5], [1, 0, 1])
    assert inverse_propensity(sample).value == pytest.approx((8 * 4 + 6 * 2) / 3)


def test_the_error_is_the_standard_error_of_a_mean():
    earned = np.array([1.0, 4.0, 2.0, 7.0])
    estimate = inverse_propensity(evidence(earned, np.ones(4), np.ones(4)))
    assert estimate.error == pytest.approx(earned.std(ddof=1) / 2)


def test_two_quotes_of_one_shopper_are_one_cluster():
    once = evidence([1, 5, 3], [0.5] * 3, [1] * 3)
    twice = evidence([1, 1, 5, 5, 3, 3], [0.5] * 6, [1] * 6, ["a", "a", "b", "b", "c", "c"])
    assert inverse_propensity(twice).error == pytest.approx(inverse_propensity(once).error)


@pytest.mark.parametrize("off", [0.0, 5.0])
def test_both_estimators_recover_a_known_value_whatever_the_model_predicts(off):
    rng, price = np.random.default_rng(3), np.array([3.0, 4.0, 5.0])
    chance = np.array([0.2, 0.5, 0.3])
    drawn = rng.choice(3, 20_000, p=chance)
    earned = price[drawn] * rng.binomial(1, 1.5 / price[drawn])
    sample = evidence(earned, chance[drawn], drawn == 0)
    predicted = 1.5 + off * (drawn + 1)
    robust = doubly_robust(sample, predicted, np.full(drawn.size, 1.5 + off))
    for estimate in (inverse_propensity(sample), robust):
        assert abs(estimate.value - 1.5) < 3 * estimate.error < 0.5


def test_a_good_model_narrows_the_interval():
    rng = np.random.default_rng(5)
    drawn = rng.random(5_000) < 0.5
    earned = 10 + rng.normal(0, 1, drawn.size)
    sample, predicted = evidence(earned, np.full(drawn.size, 0.5), drawn), np.full(drawn.size, 10.0)
    assert doubly_robust(sample, predicted, predicted).error < inverse_propensity(sample).error / 3


def test_an_interval_is_symmetric():
    assert Estimate(2.0, 0.5).interval == (2 - 0.5 * NORMAL, 2 + 0.5 * NORMAL)


@pytest.mark.parametrize("wrong", [0.0, -0.1, 1.1, np.nan])
def test_an_invalid_propensity_is_refused(wrong):
    with pytest.raises(ValueError, match=f"propensity.*Received: {wrong}"):
        evidence([1, 2], [0.5, wrong], [1, 0])


@pytest.mark.parametrize("wrong", [-0.1, 1.1, np.nan])
def test_an_invalid_target_probability_is_refused(wrong):
    with pytest.raises(ValueError, match=f"target.*Received: {wrong}"):
        evidence([1, 2], [0.5, 0.5], [1, wrong])


def test_an_unknown_reward_is_refused():
    with pytest.raises(ValueError, match=r"finite reward\. Received: nan"):
        evidence([1, np.nan], [0.5, 0.5], [1, 0])


def test_columns_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match=r"one length. Received: .*\(3,\)"):
        evidence([1, 2, 3], [0.5, 0.5], [1, 0])


def test_one_shopper_gives_no_standard_error():
    with pytest.raises(ValueError, match=r"two shoppers. Received: \['ann'\]"):
        evidence([1, 2], [0.5, 0.5], [1, 0], ["ann", "ann"])


def test_predictions_of_another_shape_are_refused():
    with pytest.raises(ValueError, match=r"need the shape \(2,\). Received"):
        doubly_robust(evidence([1, 2], [0.5, 0.5], [1, 0]), np.zeros(2), np.zeros(3))


def test_an_order_counts_once_wherever_it_is_in_the_log():
    lines = [order("e1", "a", 2), line("a", 3), order("e2", "a", 1), order("e1", "a", 2)]
    (estimate,) = logged([*lines, order("e3", "elsewhere", 9)])
    assert (estimate.units, estimate.profit) == (3, 3 * (3 - 1))


def test_a_quote_without_an_order_sold_nothing():
    assert logged([line("a", 3)])[0].profit == 0


def test_a_quote_without_a_cost_is_refused_as_evidence():
    quotes = logged([line("a", 3, cost=None), line("b", 4)])
    with pytest.raises(ValueError, match="finite reward"):
        within_arm(quotes, cheapest)


def test_a_price_that_was_not_drawn_has_probability_one():
    assert logged([line("a", 3, choice=None)])[0].choice == Choice((3,), (1.0,))


def test_within_the_arm_the_share_of_the_arm_does_not_count():
    sample = within_arm(logged([line("a", 3), line("b", 4)]), cheapest)
    assert (sample.propensity.tolist(), sample.target.tolist()) == ([0.25, 0.75], [1, 0])


def test_overall_a_quote_of_another_arm_has_weight_zero():
    sample = overall(logged([line("a", 3), line("b", 3, arm="champion", choice=None)]), cheapest)
    assert (sample.propensity.tolist(), sample.target.tolist()) == ([0.125, 0.5], [1, 0])


def test_anonymous_requests_of_one_moment_are_one_cluster():
    later = {"issued_at": "2026-01-05T09:16:00+00:00", "expires_at": "2026-01-05T09:31:00+00:00"}
    soon = {"issued_at": "2026-01-05T09:01:00+00:00", "expires_at": "2026-01-05T09:16:00+00:00"}
    times = ({}, soon, later)
    lines = [line(str(n), 3, who=None, quote=time) for n, time in enumerate(times)]
    first, second, third = (quote.who for quote in logged(lines))
    assert first == second != third


def model_where(bob_bought):
    """The reward model where ann and bob were shown both prices; ann bought 2 units, and 1."""
    lines = [line(f"{who}{price}", price, who=who) for who in ("ann", "bob") for price in (3, 4)]
    ids = [line_["quote"]["quote_id"] for line_ in lines]
    quotes = logged([*lines, *map(order, ids, ids, (2, 1, *bob_bought))])
    return np.array(reward_model(quotes, np.array([line_.who for line_ in quotes])))


def test_the_reward_model_of_a_shopper_is_fitted_on_other_shoppers():
    before, after = model_where((1, 1)), model_where((9, 3))
    changed = (before != after).any(axis=0)
    assert changed.tolist() == [True, True, False, False]


def test_the_reward_model_recovers_the_true_demand():
    sku, price = np.repeat([0, 2], 3), np.array([300.0, 350, 400, 90, 99, 110])
    level, elasticity = fit_demand(sku, np.array([5e5, 0, 2e4])[sku] * price**-2.5, price, 3)
    assert elasticity == pytest.approx(-2.5)
    assert level == pytest.approx([5e5, 0, 2e4])
