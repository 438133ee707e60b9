"""Each guardrail, and the order of the guardrails."""

from itertools import pairwise

import numpy as np
import pytest

from pricebook import money
from pricebook.config import Quote as Limits
from pricebook.pricing import guardrails
from pricebook.pricing.guardrails import Bounds

LIMITS = Limits(competitor_band=0.10, max_step=0.15, max_markdown=0.30)


def bounds(list_price=500, floor=350, last=None, rival=None, limits=LIMITS):
    return Bounds(
        list_price=np.array([list_price]),
        floor=np.array([floor], dtype=float),
        last_public_price=np.array([last], dtype=float),
        competitor_price=np.array([rival], dtype=float),
        ladders=[money.rungs(list_price, limits.endings)],
        limits=limits,
    )


def apply_rules(wanted, **inputs):
    trail = guardrails.guard(np.array([wanted]), bounds(**inputs))
    prices = [wanted, *(int(bound.prices[0]) for bound in trail)]
    changed = [bound.rule for bound, (a, b) in zip(trail, pairwise(prices), strict=True) if a != b]
    return prices[-1], changed


def floor(unit_cost, map_price, list_price=500, limits=LIMITS):
    columns = (np.array([value], dtype=float) for value in (unit_cost, map_price))
    return guardrails.floors(*columns, np.array([list_price]), limits)[0]


def test_a_price_within_all_limits_is_unchanged():
    assert apply_rules(449) == (449, [])


def test_a_competitor_price_moves_ours_into_the_band():
    assert apply_rules(489, rival=400) == (439, ["competitor_band", "ladder"])


def test_without_a_band_competitor_prices_are_ignored():
    assert apply_rules(489, rival=400, limits=Limits(max_step=0.15)) == (489, [])


def test_a_price_falls_by_no_more_than_a_step():
    assert apply_rules(359, last=489) == (419, ["step", "ladder"])


def test_a_price_rises_by_no_more_than_a_step():
    assert apply_rules(499, last=400) == (459, ["step", "ladder"])


def test_the_ceiling_applies_even_if_the_reference_price_was_higher():
    assert apply_rules(499, last=900) == (500, ["step", "ceiling"])


def test_the_floor_overrides_the_band():
    assert apply_rules(489, rival=200, floor=455) == (459, ["competitor_band", "ladder", "floor"])


def test_the_floor_overrides_the_step():
    assert apply_rules(459, last=300, floor=455) == (459, ["step", "ladder", "floor"])


def test_the_rules_run_in_the_designed_order():
    order = [rule.name for rule in guardrails.RULES]
    assert order == ["competitor_band", "step", "ladder", "ceiling", "floor"]


@pytest.mark.parametrize(
    ("cost", "map_price", "expected"),
    [
        (200, None, 350),  # the largest markdown
        (400, None, 420),  # cost and margin
        (401, None, 422),  # 421.05, rounded up
        (400, 450, 450),  # the maker's
        (None, 450, 450),
        (None, 100, 350),
    ],
)
def test_the_floor_is_the_highest_of_its_parts_rounded_up(cost, map_price, expected):
    assert floor(cost, map_price) == expected


def test_without_a_cost_and_a_map_price_there_is_no_floor():
    assert np.isnan(floor(None, None))


def test_float_noise_does_not_raise_a_floor():
    assert floor(100, None, list_price=110, limits=Limits(min_margin=0.1)) == 110
