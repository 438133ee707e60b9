"""docs/pricing.md: the figures of its worked examples are what the code computes."""

from __future__ import annotations

import re

import numpy as np
import pytest

from pricebook.config import REPO_ROOT, Quote
from pricebook.pricing.decision import Listings, decide_many

PAGE = (REPO_ROOT / "docs" / "pricing.md").read_text()
PROFITS = re.findall(r"^\| (2\.\d\d) \| (0\.\d\d) \| (\d\.\d{3}) \| (0\.\d{3}) \|$", PAGE, re.M)
STEPS = re.findall(r"^\| \w+ \| (\d\.\d\d) \| (\d\.\d{4}) \| (\d\.\d\d) \|$", PAGE, re.M)


def quoted(elasticity, long_run, public_price=np.nan, cost=200.0):
    """The public price of the coffee, in cents."""
    coffee = Listings(
        sku=np.array(["coffee"], object),
        zone=np.array(["all"], object),
        list_price=np.array([269]),
        reference_price=np.array([269.0]),
        unit_cost=np.array([cost]),
        cost_assumed=np.array([False]),
        map_price=np.array([np.nan]),
        competitor_price=np.array([np.nan]),
        modelled=np.array([True]),
        long_run=np.array([long_run]),
        public_price=np.array([public_price]),
    )
    (decision,) = decide_many(
        coffee, ["everyone"], Quote(), lambda rows, segments, ratios: ratios**elasticity
    )
    return decision


@pytest.mark.parametrize("row", PROFITS, ids=lambda row: row[0])
def test_the_profit_of_each_candidate_is_right(row):
    price, margin, demand, profit = map(float, row)
    assert margin == pytest.approx(price - 2.00)
    assert demand == pytest.approx((price / 2.69) ** -4.6, abs=5e-4)
    assert profit == pytest.approx((price - 2.00) * (price / 2.69) ** -4.6, abs=5e-4)


def test_the_page_has_its_tables():
    assert len(PROFITS) == 4
    assert len(STEPS) == 3


def test_the_service_chooses_the_price_of_the_page():
    assert quoted(-2.1, -2.5).price == 259
    assert quoted(-2.1, -2.5).floor == 210
    assert quoted(-2.1, 0.0).price == 269  # in the short run alone
    assert quoted(-2.9, -2.5).price == 249  # a deal seeker


def test_the_profits_in_the_text_are_right():
    at = {price: (price - 2.00) * (price / 2.69) ** -5.4 for price in (2.59, 2.49)}
    assert f"profit is {at[2.59]:.3f} at 2.59 and {at[2.49]:.3f} at\n2.49" in PAGE
    demand = (2.59 / 2.69) ** -2.1
    assert f"only {demand:.3f}, profit {0.59 * demand:.3f}" in PAGE


@pytest.mark.parametrize("row", STEPS, ids=lambda row: row[0])
def test_each_step_ends_where_the_page_says(row):
    public, lowest, price = map(float, row)
    assert lowest == pytest.approx(public * 0.85)
    assert quoted(-4.0, -6.0, round(public * 100), cost=150.0).price == round(price * 100)
