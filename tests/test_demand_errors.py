"""Panels that the demand model refuses, and training or forecasts that are not finite."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from models.demand.baselines import four_period_mean
from models.demand.model import DemandModel, fit
from pricebook.config import REPO_ROOT
from pricebook.errors import EmptyHistory, TrainingError
from tests.demand_panel import BRIEF, HORIZON, SMALL, market, quiet, split


@pytest.fixture(scope="module")
def past_and_plan():
    return split(market(series=12))


@pytest.fixture(scope="module")
def model(past_and_plan):
    return fit(past_and_plan[0], BRIEF, HORIZON, 7, quiet)


def with_value(panel, column, value):
    """The panel with one value of series s003, in its fifth period, replaced."""
    changed = panel.astype({column: float}).reset_index(drop=True)
    changed.loc[changed.index[changed["sku"] == "s003"][4], column] = value
    return changed


UNUSABLE = [
    ("units", -2.0),
    ("units", np.nan),
    ("units", np.inf),
    ("units", 1e30),
    ("price", -5.0),
    ("price", np.inf),
    ("mailer", -np.inf),
]


@pytest.mark.parametrize(("column", "value"), UNUSABLE)
def test_an_unusable_value_is_refused_with_its_series_and_period(past_and_plan, column, value):
    panel = with_value(past_and_plan[0], column, value)
    message = (
        rf"Column {column} .* 1 rows do not, first sku 's003', zone 'all', period 2024-01-29\. "
        rf"Received: {value}"
    )
    with pytest.raises(TrainingError, match=message.replace("+", r"\+")):
        fit(panel, BRIEF, HORIZON, 7, quiet)


def test_a_forecast_refuses_unusable_values_too(model, past_and_plan):
    history, plan = past_and_plan
    with pytest.raises(TrainingError, match=r"Column units .* Received: -1\.0"):
        model.forecast(with_value(history, "units", -1), plan)
    with pytest.raises(TrainingError, match=r"Column units .* Received: -1\.0"):
        four_period_mean(with_value(history, "units", -1), HORIZON)


def test_a_null_price_is_unknown_and_accepted(past_and_plan):
    history, plan = past_and_plan
    fitted = fit(with_value(history, "price", np.nan), BRIEF, HORIZON, 7, quiet)
    assert np.isfinite(fitted.forecast(history, plan)["mean"]).all()


def test_a_loss_that_is_not_finite_stops_training_and_names_epoch_and_series(past_and_plan):
    epochs = []
    diverging = BRIEF.model_copy(update={"learning_rate": 1e30, "epochs": 5})
    message = r"loss is not finite in epoch \d, batch \d+: .*: sku 's\d+', zone 'all', period 20"
    with pytest.raises(TrainingError, match=message):
        fit(past_and_plan[0], diverging, HORIZON, 7, lambda epoch, losses: epochs.append(losses))
    assert all(np.isfinite(losses["loss"]) for losses in epochs) and len(epochs) < 5


def test_a_forecast_that_is_not_finite_is_refused(model, past_and_plan, tmp_path):
    model.save(tmp_path)
    broken = DemandModel.load(tmp_path)
    layer = broken.network.get_layer("level")
    layer.set_weights([np.full_like(weight, np.nan) for weight in layer.get_weights()])
    message = r"36 forecasts are not finite, first sku 's000', zone 'all', period .*\[nan"
    with pytest.raises(TrainingError, match=message):
        broken.forecast(*past_and_plan)


def test_importing_the_model_prints_nothing():
    done = subprocess.run(
        [sys.executable, "-c", "import models.demand.model"],
        cwd=REPO_ROOT,
        capture_output=True,
        check=True,
    )
    assert done.stdout + done.stderr == b""


def test_a_history_shorter_than_a_window_is_refused():
    with pytest.raises(EmptyHistory, match="need 5 periods"):
        fit(market(series=2, periods=4), SMALL, HORIZON, 7, quiet)


def test_an_empty_panel_is_refused():
    with pytest.raises(EmptyHistory, match="Received: 0 rows"):
        fit(market().head(0), SMALL, HORIZON, 7, quiet)


def test_a_panel_without_sales_is_refused():
    with pytest.raises(EmptyHistory, match="Received: 2 series"):
        fit(market(series=2).assign(units=0), SMALL, HORIZON, 7, quiet)


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="lacks the columns mailer"):
        fit(market().drop(columns="mailer"), SMALL, HORIZON, 7, quiet)


def test_two_rows_for_one_period_are_refused():
    panel = market(series=2)
    with pytest.raises(ValueError, match="Received: sku 's001' twice"):
        fit(pd.concat([panel, panel.tail(1)]), SMALL, HORIZON, 7, quiet)


def test_a_planned_series_without_history_is_refused(model, past_and_plan):
    history, plan = past_and_plan
    with pytest.raises(EmptyHistory, match=r"1 planned series .* sku 's000'"):
        model.forecast(history[history["sku"] != "s000"], plan)


def test_a_plan_shorter_than_the_horizon_is_refused(model, past_and_plan):
    history, plan = past_and_plan
    with pytest.raises(ValueError, match="A plan has the 3 periods after"):
        model.forecast(history, plan[plan["period"] < plan["period"].max()])


def test_a_plan_with_a_gap_is_refused(model, past_and_plan):
    history, plan = past_and_plan
    with pytest.raises(ValueError, match="A plan has the 3 periods after"):
        model.forecast(history, plan.assign(period=plan["period"] + pd.Timedelta(days=7)))
