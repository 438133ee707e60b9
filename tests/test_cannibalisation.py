"""The margin that a lower price takes from the shop's own substitutes, and its limits."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pricebook.config import Quote
from pricebook.pricing.cannibalisation import opportunity_cost
from pricebook.pricing.decision import Listings, decide_many
from pricebook.simulation.market import Market, Offer, Spec

SKUS = 6
PLACES = np.array([0, 0, 0, 1, 1, 2])
units = arrays(float, SKUS, elements=st.floats(0, 1000))
margins = arrays(float, SKUS, elements=st.floats(-500, 500))
crosses = arrays(float, SKUS, elements=st.floats(-2, 5) | st.just(float("nan")))
owns = arrays(float, SKUS, elements=st.floats(-8, -0.1))


@given(owns, crosses, units, margins)
def test_a_unit_gained_costs_at_most_the_highest_margin_of_the_others(own, cross, sold, margin):
    cost = opportunity_cost(own, cross, sold, margin, PLACES)
    best = [max(margin[place == PLACES].max(), 0) for place in PLACES]
    assert (cost >= 0).all() and (cost <= np.array(best) + 1e-6).all()


@given(owns, crosses, units, margins)
def test_the_only_sku_of_a_category_has_no_cannibalisation(own, cross, sold, margin):
    assert opportunity_cost(own, cross, sold, margin, PLACES)[-1] == 0


@given(owns, units, margins)
def test_without_a_cross_elasticity_there_is_no_cannibalisation(own, sold, margin):
    unknown = np.full(SKUS, np.nan)
    assert not opportunity_cost(own, unknown, sold, margin, PLACES).any()


def test_it_estimates_the_true_loss_of_a_simulated_market():
    market = Market.draw(Spec(skus=24, categories=4, nest=0.9))
    state, offer = market.opening(), Offer(market.list_price, np.zeros(24, bool))
    slopes, sold = market.elasticity(state, offer), market.demand(state, offer)
    own, margin = np.diag(slopes), (market.list_price - market.unit_cost).astype(float)
    taken = slopes * sold[:, None] / (-own * sold)[None, :]
    true = ((taken - np.diag(np.diag(taken))) * margin[:, None]).sum(axis=0)
    estimate = opportunity_cost(own, slopes.sum(axis=1) - own, sold, margin, market.category)
    assert np.corrcoef(estimate, true)[0, 1] > 0.9
    assert estimate.sum() == pytest.approx(true.sum(), rel=0.2)


def price(lost, elasticity=-3.0):
    unit = np.ones(1)
    listings = Listings(
        sku=np.array(["a"], object),
        zone=np.array(["all"], object),
        list_price=np.array([1000]),
        reference_price=1000 * unit,
        unit_cost=500 * unit,
        cost_assumed=np.zeros(1, bool),
        map_price=np.nan * unit,
        competitor_price=np.nan * unit,
        modelled=np.ones(1, bool),
        cannibalised=lost * unit,
    )
    (decided,) = decide_many(listings, ["everyone"], Quote(), lambda _, __, r: r**elasticity)
    return decided


@given(st.floats(0, 2000), st.floats(0, 2000))
def test_more_cannibalisation_means_a_smaller_markdown(first, other):
    less, more = sorted((first, other))
    assert price(less).price <= price(more).price <= 1000


@given(st.floats(0, 2000))
def test_cannibalisation_does_not_change_the_floor(lost):
    assert price(lost).floor == price(0.0).floor


@given(st.floats(-0.99, -0.05))
def test_an_inelastic_sku_gets_the_highest_price_its_guardrails_allow(elasticity):
    assert price(0.0, elasticity).price == 1000
