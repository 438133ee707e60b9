"""Deals are inferred from the shape of prices, in shops without promotions only."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from benchmarks.inputs.simulated import simulate_shop
from models.prices.deals import deals
from models.response.controls import control_columns, usable_rows, with_series_codes
from tests.response_market import quick_fit

PROMOTION = ["display", "mailer", "promotion"]


def flags(prices, step="W-MON"):
    period = pd.date_range("2025-01-06", periods=len(prices), freq=step)
    rows = pd.DataFrame({"series": 0, "period": period, "price": np.asarray(prices, float)})
    return "".join(str(int(flag)) for flag in deals(rows))


@pytest.mark.parametrize(
    ("prices", "expected"),
    [
        ([10] * 8 + [8, 8] + [10] * 8, "0" * 8 + "11" + "0" * 8),
        ([10] * 9 + [8] * 9, "0" * 18),  # a permanent cut
        ([8] * 9 + [10] * 9, "0" * 18),  # a rise
        ([10] * 8 + [9.8] + [10] * 8, "0" * 17),  # noise
        ([10] * 8 + [8] + [12] * 8, "0" * 8 + "1" + "0" * 8),  # the regular price rises later
        ([8, 8] + [10] * 8, "11" + "0" * 8),  # at the start
        ([10] * 8 + [8, 8], "0" * 8 + "11"),  # at the end
        ([10, 8] * 9, "01" * 9),  # half of the time
        ([10, 8], "00"),
        ([10], "0"),
    ],
)
def test_a_deal_is_a_price_that_returns_to_where_it_was(prices, expected):
    assert flags(prices) == expected


def test_a_deal_of_two_weeks_is_found_in_daily_prices():
    assert flags([10] * 60 + [8] * 14 + [10] * 60, "D") == "0" * 60 + "1" * 14 + "0" * 60


def test_series_do_not_affect_each_other():
    period = pd.date_range("2025-01-06", periods=9, freq="W-MON")
    rows = pd.concat(
        pd.DataFrame({"series": series, "period": period, "price": price})
        for series, price in enumerate([10.0, 5.0])
    )
    assert not deals(rows.reset_index(drop=True)).any()


@pytest.fixture(scope="module")
def shop():
    """A simulated shop whose price cuts differ in depth, and come with displays and mailers."""
    return simulate_shop(2)


def bare(panel):
    return panel.drop(columns=PROMOTION)


def unpromoted(panel):
    return panel.assign(**dict.fromkeys(PROMOTION, 0.0))


@pytest.mark.parametrize("unknown", [bare, unpromoted])
def test_a_shop_without_promotions_gets_inferred_deals_as_a_control(shop, unknown):
    rows = usable_rows(with_series_codes(unknown(shop.panel)))
    cut = rows["price"] < rows["list_price"]
    assert (rows["deal"] == cut).mean() > 0.9
    controls = control_columns(rows, promotions=True, rivals=False)
    assert (controls == rows[["deal"]].to_numpy()).all(axis=0).any()


def test_a_shop_with_promotions_gets_none(shop):
    assert "deal" not in usable_rows(with_series_codes(shop.panel))


def test_the_lift_of_a_deal_is_not_read_as_an_effect_of_price(shop):
    truth = shop.by_sku["elasticity"].mean()
    model = quick_fit(bare(shop.panel))
    assert model.summary.pooled_without_promotion_controls < 1.4 * truth
    assert model.summary.pooled == pytest.approx(truth, rel=0.2)
    assert model.elasticities()["elasticity"].min() > -8


@pytest.mark.parametrize("seed", [3, 4])
def test_elasticities_of_four_months_without_promotions_are_plausible(seed):
    panel = simulate_shop(seed).panel
    recent = panel[panel["period"] > panel["period"].max() - pd.Timedelta(weeks=17)]
    assert quick_fit(bare(recent)).elasticities()["elasticity"].min() > -8
