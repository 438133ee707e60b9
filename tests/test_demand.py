"""Behaviour of the demand model: sign of price, order of quantiles, repeatability, any grain."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from models.demand.baselines import four_period_mean
from models.demand.model import DemandModel, conformal_spread, fit
from pricebook.metrics import coverage, wape
from tests.demand_panel import BRIEF, HORIZON, QUANTILES, SMALL, figures, market, quiet, split


@pytest.fixture(scope="module")
def past_and_plan():
    return split(market())


@pytest.fixture(scope="module")
def model(past_and_plan):
    return fit(past_and_plan[0], SMALL, HORIZON, 7, quiet)


@pytest.fixture(scope="module")
def few_series():
    """Too few series to calibrate the quantiles, so that a fit trains once."""
    return split(market(series=12))


@pytest.fixture(scope="module")
def brief(few_series):
    return fit(few_series[0], BRIEF, HORIZON, 7, quiet)


@pytest.fixture(scope="module")
def forecast(model, past_and_plan):
    return model.forecast(*past_and_plan)


def test_the_forecast_beats_the_four_period_mean_where_promotions_are_planned(
    forecast, past_and_plan
):
    history, plan = past_and_plan
    sold = plan.sort_values(["sku", "period"])["units"]
    baseline = four_period_mean(history, HORIZON)["mean"]
    assert wape(sold, forecast["mean"]) < 0.8 * wape(sold, baseline)


def test_the_80_percent_interval_covers_most_outcomes(forecast, past_and_plan):
    sold = past_and_plan[1].sort_values(["sku", "period"])["units"]
    assert 0.65 < coverage(sold, forecast["q10"], forecast["q90"]) < 0.95


def test_a_forecast_has_a_row_per_series_and_step(forecast):
    assert list(forecast.columns) == ["sku", "zone", "period", "step", "mean", *QUANTILES]
    assert forecast["step"].tolist() == [1, 2, 3] * 40
    assert forecast["sku"].is_monotonic_increasing


def test_price_up_never_means_demand_up(model, past_and_plan):
    history, plan = past_and_plan
    by_price = [
        figures(model.forecast(history, plan.assign(price=plan["price"] * ratio)))
        for ratio in (0.3, 0.7, 0.9, 1.0, 1.1, 1.5, 20)
    ]
    assert all((low <= high).all() for high, low in pairwise(by_price))
    assert by_price[-2].sum() < 0.9 * by_price[1].sum()


def test_a_higher_price_in_one_step_changes_only_that_step(model, past_and_plan, forecast):
    history, plan = past_and_plan
    second = plan["period"] == sorted(plan["period"].unique())[1]
    price = plan["price"].where(~second, plan["price"] * 1.3)
    changed = figures(model.forecast(history, plan.assign(price=price))) != figures(forecast)
    assert (changed.any(axis=1) == (forecast["step"] == 2)).all()


def test_quantiles_never_cross_and_are_never_negative(forecast):
    quantiles = forecast[QUANTILES].to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0).all() and (figures(forecast) >= 0).all()


def test_the_same_seed_on_the_same_panel_repeats_exactly(few_series, brief):
    again = fit(few_series[0], BRIEF, HORIZON, 7, quiet)
    pd.testing.assert_frame_equal(
        again.forecast(*few_series), brief.forecast(*few_series), check_exact=True
    )


def test_another_seed_gives_another_model(few_series, brief):
    assert (
        not fit(few_series[0], BRIEF, HORIZON, 8, quiet)
        .forecast(*few_series)
        .equals(brief.forecast(*few_series))
    )


def test_the_order_of_rows_does_not_matter(model, past_and_plan, forecast):
    history, plan = (frame.sample(frac=1, random_state=1) for frame in past_and_plan)
    pd.testing.assert_frame_equal(model.forecast(history, plan), forecast, rtol=1e-4)


def test_a_saved_model_forecasts_the_same(model, past_and_plan, forecast, tmp_path):
    model.save(tmp_path / "demand")
    loaded = DemandModel.load(tmp_path / "demand")
    assert loaded.shape == model.shape and loaded.spread == model.spread
    pd.testing.assert_frame_equal(loaded.forecast(*past_and_plan), forecast, rtol=1e-5)


def test_an_unknown_sku_is_forecast_from_its_own_history(model):
    history, plan = split(market(seed=9).assign(sku=lambda f: "new-" + f["sku"]))
    sold = plan["units"].groupby(plan["sku"]).sum()
    mean = model.forecast(history, plan).groupby("sku")["mean"].sum()
    assert np.corrcoef(sold, mean)[0, 1] > 0.8


def test_a_shop_without_product_labels_can_be_forecast(few_series):
    bare = [frame.drop(columns=["department", "category"]) for frame in few_series]
    assert len(fit(bare[0], BRIEF, HORIZON, 7, quiet).forecast(*bare)) == 12 * HORIZON


def test_a_null_category_is_an_unknown_category(model, past_and_plan):
    history, plan = past_and_plan
    unlabelled = model.forecast(history.assign(category=None), plan.assign(category=None))
    assert np.isfinite(figures(unlabelled)).all()


def test_only_best_sellers_are_trained_on_and_each_epoch_is_reported_once(few_series):
    epochs = []
    params = BRIEF.model_copy(update={"max_series": 5, "epochs": 2})
    trained = fit(few_series[0], params, HORIZON, 7, lambda *epoch: epochs.append(epoch))
    assert set(trained.shape.words["sku"]) == set(
        few_series[0].groupby("sku")["units"].sum().nlargest(5).index
    )
    assert [epoch for epoch, _ in epochs] == [1, 2]
    assert all(np.isfinite(losses["loss"]) for _, losses in epochs)


@pytest.mark.parametrize("freq", ["D", "MS"])
def test_the_grain_is_inferred_from_the_dates(freq):
    history, plan = split(market(series=6, periods=30, freq=freq))
    forecast = fit(history, BRIEF, HORIZON, 7, quiet).forecast(history, plan)
    assert sorted(forecast["period"].unique()) == sorted(plan["period"].unique())


def test_each_zone_of_a_sku_is_a_series():
    panel = pd.concat([market(series=4).assign(zone=zone) for zone in ("north", "south")])
    history, plan = split(panel)
    model = fit(history, BRIEF, HORIZON, 7, quiet)
    assert model.shape.words["zone"] == ("north", "south")
    assert len(model.forecast(history, plan)) == 8 * HORIZON


def test_a_short_history_shrinks_the_context():
    history, plan = split(market(series=5, periods=10))
    model = fit(history, SMALL.model_copy(update={"epochs": 1}), HORIZON, 7, quiet)
    assert model.shape.context == 4 and len(model.forecast(history, plan)) == 5 * HORIZON


def test_a_plan_without_a_price_uses_the_last_one(model, past_and_plan):
    history, plan = past_and_plan
    last = history.groupby("sku")["price"].last()
    kept = model.forecast(history, plan.assign(price=plan["sku"].map(last)))
    pd.testing.assert_frame_equal(model.forecast(history, plan.assign(price=np.nan)), kept)


def test_only_planned_series_are_forecast(model, past_and_plan):
    history, plan = past_and_plan
    assert set(model.forecast(history, plan[plan["sku"] == "s004"])["sku"]) == {"s004"}


def test_weeks_before_a_launch_do_not_count_as_weeks_without_demand(model, past_and_plan):
    history, plan = past_and_plan
    launch = sorted(history["period"].unique())[-4]
    before = history["period"] < launch
    zeros = history.assign(units=history["units"].where(~before, 0))
    absent = history[~before | (history["sku"] == "s000")]
    planned = plan[plan["sku"] != "s000"]
    pd.testing.assert_frame_equal(
        model.forecast(zeros, planned), model.forecast(absent, planned), rtol=1e-4
    )


def life_cycles():
    """Four kinds of series: steady, sold once in seven weeks, launched late, and discontinued."""
    panel = market(series=32)
    kind, week = panel["sku"].str[1:].astype(int) % 4, panel.groupby("sku").cumcount()
    rarely = np.random.default_rng(1).random(len(panel)) < 1 / 7
    asleep = ((kind == 2) & (week < 30)) | ((kind == 3) & (week >= 25))
    units = panel["units"].where(kind != 1, rarely.astype(int)).where(~asleep, 0)
    return panel.assign(units=units), kind.map(dict(enumerate(("steady", "rare", "late", "ended"))))


@pytest.fixture(scope="module")
def by_life_cycle():
    """Forecast and sold units, one row per series and step, indexed by kind."""
    panel, kind = life_cycles()
    history, plan = split(panel)
    forecast = fit(history, SMALL, HORIZON, 7, quiet).forecast(history, plan)
    sold = plan.assign(kind=kind)[["sku", "period", "units", "kind"]]
    return forecast.merge(sold, on=["sku", "period"]).set_index("kind")


def test_a_rarely_sold_series_has_a_low_forecast(by_life_cycle):
    rare = by_life_cycle.loc["rare"]
    assert 0.03 < rare["mean"].mean() < 0.35
    assert (rare["q50"] < 0.5).all()


def test_a_discontinued_series_has_a_forecast_near_zero(by_life_cycle):
    assert by_life_cycle.loc["ended", "mean"].max() < 0.1


def test_a_series_launched_late_is_forecast_at_its_own_level(by_life_cycle):
    sold, mean = (
        by_life_cycle.loc["late"].groupby("sku")[name].sum() for name in ("units", "mean")
    )
    assert wape(sold, mean) < 0.3 and np.corrcoef(sold, mean)[0, 1] > 0.8


def test_intervals_with_too_low_coverage_are_widened():
    sold = np.random.default_rng(0).normal(50, 10, (100, 3))
    levels = np.array([-2, -1.5, -0.6, 0, 0.6, 1.5, 2]) * 5
    quantiles = np.full((100, 3, 7), 50.0) + levels
    q = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
    spread = conformal_spread(sold, quantiles, q)
    ends = (np.full_like(sold, 50 + side * 7.5 * spread) for side in (-1, 1))
    assert coverage(sold, *ends) == pytest.approx(0.8, abs=0.02)


def test_the_four_period_mean_is_repeated_over_the_horizon():
    panel = market(series=1, periods=6).assign(units=[9, 9, 1, 2, 3, 6])
    baseline = four_period_mean(panel, 2)
    assert baseline["mean"].tolist() == [3, 3] and baseline["step"].tolist() == [1, 2]
    assert baseline["period"].min() == panel["period"].max() + pd.Timedelta(days=7)
