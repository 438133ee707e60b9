"""The response model on small and unusual shops, and on values that it refuses.

pytest turns warnings into errors, so a division by zero or a mean of nothing fails these tests.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from pricebook.config import Response
from pricebook.errors import TrainingError
from tests.response_market import NO_SEGMENTS, SKUS, quick_fit, simulate

INTERVAL = ["elasticity", "stderr", "low", "high"]


@pytest.fixture(scope="module")
def market():
    return simulate()


def without_promotions(panel):
    return panel.drop(columns=["display", "mailer", "promotion"])


def bare(panel):
    labels = ["zone", "department", "category", "product_type"]
    return without_promotions(panel).drop(columns=labels)


def daily(panel):
    days = pd.date_range("2025-01-01", periods=80, freq="D")
    return panel.assign(period=np.tile(days, SKUS))


def with_one_unsold_sku(panel):
    return panel.assign(units=panel["units"].where(panel["sku"] != "sku001", 0))


def without_price_for_one_sku(panel):
    return panel.assign(price=panel["price"].where(panel["sku"] != "sku001"))


def demand_rises_with_price(panel):
    return panel.assign(units=np.rint(20 * (panel["price"] / 500) ** 3))


def without_noise(panel):
    return panel.assign(units=1e6 * (panel["price"] / 500) ** -2.0)


def one_price_error(panel):
    return panel.assign(price=panel["price"].where(panel.index != 100, 1e12))


def one_quantity_error(panel):
    return panel.assign(units=panel["units"].where(panel.index != 100, 1e12))


SHOPS = [
    without_promotions,
    bare,
    daily,
    with_one_unsold_sku,
    without_price_for_one_sku,
    demand_rises_with_price,
    without_noise,
    one_price_error,
    one_quantity_error,
    pytest.param(lambda panel: panel[panel["sku"] == "sku001"], id="one_sku"),
    pytest.param(lambda panel: bare(panel[panel["sku"] == "sku001"]), id="one_bare_sku"),
    pytest.param(lambda panel: panel[panel["category"] == "treats"], id="one_category"),
    pytest.param(lambda panel: panel.assign(price=500), id="constant_prices"),
    pytest.param(lambda panel: panel[panel["period"] == panel["period"].min()], id="one_period"),
    pytest.param(lambda panel: panel[panel["units"] > 0].iloc[[5]], id="one_row"),
    pytest.param(lambda panel: panel.assign(competitor_price=np.nan), id="unknown_competitors"),
    pytest.param(lambda panel: panel.assign(list_price=np.nan), id="unknown_list_prices"),
    pytest.param(lambda panel: panel.assign(promotion=1.0), id="always_on_promotion"),
]


@pytest.mark.parametrize("shop", SHOPS)
def test_every_figure_is_finite_for(shop, market):
    model = quick_fit(shop(market.panel))
    for table in (model.elasticities(), model.by_sku(), model.cross()):
        assert np.isfinite(table[INTERVAL].to_numpy(float)).all()
    assert (model.elasticities()["high"] < 0).all()
    assert np.isfinite(list(vars(model.summary).values())).all()


@pytest.mark.parametrize("factor", [0, 1])
def test_a_segment_that_buys_everything_or_nothing_gets_finite_figures(market, factor):
    other = market.segments["segment"] == "regular"
    units = market.segments["units"].where(~other, market.segments["units"] * factor)
    model = quick_fit(market.panel, market.segments.assign(units=units))
    assert np.isfinite(model.elasticities()[INTERVAL].to_numpy()).all()
    assert np.isfinite(model.tables.segment_sds).all()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("units", -1.0),
        ("units", np.nan),
        ("units", np.inf),
        ("price", -5.0),
        ("price", np.inf),
        ("price", 1e13),
        ("display", np.inf),
        ("list_price", -np.inf),
        ("competitor_price", np.inf),
        ("on_hand_share", np.inf),
    ],
)
def test_an_unusable_value_is_refused_with_its_series_and_period(market, column, value):
    panel = market.panel.assign(**{column: market.panel.get(column, 1.0)}).astype({column: float})
    panel.loc[83, column] = value
    with pytest.raises(TrainingError) as error:
        quick_fit(panel)
    text = str(error.value)
    assert text.startswith(f"Column {column} must hold numbers from 0 to 1e+12; 1 rows do not")
    assert "sku 'sku001', zone 'all', period 2025-01-27" in text
    assert text.endswith(f"Received: {value}")


def test_an_infinite_quantity_of_a_segment_is_refused(market):
    segments = market.segments.assign(units=market.segments["units"].astype(float))
    segments.iloc[5, segments.columns.get_loc("units")] = np.inf
    with pytest.raises(TrainingError, match=r"Column units .* 'sku000'.*2025-02-10.*inf"):
        quick_fit(market.panel, segments)


def test_net_returns_of_a_segment_count_as_no_units(market):
    zeros, returns = (market.segments.assign(units=units) for units in (0, -3))
    fits = [quick_fit(market.panel, segments).elasticities() for segments in (zeros, returns)]
    pd.testing.assert_frame_equal(*fits)


def test_training_stops_at_a_loss_that_is_not_finite(market):
    from models.response.model import fit

    epochs = []
    with pytest.raises(
        TrainingError, match=r"loss is not finite in epoch \d+.*Received: (nan|inf)"
    ):
        fit(
            market.panel,
            NO_SEGMENTS,
            Response(learning_rate=1e30, epochs=50),
            7,
            lambda epoch, losses: epochs.append(losses["loss"]),
        )
    assert len(epochs) < 50
    assert np.isfinite(epochs).all()


def test_an_elasticity_of_zero_is_refused(market):
    with pytest.raises(TrainingError, match=r"finite and below 0; \d+ of 60 .*zone 'all'.*-0.0"):
        quick_fit(market.panel, learning_rate=1e4)


@pytest.mark.parametrize(
    "module", ["cannibalisation", "controls", "residuals", "segments", "tables", "laplace"]
)
def test_the_statistics_need_no_tensorflow(module):
    code = f"import sys, models.response.{module}; print(sorted(sys.modules))"
    modules = subprocess.check_output([sys.executable, "-c", code], text=True)
    assert "'numpy'" in modules
    assert "'tensorflow'" not in modules and "'keras'" not in modules
