"""Quotes decided by constant-elasticity demand: what always holds, and what each gap says."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pricebook import money
from pricebook.config import Quote as Limits
from pricebook.pricing.arms import Arm
from pricebook.pricing.decision import Listings
from pricebook.pricing.quote import (
    DEFAULT_ARM,
    EVERYONE,
    Shopper,
    Terms,
    list_offers,
    offers,
    terms,
)

LIMITS = Limits(competitor_band=0.2, max_step=0.5)
ELASTICITY = {EVERYONE: -2.0, "deal seeker": -6.0, "regular": -1.2}


def demand(listings, segments, ratios):
    elasticity = np.array([ELASTICITY[segment] for segment in segments])
    return ratios ** elasticity[:, None]


def listings(*rows):
    usual = {
        "sku": "milk",
        "zone": "all",
        "list_price": 500,
        "reference_price": 480.0,
        "unit_cost": 200.0,
        "cost_assumed": False,
        "map_price": np.nan,
        "competitor_price": np.nan,
        "modelled": True,
        "lowest_30d": np.nan,
        "on_hand": np.nan,
        "long_run": 0.0,
        "public_price": np.nan,
    }
    whole = [{**usual, **row} for row in rows]
    kinds = {"sku": object, "zone": object, "list_price": np.int64}
    kinds |= {"cost_assumed": bool, "modelled": bool}
    return Listings(
        **{name: np.array([row[name] for row in whole], kinds.get(name, float)) for name in usual}
    )


def quotes(rows, shoppers=None, limits=LIMITS, demand=demand, arm=DEFAULT_ARM):
    shoppers = shoppers or [Shopper()] * len(rows)
    on = [terms(shopper, limits.consent_default, arm) for shopper in shoppers]
    return offers(on, listings(*rows), limits, demand)


def quote(shopper=None, limits=LIMITS, demand=demand, arm=DEFAULT_ARM, **row):
    return quotes([row], [shopper or Shopper()], limits, demand, arm)[0]


def rules(quote):
    return [reason.rule for reason in quote.reasons]


thorough = settings(max_examples=1000, deadline=None)
maybe = st.one_of(st.just(float("nan")), st.integers(1, 30_000).map(float))
rows = st.lists(
    st.fixed_dictionaries(
        {
            "list_price": st.integers(1, 20_000),
            "reference_price": maybe,
            "unit_cost": maybe,
            "map_price": maybe,
            "competitor_price": maybe,
            "long_run": st.floats(-60, 0),
            "public_price": maybe,
            "cost_assumed": st.booleans(),
            "modelled": st.sampled_from([True, True, True, False]),
        }
    ),
    min_size=1,
    max_size=6,
)
some_limits = st.builds(
    Limits,
    min_margin=st.floats(0, 1),
    max_markdown=st.floats(0, 1),
    max_step=st.floats(0, 1),
    competitor_band=st.one_of(st.none(), st.floats(0, 1)),
    endings=st.sampled_from([(9,), (99, 49), (0,), (5, 9)]),
)
shoppers = st.builds(
    Shopper,
    customer_id=st.sampled_from([None, "c1"]),
    requested_consent=st.sampled_from([None, True, False]),
    segment=st.sampled_from([None, "deal seeker", "regular"]),
    consented=st.sampled_from([None, True, False]),
)


@thorough
@given(rows, some_limits, shoppers)
def test_every_price_lies_on_a_rung_between_floor_and_list_price(rows, limits, shopper):
    for offer in quotes(rows, [shopper] * len(rows), limits):
        assert offer.price in money.rungs(offer.list_price, limits.endings)
        assert offer.price <= offer.list_price == offer.ceiling
        assert offer.floor is None or offer.price >= min(offer.floor, offer.list_price)


@thorough
@given(rows, some_limits, shoppers)
def test_a_personal_offer_is_never_above_the_public_one(rows, limits, shopper):
    public = quotes(rows, limits=limits)
    own = quotes(rows, [shopper] * len(rows), limits)
    for offer, other in zip(own, public, strict=True):
        assert offer.price <= other.price
        assert offer.personalised == (offer.price < other.price)


@thorough
@given(rows, some_limits, shoppers)
def test_reasons_chain_from_the_list_price_to_the_price(rows, limits, shopper):
    for offer in quotes(rows, [shopper] * len(rows), limits):
        ends = [offer.list_price, *(reason.after for reason in offer.reasons)]
        assert [reason.before for reason in offer.reasons] == ends[:-1]
        assert ends[-1] == offer.price


@thorough
@given(rows, some_limits)
def test_single_and_batch_decisions_are_equal(rows, limits):
    together = quotes(rows, limits=limits)
    assert [offer.price for offer in together] == [
        quote(limits=limits, **row).price for row in rows
    ]


@thorough
@given(rows, some_limits)
def test_a_missing_floor_means_the_list_price(rows, limits):
    unknown = {"unit_cost": np.nan, "map_price": np.nan}
    for offer in quotes([row | unknown for row in rows], limits=limits):
        assert (offer.price, offer.floor) == (offer.list_price, None)
        assert offer.reasons[0].text.startswith("no_floor: not repriced")


@thorough
@given(rows)
def test_a_larger_markdown_never_lowers_expected_profit(rows):
    known = [
        row
        | {"unit_cost": 1.0, "reference_price": float(row["list_price"]), "modelled": True}
        | {"competitor_price": np.nan}
        for row in rows
    ]

    def profits(markdown):
        offer = quotes(known, limits=Limits(max_markdown=markdown, max_step=1))
        return [(quote.price - 1) * (quote.price / quote.list_price) ** -2 for quote in offer]

    for shallow, deep in pairwise([profits(0.1), profits(0.3), profits(0.6)]):
        assert all(b >= a * (1 - 1e-6) for a, b in zip(shallow, deep, strict=True))


def test_the_price_is_the_rung_of_highest_expected_profit():
    ladder = money.rungs(500, LIMITS.endings)
    allowed = ladder[ladder >= 350]
    best = allowed[np.argmax((allowed - 200) * (allowed / 480) ** -2.0)]
    assert quote().price == best == 399


def test_a_long_run_term_lowers_the_price_and_is_named_in_a_reason():
    offer = quote(unit_cost=300.0, long_run=-2.5)
    assert offer.price < quote(unit_cost=300.0).price
    assert "-2.50 is added to the elasticity" in offer.reasons[-1].text


def test_with_a_long_run_term_the_price_is_that_of_the_summed_elasticity():
    best = max(range(359, 500, 10), key=lambda price: (price - 260) * price ** (-2 - 1.5))
    assert quote(unit_cost=260.0, long_run=-1.5).price == best < 500


def test_a_step_starts_from_the_last_public_price():
    limits = Limits(max_step=0.1)
    assert (
        quote(limits=limits, public_price=350.0).price == 379
    )  # wanted: 399; 350 and a tenth: 385
    assert quote(limits=limits, public_price=np.nan).price == 459  # from the list price, 500


def test_a_listing_of_an_earlier_version_steps_from_its_reference_price():
    old = replace(listings({}), public_price=None)
    (offer,) = offers([Terms()], old, Limits(max_step=0.1), demand)
    assert offer.price == 439  # 480 less a tenth is 432


def test_the_lower_of_equally_profitable_prices_is_offered():
    offer = quote(demand=lambda listings, segments, ratios: 1 / (ratios * 480 - 200))
    assert offer.price == 359


def test_a_deal_seeker_with_consent_pays_less_and_sees_the_disclosure():
    offer = quote(Shopper("c1", requested_consent=True, segment="deal seeker"))
    assert offer.price < quote().price
    assert offer.personalised
    assert "ALGORITHM USING YOUR PERSONAL DATA" in offer.disclosure
    assert rules(offer)[-1] == "personal"


def test_a_less_price_sensitive_shopper_does_not_pay_more():
    offer = quote(Shopper("c1", requested_consent=True, segment="regular"))
    assert (offer.price, offer.personalised, offer.disclosure) == (quote().price, False, None)
    assert offer.reasons[-1].text == "public_offer: no personal offer is above it"


@pytest.mark.parametrize(
    ("shopper", "default", "personalised"),
    [
        (Shopper("c1", None, "deal seeker", None), False, False),
        (Shopper("c1", None, "deal seeker", None), True, True),
        (Shopper("c1", None, "deal seeker", True), False, True),
        (Shopper("c1", None, "deal seeker", False), True, False),
        (Shopper("c1", False, "deal seeker", True), True, False),
        (Shopper("c1", True, None, None), True, False),
        (Shopper(None, True, None, None), True, False),
    ],
)
def test_consent_of_the_request_precedes_the_stored_one_and_the_default(
    shopper, default, personalised
):
    offer = quote(shopper, limits=Limits(consent_default=default, max_step=0.5))
    assert offer.personalised is personalised
    assert offer.reasons[-1].rule == ("personal" if personalised else "public_offer")


@pytest.mark.parametrize(
    ("row", "rule"),
    [
        ({"unit_cost": np.nan}, "no_floor"),
        ({"unit_cost": np.nan, "map_price": 300.0}, "no_cost"),
        ({"unit_cost": 490.0}, "floor_above_list"),
        ({"map_price": 501.0}, "floor_above_list"),
        ({"modelled": False}, "not_modelled"),
        ({"reference_price": np.nan}, "no_reference"),
    ],
)
def test_a_missing_input_gives_the_list_price_with_a_reason(row, rule):
    offer = quote(**row)
    assert offer.price == offer.list_price
    assert rules(offer) == [rule]
    assert offer.reasons[0].text.startswith(f"{rule}: not repriced; ")


def test_without_a_model_the_price_is_the_list_price():
    assert (quote(demand=None).price, rules(quote(demand=None))) == (500, ["no_model"])


@pytest.mark.parametrize("answer", [np.nan, np.inf, -1.0])
def test_an_unusable_model_output_affects_only_its_own_sku(answer):
    def broken(listings, segments, ratios):
        units = demand(listings, segments, ratios)
        units[listings.sku == "broken"] = answer
        return units

    bad, good = quotes([{"sku": "broken"}, {}], demand=broken)
    assert (bad.price, rules(bad)) == (500, ["no_answer"])
    assert good.price == quote().price


def test_an_assumed_cost_is_named_in_the_reasons():
    offer = quote(cost_assumed=True)
    assert offer.reasons[-1].text.startswith("cost: assumed")
    assert "cost" not in rules(quote())


def test_offers_at_the_list_price_give_their_reason():
    (offer,) = list_offers([Terms()], listings({}), "online_store", "unreachable")
    assert (offer.price, offer.floor, offer.personalised) == (500, None, False)
    assert offer.reasons[0].text == "online_store: unreachable"


def test_a_sold_out_sku_is_not_repriced():
    offer = quote(on_hand=0.0)
    assert (offer.price, rules(offer)) == (500, ["sold_out"])
    assert quote(on_hand=1.0).price == quote().price


def test_a_personal_offer_is_within_the_dispersion_limit():
    limits = Limits(max_step=0.5, max_dispersion=0.03)
    public = quote(limits=limits)
    own = quote(Shopper("c1", requested_consent=True, segment="deal seeker"), limits=limits)
    assert public.price * 0.97 <= own.price < public.price
    assert rules(own)[-2:] == ["dispersion", "personal"]


@pytest.mark.parametrize(("lowest", "discount_from"), [(450.0, 450), (399.0, None), (np.nan, None)])
def test_a_discount_is_announced_against_the_lowest_price_of_30_days(lowest, discount_from):
    assert quote(lowest_30d=lowest).discount_from == discount_from


def test_the_control_arm_sells_at_the_list_price_with_a_reason():
    offer = quote(Shopper("c1", True, "deal seeker"), arm=Arm("control", 0.1))
    assert (offer.price, offer.arm, offer.propensity) == (500, "control", 0.1)
    assert offer.reasons[-1].text == "experiment: the list price, as the control group"


def test_the_exploration_arm_draws_near_the_best_rung_and_records_the_propensity():
    drawn = [quote(arm=Arm("explore", 0.2, draw)) for draw in np.arange(0, 1, 0.01).tolist()]
    chances = {offer.price: offer.propensity for offer in drawn}
    assert len(chances) == 5
    assert sum(chances.values()) == pytest.approx(0.2)
    assert max(chances, key=chances.get) == quote().price
    assert all(offer.choice.chance(offer.price) * 0.2 == offer.propensity for offer in drawn)


@thorough
@given(rows, some_limits, st.floats(0, 1, exclude_max=True))
def test_a_drawn_price_keeps_every_guardrail(rows, limits, draw):
    drawn = quotes(rows, limits=limits, arm=Arm("explore", 0.2, draw))
    usual = quotes(rows, limits=limits)
    for offer, best in zip(drawn, usual, strict=True):
        assert offer.price in money.rungs(offer.list_price, limits.endings)
        assert min(offer.floor or 0, offer.list_price) <= offer.price <= offer.list_price
        assert offer.choice is None or offer.price in offer.choice.prices
        assert offer.choice is not None or offer.price == best.price


@thorough
@given(rows, some_limits, shoppers)
def test_no_consent_means_the_public_price(rows, limits, shopper):
    refused = replace(shopper, requested_consent=False)
    own = quotes(rows, [refused] * len(rows), limits)
    assert [offer.price for offer in own] == [offer.price for offer in quotes(rows, limits=limits)]
