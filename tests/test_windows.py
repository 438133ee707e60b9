"""Training windows: they end at their origin, and start after the first sale."""

import numpy as np
import pandas as pd
import pytest

from models.demand.grid import grain_of, next_periods, to_grid
from models.demand.own_history import lifts
from models.demand.windows import WEEKLY, calendar, make_windows, targets, training_pairs


def market(series=4, periods=20):
    """Random sales in every week from 2024-01-01 on."""
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


def test_a_window_does_not_depend_on_sales_after_its_origin():
    panel = market(series=3, periods=20)
    changed = panel.assign(units=panel["units"].where(panel["period"] < "2024-04-01", 999))
    origin = 13  # the Monday of 2024-04-01
    pairs = (np.arange(3), np.full(3, origin))
    first, second = (
        make_windows(to_grid(p), np.zeros((20, 6)), pairs, 8, 2) for p in (panel, changed)
    )
    assert (first.past == second.past).all() and (first.scale == second.scale).all()


def test_origins_run_from_two_periods_after_the_first_sale_to_the_last_full_horizon():
    panel = market(series=1, periods=12)
    panel.loc[:5, "units"], panel.loc[6:, "units"] = 0, 5
    grid = to_grid(panel)
    rows, origins = training_pairs(grid, 4, 2, limit=100)
    assert sorted(origins) == [8, 9, 10]
    scale = np.ones(3, dtype=np.float32)
    sold = targets(grid, (rows, origins), scale, 2)
    assert (sold[..., 0] == 5).all() and (sold[..., 1] == 1).all()


def test_above_the_limit_only_some_origins_are_used_with_the_newest():
    _, origins = training_pairs(to_grid(market(series=10, periods=40)), 8, 2, limit=60)
    assert len(origins) <= 60 and origins.max() == 38


def test_planned_prices_change_only_the_horizon():
    panel = market()
    higher = panel.assign(price=panel["price"].where(panel["period"] < "2024-04-01", 5000.0))
    pairs = (np.arange(4), np.full(4, 13))
    first, second = (
        make_windows(to_grid(p), np.zeros((20, 6)), pairs, 8, 2) for p in (panel, higher)
    )
    assert (first.past == second.past).all() and (first.log_price < second.log_price).all()


@pytest.mark.parametrize(("freq", "grain"), [("D", "D"), ("W-SUN", "7D"), ("MS", "MS")])
def test_the_grain_is_inferred_from_the_dates(freq, grain):
    dates = pd.date_range("2023-11-01", periods=6, freq=freq)
    assert grain_of(dates) == grain
    assert next_periods(dates[:-2], 2).tolist() == dates[-2:].tolist()


def test_a_missing_row_sold_nothing_at_the_last_price():
    panel = market(series=1)
    grid = to_grid(panel.drop(index=7))
    assert grid.units[0, 7] == 0 and grid.price[0, 7] == grid.price[0, 6]


def test_the_day_of_the_week_counts_only_where_periods_are_days():
    days, weeks = (calendar(pd.date_range("2024-01-01", periods=9, freq=f), True) for f in "DW")
    assert days[:, -WEEKLY:].any() and not weeks[:, -WEEKLY:].any()


def test_the_season_is_left_out_of_a_short_history():
    dates = pd.date_range("2024-01-01", periods=9, freq="7D")
    assert calendar(dates, True).any() and not calendar(dates, False).any()


def test_history_features_do_not_depend_on_what_happens_after_the_origin():
    panel = market()
    late = panel["period"] >= "2024-04-01"
    changed = panel.assign(
        units=panel["units"].where(~late, 999), price=panel["price"].where(~late, 5000.0)
    )
    pairs, reference = (np.arange(4), np.full(4, 13)), np.full((4, 1), 400.0)
    first, second = (lifts(to_grid(p), pairs, reference, 2) for p in (panel, changed))
    assert (first == second).all()


def test_the_effect_of_past_promotions_is_predicted_for_planned_ones():
    panel = market(periods=30)
    promoted = (np.arange(len(panel)) % 3 == 0).astype(float)
    panel = panel.assign(mailer=promoted, units=20 * (1 + promoted), price=500.0)
    predicted = lifts(to_grid(panel), (np.zeros(1, int), np.full(1, 27)), np.full((1, 1), 500.0), 3)
    expected = dict(zip(promoted[27:30], np.exp(predicted[0, :, 0]) - 1, strict=True))
    assert expected[1] == pytest.approx(40, rel=0.05)
    assert expected[0] == pytest.approx(20, rel=0.05)


def test_periods_without_stock_do_not_change_the_scale():
    panel = market(series=1).assign(units=10, price=500.0, mailer=0.0, on_hand_share=1.0)
    empty = panel["period"].isin(panel["period"].iloc[3:11])
    short = panel.assign(
        units=panel["units"].where(~empty, 0), on_hand_share=1.0 - empty.astype(float)
    )
    pairs, dates = (np.zeros(1, int), np.full(1, 13)), np.zeros((20, 6))
    first, second = (make_windows(to_grid(p), dates, pairs, 12, 2) for p in (panel, short))
    assert second.scale == pytest.approx(first.scale, rel=0.15)
    expected = [w.lifts[0, 0, 0] + np.log(w.scale[0]) for w in (first, second)]
    assert expected[1] == pytest.approx(expected[0], abs=0.05)
