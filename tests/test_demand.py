"""What the demand model promises: one sign of price, quantiles in order, repeatable, any grain."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from models.demand.baselines import four_period_mean
from models.demand.model import DemandModel, conformal_spread, fit
from pricebook.config import Demand
from pricebook.errors import EmptyHistory
from pricebook.metrics import coverage, wape

HORIZON = 3
QUANTILES = ["q05", "q10", "q25", "q50", "q75", "q90", "q95"]
SMALL = Demand(context=8, units=16, epochs=10, batch_size=64, learning_rate=0.01)
BRIEF = SMALL.model_copy(update={"epochs": 1, "units": 4})


def market(series=40, periods=40, freq="7D", start="2024-01-01", seed=3):
    """A panel whose demand is known: elasticity −2, and a mailer that doubles sales."""
    random = np.random.default_rng(seed)
    shape = (series, periods)
    mailer = (random.random(shape) < 0.2).astype(float)
    ratio = np.where(random.random(shape) < 0.25, 0.75, 1.0)
    level = random.uniform(3, 40, (series, 1))
    dates = pd.date_range(start, periods=periods, freq=freq)
    return pd.DataFrame(
        {
            "sku": np.repeat([f"s{i:03d}" for i in range(series)], periods),
            "zone": "all",
            "period": np.tile(dates, series),
            "units": random.poisson(level * ratio**-2.0 * (1 + mailer)).ravel(),
            "price": (ratio * random.uniform(100, 900, (series, 1))).ravel(),
            "display": 0.0,
            "mailer": mailer.ravel(),
            "promotion": mailer.ravel(),
            "department": np.repeat(random.choice(["FOOD", "DRINK"], series), periods),
            "category": np.repeat(random.choice(list("abcd"), series), periods),
        }
    )


def quiet(epoch, losses):
    """Tell nothing."""


def split(panel, horizon=HORIZON):
    last = np.sort(panel["period"].unique())[-horizon]
    return panel[panel["period"] < last], panel[panel["period"] >= last]


def figures(frame):
    return frame[["mean", *QUANTILES]].to_numpy()


@pytest.fixture(scope="module")
def past_and_plan():
    return split(market())


@pytest.fixture(scope="module")
def model(past_and_plan):
    return fit(past_and_plan[0], SMALL, HORIZON, 7, quiet)


@pytest.fixture(scope="module")
def few_series():
    """Too few_series series to rehearse on, so that a fit is one training."""
    return split(market(series=12))


@pytest.fixture(scope="module")
def brief(few_series):
    return fit(few_series[0], BRIEF, HORIZON, 7, quiet)


@pytest.fixture(scope="module")
def forecast_frame(model, past_and_plan):
    return model.forecast(*past_and_plan)


def test_it_beats_the_four_period_mean_where_promotions_are_planned(forecast_frame, past_and_plan):
    history, plan = past_and_plan
    sold = plan.sort_values(["sku", "period"])["units"]
    baseline = four_period_mean(history, HORIZON)["mean"]
    assert wape(sold, forecast_frame["mean"]) < 0.8 * wape(sold, baseline)


def test_its_80_percent_interval_holds_most_outcomes(forecast_frame, past_and_plan):
    sold = past_and_plan[1].sort_values(["sku", "period"])["units"]
    assert 0.65 < coverage(sold, forecast_frame["q10"], forecast_frame["q90"]) < 0.95


def test_a_forecast_has_a_row_per_series_and_step(forecast_frame):
    assert list(forecast_frame.columns) == ["sku", "zone", "period", "step", "mean", *QUANTILES]
    assert forecast_frame["step"].tolist() == [1, 2, 3] * 40
    assert forecast_frame["sku"].is_monotonic_increasing


def test_price_up_never_means_demand_up(model, past_and_plan):
    history, plan = past_and_plan
    dearer = [
        figures(model.forecast(history, plan.assign(price=plan["price"] * ratio)))
        for ratio in (0.3, 0.7, 0.9, 1.0, 1.1, 1.5, 20)
    ]
    assert all((low <= high).all() for high, low in pairwise(dearer))
    assert dearer[-2].sum() < 0.9 * dearer[1].sum()


def test_one_dearer_step_leaves_the_others_alone(model, past_and_plan, forecast_frame):
    history, plan = past_and_plan
    second = plan["period"] == sorted(plan["period"].unique())[1]
    price = plan["price"].where(~second, plan["price"] * 1.3)
    changed = figures(model.forecast(history, plan.assign(price=price))) != figures(forecast_frame)
    assert (changed.any(axis=1) == (forecast_frame["step"] == 2)).all()


def test_quantiles_never_cross_and_are_never_negative(forecast_frame):
    quantiles = forecast_frame[QUANTILES].to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0).all() and (figures(forecast_frame) >= 0).all()


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


def test_the_order_of_rows_does_not_matter(model, past_and_plan, forecast_frame):
    history, plan = (frame.sample(frac=1, random_state=1) for frame in past_and_plan)
    pd.testing.assert_frame_equal(model.forecast(history, plan), forecast_frame, rtol=1e-4)


def test_a_saved_model_forecasts_the_same(model, past_and_plan, forecast_frame, tmp_path):
    model.save(tmp_path / "demand")
    loaded = DemandModel.load(tmp_path / "demand")
    assert loaded.shape == model.shape and loaded.spread == model.spread
    pd.testing.assert_frame_equal(loaded.forecast(*past_and_plan), forecast_frame, rtol=1e-5)


def test_a_sku_it_never_saw_is_forecast_from_its_own_past(model):
    history, plan = split(market(seed=9).assign(sku=lambda f: "new-" + f["sku"]))
    sold = plan["units"].groupby(plan["sku"]).sum()
    forecast = model.forecast(history, plan).groupby("sku")["mean"].sum()
    assert np.corrcoef(sold, forecast)[0, 1] > 0.8


def test_it_needs_no_products_table(few_series):
    bare = [frame.drop(columns=["department", "category"]) for frame in few_series]
    assert len(fit(bare[0], BRIEF, HORIZON, 7, quiet).forecast(*bare)) == 12 * HORIZON


def test_a_null_category_is_an_unknown_one(model, past_and_plan):
    history, plan = past_and_plan
    forecast = model.forecast(history.assign(category=None), plan.assign(category=None))
    assert np.isfinite(figures(forecast)).all()


def test_it_trains_on_the_series_that_sold_most_and_tells_each_epoch_once(few_series):
    epochs = []
    params = BRIEF.model_copy(update={"max_series": 5, "epochs": 2})
    trained = fit(few_series[0], params, HORIZON, 7, lambda *epoch: epochs.append(epoch))
    assert set(trained.shape.words["sku"]) == set(
        few_series[0].groupby("sku")["units"].sum().nlargest(5).index
    )
    assert [epoch for epoch, _ in epochs] == [1, 2]
    assert all(np.isfinite(losses["loss"]) for _, losses in epochs)


@pytest.mark.parametrize("freq", ["D", "MS"])
def test_any_grain_is_read_off_the_dates(freq):
    history, plan = split(market(series=6, periods=30, freq=freq))
    forecast = fit(history, BRIEF, HORIZON, 7, quiet).forecast(history, plan)
    assert sorted(forecast["period"].unique()) == sorted(plan["period"].unique())


def test_zones_are_series_of_their_own():
    panel = pd.concat([market(series=4).assign(zone=zone) for zone in ("north", "south")])
    history, plan = split(panel)
    model = fit(history, BRIEF, HORIZON, 7, quiet)
    assert model.shape.words["zone"] == ("north", "south")
    assert len(model.forecast(history, plan)) == 8 * HORIZON


def test_a_short_history_shrinks_the_context():
    history, plan = split(market(series=5, periods=10))
    model = fit(history, SMALL.model_copy(update={"epochs": 1}), HORIZON, 7, quiet)
    assert model.shape.context == 4 and len(model.forecast(history, plan)) == 5 * HORIZON


def test_a_history_without_a_window_is_refused():
    with pytest.raises(EmptyHistory, match="need 5 periods"):
        fit(market(series=2, periods=4), SMALL, HORIZON, 7, quiet)


def test_no_rows_are_refused():
    with pytest.raises(EmptyHistory, match="Received: 0 rows"):
        fit(market().head(0), SMALL, HORIZON, 7, quiet)


def test_nothing_sold_is_refused():
    with pytest.raises(EmptyHistory, match="Received: 2 series"):
        fit(market(series=2).assign(units=0), SMALL, HORIZON, 7, quiet)


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="lacks the columns mailer"):
        fit(market().drop(columns="mailer"), SMALL, HORIZON, 7, quiet)


def test_a_period_given_twice_is_refused():
    panel = market(series=2)
    with pytest.raises(ValueError, match="Received: sku 's001' twice"):
        fit(pd.concat([panel, panel.tail(1)]), SMALL, HORIZON, 7, quiet)


def test_a_planned_series_without_history_is_refused(model, past_and_plan):
    history, plan = past_and_plan
    with pytest.raises(EmptyHistory, match=r"1 planned series .* sku 's000'"):
        model.forecast(history[history["sku"] != "s000"], plan)


def test_a_plan_short_of_the_horizon_is_refused(model, past_and_plan):
    history, plan = past_and_plan
    with pytest.raises(ValueError, match="A plan has the 3 periods after"):
        model.forecast(history, plan[plan["period"] < plan["period"].max()])


def test_a_plan_that_leaves_a_gap_is_refused(model, past_and_plan):
    history, plan = past_and_plan
    with pytest.raises(ValueError, match="A plan has the 3 periods after"):
        model.forecast(history, plan.assign(period=plan["period"] + pd.Timedelta(days=7)))


def test_a_plan_without_a_price_keeps_the_last_one(model, past_and_plan):
    history, plan = past_and_plan
    last = history.groupby("sku")["price"].last()
    kept = model.forecast(history, plan.assign(price=plan["sku"].map(last)))
    pd.testing.assert_frame_equal(model.forecast(history, plan.assign(price=np.nan)), kept)


def test_only_planned_series_are_forecast(model, past_and_plan):
    history, plan = past_and_plan
    assert set(model.forecast(history, plan[plan["sku"] == "s004"])["sku"]) == {"s004"}


def test_weeks_before_a_launch_are_not_weeks_without_demand(model, past_and_plan):
    history, plan = past_and_plan
    launch = sorted(history["period"].unique())[-4]
    before = history["period"] < launch
    zeros = history.assign(units=history["units"].where(~before, 0))
    absent = history[~before | (history["sku"] == "s000")]
    planned = plan[plan["sku"] != "s000"]
    pd.testing.assert_frame_equal(
        model.forecast(zeros, planned), model.forecast(absent, planned), rtol=1e-4
    )


def lives():
    """A panel of four kinds of series: steady, sold once in seven weeks, late, and gone."""
    panel = market(series=32)
    kind, week = panel["sku"].str[1:].astype(int) % 4, panel.groupby("sku").cumcount()
    rarely = np.random.default_rng(1).random(len(panel)) < 1 / 7
    asleep = ((kind == 2) & (week < 30)) | ((kind == 3) & (week >= 25))
    units = panel["units"].where(kind != 1, rarely.astype(int)).where(~asleep, 0)
    return panel.assign(units=units), kind.map(dict(enumerate(("steady", "rare", "late", "gone"))))


@pytest.fixture(scope="module")
def by_life():
    """What is forecast and what was sold, a row a series and step, indexed by kind."""
    panel, kind = lives()
    history, plan = split(panel)
    forecast = fit(history, SMALL, HORIZON, 7, quiet).forecast(history, plan)
    sold = plan.assign(kind=kind)[["sku", "period", "units", "kind"]]
    return forecast.merge(sold, on=["sku", "period"]).set_index("kind")


def test_a_series_that_sells_rarely_is_forecast_to_sell_rarely(by_life):
    rare = by_life.loc["rare"]
    assert 0.03 < rare["mean"].mean() < 0.35
    assert (rare["q50"] < 0.5).all()


def test_a_series_that_vanished_is_forecast_to_sell_nothing(by_life):
    assert by_life.loc["gone", "mean"].max() < 0.1


def test_a_series_whose_first_sale_is_late_is_forecast_at_its_own_level(by_life):
    sold, mean = (by_life.loc["late"].groupby("sku")[name].sum() for name in ("units", "mean"))
    assert wape(sold, mean) < 0.3 and np.corrcoef(sold, mean)[0, 1] > 0.8


def test_intervals_that_held_too_little_are_widened():
    sold = np.random.default_rng(0).normal(50, 10, (100, 3))
    levels = np.array([-2, -1.5, -0.6, 0, 0.6, 1.5, 2]) * 5
    quantiles = np.full((100, 3, 7), 50.0) + levels
    q = (0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95)
    spread = conformal_spread(sold, quantiles, q)
    ends = (np.full_like(sold, 50 + side * 7.5 * spread) for side in (-1, 1))
    assert coverage(sold, *ends) == pytest.approx(0.8, abs=0.02)


def test_the_baseline_repeats_the_mean_of_four_periods():
    panel = market(series=1, periods=6).assign(units=[9, 9, 1, 2, 3, 6])
    baseline = four_period_mean(panel, 2)
    assert baseline["mean"].tolist() == [3, 3] and baseline["step"].tolist() == [1, 2]
    assert baseline["period"].min() == panel["period"].max() + pd.Timedelta(days=7)
