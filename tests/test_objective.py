"""The objective: long-run terms, and the prices of most volume or revenue at no less profit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.objective import Book
from pricebook.config import Params, Quote
from pricebook.pricing import objective
from pricebook.pricing.objective import Rows

SHOP = {"name": "a shop", "source": "files"}


def shop(count=40, margin=0.3, seed=3):
    """A shop with two departments; elasticities differ, list prices have one margin."""
    random = np.random.default_rng(seed)
    listed = random.uniform(100, 900, count)
    return Rows(
        elasticity=-random.uniform(0.5, 2.5, count),
        list_price=listed,
        marginal_cost=listed * (1 - margin),
        floor=listed * 0.72,
        usual_price=listed,
        units=random.uniform(1, 50, count),
        department=np.arange(count) % 2,
    )


@given(
    st.floats(-4, -0.1),
    st.floats(1, 1e5),
    st.floats(0.05, 0.9),
)
def test_a_price_is_the_most_profitable_one_at_its_implied_term(elasticity, price, margin):
    rows = replace(
        shop(1), elasticity=np.array([elasticity]), marginal_cost=np.array([price * (1 - margin)])
    )
    total = elasticity + objective.implied_terms(rows, np.array([price]))[0]
    if total < elasticity:  # the implied term is not cut off at 0
        best = rows.marginal_cost[0] * total / (total + 1)
        assert best == pytest.approx(price, rel=1e-6)


def test_calibrated_list_prices_are_optimal_for_the_average_sku_of_a_department():
    rows = shop(400)
    total = rows.elasticity + objective.calibrated(rows)
    best = rows.marginal_cost * total / (total + 1)
    assert np.median(best / rows.list_price) == pytest.approx(1, abs=0.01)
    assert 0.3 < np.mean(best < rows.list_price) < 0.7


def test_raising_all_list_prices_of_a_shop_changes_no_long_run_profit():
    rows = replace(shop(400), department=np.zeros(400, np.int64), usual_price=shop(400).list_price)
    total = rows.in_the_long_run(objective.calibrated(rows))
    higher, lower = (total.profit(rows.list_price * share).sum() for share in (1.001, 0.999))
    slope = (higher - lower) / total.profit(rows.list_price).sum() / 0.002
    assert slope == pytest.approx(0, abs=0.01)


def test_a_product_that_nobody_buys_does_not_decide_the_term():
    rows = shop(200)
    unsold = replace(rows, units=np.r_[np.zeros(20), rows.units[20:]])
    odd = np.r_[rows.elasticity[:20] * 9, rows.elasticity[20:]]
    terms = objective.calibrated(replace(unsold, elasticity=odd))
    assert terms == pytest.approx(objective.calibrated(unsold), abs=1e-9)


def test_a_more_elastic_sku_gets_a_lower_price_than_a_similar_one():
    rows = shop(400)
    total = rows.elasticity + objective.calibrated(rows)
    best = rows.marginal_cost * total / (total + 1) / rows.list_price
    assert best[rows.elasticity < -2].max() < best[rows.elasticity > -1].min()


def test_a_small_department_follows_the_shop():
    rows = shop(200)
    lone = replace(rows, department=np.r_[rows.department[:-1], 2])
    terms = objective.calibrated(lone)
    assert abs(terms[-1] - np.median(terms)) < 0.2


def test_rows_without_sales_do_not_take_the_weight_of_those_with_sales():
    rows = shop(200)
    unsold = replace(rows, units=np.where(np.arange(200) < 120, 0.0, rows.units))
    elastic = np.where(np.arange(200) < 120, -2.9, -1.0)
    terms = objective.calibrated(replace(unsold, elasticity=elastic))
    assert terms == pytest.approx(np.full(200, 1 - 1 / 0.3), abs=1e-6)


def test_loss_leaders_do_not_decide_the_term():
    rows = shop(200)
    leaders = rows.marginal_cost.copy()
    leaders[:20] = rows.list_price[:20] * 1.5
    terms = objective.calibrated(replace(rows, marginal_cost=leaders))
    assert terms == pytest.approx(objective.calibrated(rows), abs=0.5)


@given(st.floats(0.02, 0.95), st.integers(0, 20))
def test_the_term_is_finite_and_never_above_zero(margin, seed):
    terms = objective.calibrated(shop(margin=margin, seed=seed))
    assert np.isfinite(terms).all()
    assert (terms <= 0).all()


def test_without_costs_the_term_is_zero():
    rows = shop()
    assert not objective.calibrated(replace(rows, marginal_cost=rows.marginal_cost * np.nan)).any()


@pytest.mark.parametrize("value", [objective.volume, objective.revenue])
def test_volume_and_revenue_rise_at_no_less_profit(value):
    rows = shop(100).in_the_long_run(objective.calibrated(shop(100)))
    prices, listed = objective.most(rows, value), rows.list_price
    before, after = objective.point(rows, listed), objective.point(rows, prices)
    assert after.profit >= before.profit * (1 - 1e-9)
    assert value(rows, prices[:, None]).sum() > 1.02 * value(rows, listed[:, None]).sum()
    assert ((rows.floor - 1e-6 <= prices) & (prices <= listed + 1e-6)).all()


def test_along_the_frontier_units_rise_and_profit_falls():
    rows = shop(100).in_the_long_run(objective.calibrated(shop(100)))
    points = objective.frontier(rows, objective.volume, np.array([0.0, 0.05, 0.1, 0.2]))
    assert np.all(np.diff([point.units for point in points]) >= 0)
    assert np.all(np.diff([point.profit for point in points]) <= 1e-9 * points[0].profit)


def book(departments=("FOOD", "TOYS")):
    """A price book of two listings with their tables."""
    keys = pd.DataFrame({"sku": ["a", "b"], "zone": "all"})
    prices = {"list_price": 100, "unit_cost": 70, "map_price": np.nan, "reference_price": 100}
    listed = keys.assign(department=departments, **prices)
    elasticities = keys.assign(segment="everyone", elasticity=-1.5)
    return Book.from_tables(listed, elasticities, np.zeros(2), keys.assign(units=3.0), Quote())


def test_a_number_is_the_term_of_every_row():
    assert book().long_run(-1.5).tolist() == [-1.5, -1.5]


def test_a_mapping_gives_each_department_its_term():
    assert book().long_run({"TOYS": -2.0}).tolist() == [0.0, -2.0]


def test_a_misspelt_department_is_named():
    assert book().unknown_departments({"TOYS": -2.0, "FOD": -1.0}) == ("FOD",)
    assert book().unknown_departments("calibrated") == ()


def test_profit_counts_no_later_sales():
    assert book().long_run("profit").tolist() == [0.0, 0.0]


def test_a_listing_without_department_is_calibrated_too():
    assert book((None, "TOYS")).long_run("calibrated") == pytest.approx([-1 / 0.3 + 1.5] * 2)


@pytest.mark.parametrize("value", ["growth", 1.0, {}, {"TOYS": 2.0}, {"TOYS": "x"}, True, None])
def test_a_wrong_objective_is_refused_and_the_message_lists_the_right_ones(value):
    with pytest.raises(ValidationError, match="calibrated, profit, volume, revenue, or a"):
        Params.model_validate({"shop": SHOP, "objective": value})


@pytest.mark.parametrize("value", ["calibrated", "volume", -2, -2.5, {"TOYS": -2.0}])
def test_every_kind_of_objective_is_read(value):
    assert Params.model_validate({"shop": SHOP, "objective": value}).objective == value
