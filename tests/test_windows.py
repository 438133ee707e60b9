"""What the demand model may see: windows end at their origin, and start after the first sale."""

import numpy as np
import pandas as pd
import pytest

from models.demand.grid import grain_of, next_periods, to_grid
from models.demand.own_history import lifts
from models.demand.windows import WEEKLY, calendar, make_windows, targets, training_pairs


def market(series=4, periods=20):
    """Anything, sold every week from 2024-01-01 on."""
    random = np.random.default_rng(3)
    return pd.DataFrame(
        {
            "sku": np.repeat([f"s{i:03d}" for i in range(series)], periods),
            "zone": "all",
            "period": np.tile(pd.date_range("2024-01-01", periods=periods, freq="7D"), series),
            "units": random.integers(1, 50, series * periods),
            "price": random.uniform(100, 900, series * periods),
            "display": 0.0,
            "mailer": random.random(series * periods),
            "promotion": 0.0,
        }
    )


def test_no_training_window_looks_past_its_own_origin():
    panel = market(series=3, periods=20)
    changed = panel.assign(units=panel["units"].where(panel["period"] < "2024-04-01", 999))
    origin = 13  # the Monday of 2024-04-01
    pairs = (np.arange(3), np.full(3, origin))
    first, two = (
        make_windows(to_grid(p), np.zeros((20, 6)), pairs, 8, 2) for p in (panel, changed)
    )
    assert (first.past == two.past).all() and (first.scale == two.scale).all()


def test_windows_start_two_periods_after_the_first_sale_and_reach_the_last_period():
    panel = market(series=1, periods=12)
    panel.loc[:5, "units"], panel.loc[6:, "units"] = 0, 5
    grid = to_grid(panel)
    rows, at = training_pairs(grid, 4, 2, limit=100)
    assert sorted(at) == [8, 9, 10]
    scale = np.ones(3, dtype=np.float32)
    sold = targets(grid, (rows, at), scale, 2)
    assert (sold[..., 0] == 5).all() and (sold[..., 1] == 1).all()


def test_too_many_windows_are_thinned_and_the_newest_kept():
    _, at = training_pairs(to_grid(market(series=10, periods=40)), 8, 2, limit=60)
    assert len(at) <= 60 and at.max() == 38


def test_what_is_planned_reaches_only_the_horizon():
    panel = market()
    dearer = panel.assign(price=panel["price"].where(panel["period"] < "2024-04-01", 5000.0))
    pairs = (np.arange(4), np.full(4, 13))
    first, two = (make_windows(to_grid(p), np.zeros((20, 6)), pairs, 8, 2) for p in (panel, dearer))
    assert (first.past == two.past).all() and (first.log_price < two.log_price).all()


@pytest.mark.parametrize(("freq", "following"), [("D", "D"), ("W-SUN", "7D"), ("MS", "MS")])
def test_the_grain_is_read_off_the_dates(freq, following):
    dates = pd.date_range("2023-11-01", periods=6, freq=freq)
    assert grain_of(dates) == following
    assert next_periods(dates[:-2], 2).tolist() == dates[-2:].tolist()


def test_a_missing_row_sold_nothing_at_the_last_price():
    panel = market(series=1)
    grid = to_grid(panel.drop(index=7))
    assert grid.units[0, 7] == 0 and grid.price[0, 7] == grid.price[0, 6]


def test_the_day_of_the_week_counts_only_where_periods_are_days():
    days, weeks = (calendar(pd.date_range("2024-01-01", periods=9, freq=f), True) for f in "DW")
    assert days[:, -WEEKLY:].any() and not weeks[:, -WEEKLY:].any()


def test_a_season_is_left_out_until_a_year_is_known():
    dates = pd.date_range("2024-01-01", periods=9, freq="7D")
    assert calendar(dates, True).any() and not calendar(dates, False).any()


def test_what_a_series_past_says_of_promotions_knows_nothing_from_its_origin_on():
    panel = market()
    late = panel["period"] >= "2024-04-01"
    changed = panel.assign(
        units=panel["units"].where(~late, 999), price=panel["price"].where(~late, 5000.0)
    )
    pairs, reference = (np.arange(4), np.full(4, 13)), np.full((4, 1), 400.0)
    first, two = (lifts(to_grid(p), pairs, reference, 2) for p in (panel, changed))
    assert (first == two).all()


def test_a_promotion_that_sold_more_before_is_expected_to_again():
    panel = market(periods=30)
    promoted = (np.arange(len(panel)) % 3 == 0).astype(float)
    panel = panel.assign(mailer=promoted, units=20 * (1 + promoted), price=500.0)
    predicted = lifts(to_grid(panel), (np.zeros(1, int), np.full(1, 27)), np.full((1, 1), 500.0), 3)
    expected = dict(zip(promoted[27:30], np.exp(predicted[0, :, 0]) - 1, strict=True))
    assert expected[1] == pytest.approx(40, rel=0.05)
    assert expected[0] == pytest.approx(20, rel=0.05)


def test_a_period_without_stock_says_nothing_of_the_scale():
    panel = market(series=1).assign(units=10, price=500.0, mailer=0.0, on_hand_share=1.0)
    empty = panel["period"].isin(panel["period"].iloc[3:11])
    short = panel.assign(
        units=panel["units"].where(~empty, 0), on_hand_share=1.0 - empty.astype(float)
    )
    pairs, dates = (np.zeros(1, int), np.full(1, 13)), np.zeros((20, 6))
    first, two = (make_windows(to_grid(p), dates, pairs, 12, 2) for p in (panel, short))
    assert two.scale == pytest.approx(first.scale, rel=0.15)
    expected = [w.lifts[0, 0, 0] + np.log(w.scale[0]) for w in (first, two)]
    assert expected[1] == pytest.approx(expected[0], abs=0.05)
