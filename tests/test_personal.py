"""Personal offers and their purposes: what always holds, and what each is expected to earn."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_quote import LIMITS, demand, listings, quote, rows, rules, some_limits, thorough

from pricebook import money
from pricebook.config import Personal, Purpose
from pricebook.config import Quote as Limits
from pricebook.pricing.arms import PUBLIC, Arm
from pricebook.pricing.personal import ABANDONED_CART, LAPSING, purpose
from pricebook.pricing.quote import SWITCHED_OFF, WITHHELD, Shopper, Terms, offers, terms

ANN = Shopper("ann", True, "deal seeker")
purposes = st.builds(Purpose, discount=st.floats(0, 1), lift=st.floats(0, 1))
settings_of_personal = st.builds(Personal, abandoned_cart=purposes, lapsing=purposes)
names = st.sampled_from(["", ABANDONED_CART, LAPSING])
segments = st.sampled_from(["deal seeker", "regular"])


def offer(segment="deal seeker", purpose="", limits=LIMITS, **row):
    own = Terms(segment, f"the offer for {segment} shoppers", purpose=purpose)
    return offers([own], listings(row), limits, demand)[0]


def with_cart(**fields):
    return LIMITS.model_copy(update={"personal": Personal(abandoned_cart=Purpose(**fields))})


@thorough
@given(rows, some_limits, settings_of_personal, segments, names, st.floats(0, 1), st.floats(-5, 0))
def test_an_offer_with_any_purpose_keeps_floor_dispersion_and_ladder(
    rows, limits, personal, segment, name, dispersion, long_run
):
    limits = limits.model_copy(update={"personal": personal, "max_dispersion": dispersion})
    book = replace(listings(*rows), long_run=np.full(len(rows), long_run))
    own = offers([Terms(segment, "", purpose=name)] * len(rows), book, limits, demand)
    public = offers([Terms()] * len(rows), book, limits, demand)
    for ours, other in zip(own, public, strict=True):
        lowest = max(other.price * (1 - dispersion), min(other.floor or 0, other.price))
        assert round(lowest, 6) <= ours.price <= other.price
        assert ours.price in money.rungs(ours.list_price, limits.endings)
        assert ours.personalised == (ours.price < other.price) == (ours.expectation is not None)


@thorough
@given(rows, some_limits, settings_of_personal, segments, names)
def test_a_personal_offer_is_expected_to_earn_more_than_the_public_one(
    rows, limits, personal, segment, name
):
    limits = limits.model_copy(update={"personal": personal})
    for ours in offers(
        [Terms(segment, "", purpose=name)] * len(rows), listings(*rows), limits, demand
    ):
        if ours.personalised:
            assert ours.expectation.profit > ours.expectation.public_profit
            assert ours.expectation.public_price > ours.price


def test_the_expectation_is_profit_relative_to_demand_at_the_reference_price():
    own, public = offer(), offer("everyone")
    assert own.expectation.public_price == public.price
    assert own.expectation.profit == pytest.approx((own.price - 200) * (own.price / 480) ** -6.0)
    at_public = (public.price - 200) * (public.price / 480) ** -6.0
    assert own.expectation.public_profit == pytest.approx(at_public)
    assert own.expectation.units == pytest.approx((own.price / public.price) ** -6.0)


def test_the_long_run_term_is_part_of_the_expectation():
    book = replace(listings({"unit_cost": 300.0}), long_run=np.array([-1.0]))
    (own,) = offers([Terms("deal seeker", "")], book, LIMITS, demand)
    assert own.expectation.profit == pytest.approx((own.price - 300) * (own.price / 480) ** -7.0)


def test_an_abandoned_cart_lowers_the_price_of_a_segment_that_pays_the_public_price():
    usual, left = offer("regular"), offer("regular", ABANDONED_CART)
    assert left.price < usual.price == quote().price
    assert left.price >= usual.price * 0.95
    assert "abandoned_cart" in left.reasons[-1].text
    assert (rules(left)[-1], left.personalised) == ("personal", True)


def test_the_lift_of_a_purpose_counts_in_its_expected_profit():
    left = offer("regular", ABANDONED_CART)
    without_lift = (left.price - 200) * (left.price / 480) ** -1.2
    assert left.expectation.profit == pytest.approx(without_lift * 1.1)


@pytest.mark.parametrize("fields", [{"lift": 0.0}, {"lift": 0.001}, {"discount": 0.001}])
def test_a_purpose_that_earns_no_more_or_allows_no_rung_changes_nothing(fields):
    limits = with_cart(**fields)
    for segment in ("regular", "deal seeker"):
        plain, left = (offer(segment, name, limits) for name in ("", ABANDONED_CART))
        assert (left.price, left.personalised) == (plain.price, plain.personalised)


@pytest.mark.parametrize(
    "row", [{"unit_cost": np.nan}, {"modelled": False}, {"on_hand": 0.0}, {"unit_cost": 499.0}]
)
def test_a_sku_that_is_not_repriced_has_no_personal_price(row):
    left = offer("deal seeker", ABANDONED_CART, with_cart(lift=1.0), **row)
    assert (left.price, left.personalised) == (500, False)


def test_a_purpose_never_goes_below_the_floor():
    floor = quote().price
    left = offer("regular", ABANDONED_CART, with_cart(lift=1.0), map_price=float(floor))
    assert (left.price, left.personalised) == (floor, False)


def test_a_shopper_about_to_lapse_has_a_purpose_and_a_cart_precedes_it():
    assert purpose("fading", False, Personal()) == LAPSING
    assert purpose("fading", True, Personal()) == ABANDONED_CART
    assert purpose("loyal", False, Personal()) == ""
    off = Personal(abandoned_cart=Purpose(discount=0.0), lapsing=Purpose(discount=0.0))
    assert purpose("fading", True, off) == ""


@pytest.mark.parametrize("consent", [None, True, False])
@pytest.mark.parametrize("name", [None, "ann"])
def test_with_personal_offers_turned_off_everybody_gets_the_public_offer(consent, name):
    shopper = Shopper(name, consent, "deal seeker", True)
    off = terms(shopper, consent_default=True, enabled=False)
    assert off == Terms(None, SWITCHED_OFF)
    (ours,) = offers([off], listings({}), LIMITS, demand)
    assert (ours.price, ours.disclosure) == (quote().price, None)
    assert ours.reasons[-1].text == f"public_offer: {SWITCHED_OFF}"


def test_without_demand_at_the_public_price_there_is_no_personal_offer():
    def step(listings, segments, ratios):
        usual = demand(listings, segments, ratios)
        return np.where(np.array(segments)[:, None] == "everyone", usual, ratios < 0.8) * 1.0

    own = Terms("deal seeker", "the offer")
    (ours,) = offers([own], listings({}), LIMITS, step)
    assert (ours.price, ours.personalised) == (quote().price, False)
    assert ours.reasons[-1].text == "public_offer: the offer is not expected to earn more"


def test_the_public_group_of_an_experiment_has_no_personal_offers():
    arm = Arm(PUBLIC, 0.5)
    assert quote(ANN).personalised
    ours = quote(ANN, arm=arm)
    assert (ours.price, ours.personalised, ours.propensity) == (quote().price, False, 0.5)


@pytest.mark.parametrize("rule", WITHHELD)
def test_an_offer_that_is_withheld_is_the_public_one_with_the_rule_as_reason(rule):
    withheld = Terms("deal seeker", "", purpose=LAPSING).without_personal(rule)
    (ours,) = offers([withheld], listings({}), Limits(max_step=0.5, competitor_band=0.2), demand)
    assert (ours.price, ours.personalised, rules(ours)[-1]) == (quote().price, False, rule)
