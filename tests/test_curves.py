"""Demand curves: closed forms against brute force."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pricebook.pricing.curves import (
    ConstantElasticity,
    Curve,
    Linear,
    Logit,
    Quadratic,
    best_between,
    profit,
)

costs = st.floats(1, 300)
prices = st.floats(1, 1000)
linear = st.builds(Linear, st.floats(500, 5000), st.floats(0.1, 5))
quadratic = st.builds(Quadratic, st.floats(500, 5000), st.floats(0, 5), st.floats(1e-4, 0.05))
elastic = st.builds(ConstantElasticity, st.floats(1, 100), st.floats(50, 500), st.floats(-6, -1.2))
logit = st.builds(Logit, st.floats(1, 100), st.floats(-2, 8), st.floats(0.005, 0.1))
families = {"linear": linear, "quadratic": quadratic, "constant": elastic, "logit": logit}
curves = st.one_of(*families.values())
of_each_family = pytest.mark.parametrize("family", families.values(), ids=families)
STEP = 1.00001


def brute_force(curve: Curve, cost: float) -> float:
    ladder = np.linspace(0.5, 6_000, 40_001)
    return float(max((ladder - cost) * curve.demand(ladder)))


@of_each_family
@given(data=st.data(), cost=costs)
def test_no_rung_of_a_fine_ladder_earns_more_than_the_optimum(family, data, cost):
    curve = data.draw(family)
    best = profit(curve, curve.optimum(cost), cost)
    assert best >= brute_force(curve, cost) * (1 - 1e-9) - 1e-9


@given(curves, costs)
def test_the_search_finds_the_closed_form_optimum(curve, cost):
    optimum = curve.optimum(cost)
    price = best_between(curve, cost, cost, 2 * optimum + cost)
    assert profit(curve, price, cost) == pytest.approx(
        profit(curve, optimum, cost), rel=1e-6, abs=1e-9
    )


@of_each_family
@given(data=st.data(), price=prices)
def test_elasticity_is_the_slope_of_log_demand(family, data, price):
    curve = data.draw(family)
    dearer, cheaper = curve.demand(price * STEP), curve.demand(price / STEP)
    assume(dearer > 1e-3)
    measured = math.log(dearer / cheaper) / (2 * math.log(STEP))
    assume(measured > -100)  # nearer to the choke price the slope turns within the step
    assert curve.elasticity(price) == pytest.approx(measured, rel=1e-4, abs=1e-5)


@of_each_family
@given(data=st.data(), cost=costs)
def test_the_margin_at_the_optimum_is_one_over_the_elasticity(family, data, cost):
    curve = data.draw(family)
    price = curve.optimum(cost)
    assume(curve.demand(price) > 1e-3)
    assert (price - cost) / price == pytest.approx(-1 / curve.elasticity(price), rel=1e-6)


@given(linear, costs)
def test_a_quadratic_curve_without_curvature_is_a_linear_one(curve, cost):
    bent = Quadratic(curve.intercept, curve.slope, 0)
    assert bent.optimum(cost) == pytest.approx(curve.optimum(cost))
    assert bent.elasticity(cost) == pytest.approx(curve.elasticity(cost))


@given(curves, prices, prices)
def test_a_higher_price_never_sells_more(curve, first, other):
    assert curve.demand(max(first, other)) <= curve.demand(min(first, other))


@given(curves)
def test_an_array_of_prices_gives_the_same_as_single_prices(curve):
    ladder = np.array([10.0, 100.0, 900.0])
    assert np.allclose(curve.demand(ladder), [curve.demand(float(price)) for price in ladder])
    assert np.allclose(curve.elasticity(ladder), [curve.elasticity(float(p)) for p in ladder])


def test_inelastic_demand_has_an_infinite_optimum():
    assert ConstantElasticity(10, 200, -0.8).optimum(100) == math.inf


def test_an_upper_bound_limits_the_price_of_inelastic_demand():
    assert best_between(ConstantElasticity(10, 200, -0.8), 100, 150, 250) == pytest.approx(250)


def test_demand_above_the_choke_price_is_zero_and_infinitely_elastic():
    curve = Linear(100, 1)
    assert curve.demand(150.0) == 0
    assert curve.elasticity(150.0) == -math.inf


@given(logit, costs)
def test_the_logit_optimum_solves_its_first_order_condition(curve, cost):
    price = curve.optimum(cost)
    assert 1 + curve.elasticity(price) * (price - cost) / price == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("utility", [-1e6, 1e6])
def test_the_logit_optimum_is_finite_at_extreme_utilities(utility):
    assert math.isfinite(Logit(100, utility, 0.1).optimum(50))


@pytest.mark.parametrize(
    "build",
    [
        lambda: Linear(100, 0),
        lambda: Quadratic(100, -1, 2),
        lambda: ConstantElasticity(10, 200, 0.5),
        lambda: Logit(math.nan, 1, 1),
    ],
)
def test_a_curve_that_does_not_fall_is_refused(build):
    with pytest.raises(ValueError, match="Received"):
        build()


def test_bounds_the_wrong_way_round_are_refused():
    with pytest.raises(ValueError, match="low must not be above high"):
        best_between(Linear(100, 1), 10, 50, 40)
