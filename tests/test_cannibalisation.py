"""What a lower price takes from the shop's own substitutes is weighed, and never overdone."""

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
def test_no_unit_gained_costs_more_than_the_best_margin_beside_it(own, cross, sold, margin):
    cost = opportunity_cost(own, cross, sold, margin, PLACES)
    best = [max(margin[place == PLACES].max(), 0) for place in PLACES]
    assert (cost >= 0).all() and (cost <= np.array(best) + 1e-6).all()


@given(owns, crosses, units, margins)
def test_a_sku_alone_in_its_category_takes_from_nobody(own, cross, sold, margin):
    assert opportunity_cost(own, cross, sold, margin, PLACES)[-1] == 0


@given(owns, units, margins)
def test_without_a_cross_elasticity_nothing_is_taken(own, sold, margin):
    unknown = np.full(SKUS, np.nan)
    assert not opportunity_cost(own, unknown, sold, margin, PLACES).any()


def test_it_finds_what_the_true_market_would_lose():
    market = Market.draw(Spec(skus=24, categories=4, nest=0.9))
    state, offer = market.opening(), Offer(market.list_price, np.zeros(24, bool))
    slopes, sold = market.elasticity(state, offer), market.demand(state, offer)
    own, margin = np.diag(slopes), (market.list_price - market.unit_cost).astype(float)
    taken = slopes * sold[:, None] / (-own * sold)[None, :]
    true = ((taken - np.diag(np.diag(taken))) * margin[:, None]).sum(axis=0)
    said = opportunity_cost(own, slopes.sum(axis=1) - own, sold, margin, market.category)
    assert np.corrcoef(said, true)[0, 1] > 0.9
    assert said.sum() == pytest.approx(true.sum(), rel=0.2)


def price(lost, elasticity=-3.0):
    one = np.ones(1)
    listings = Listings(
        sku=np.array(["a"], object),
        zone=np.array(["all"], object),
        list_price=np.array([1000]),
        reference_price=1000 * one,
        unit_cost=500 * one,
        cost_assumed=np.zeros(1, bool),
        map_price=np.nan * one,
        competitor_price=np.nan * one,
        modelled=np.ones(1, bool),
        cannibalised=lost * one,
    )
    (decided,) = decide_many(listings, ["everyone"], Quote(), lambda _, __, r: r**elasticity)
    return decided


@given(st.floats(0, 2000), st.floats(0, 2000))
def test_the_more_a_sku_takes_from_others_the_less_it_is_marked_down(one, other):
    less, more = sorted((one, other))
    assert price(less).price <= price(more).price <= 1000


@given(st.floats(0, 2000))
def test_what_it_takes_from_others_never_moves_its_floor(lost):
    assert price(lost).floor == price(0.0).floor


@given(st.floats(-0.99, -0.05))
def test_an_inelastic_sku_stays_at_the_most_its_guardrails_allow(elasticity):
    assert price(0.0, elasticity).price == 1000
