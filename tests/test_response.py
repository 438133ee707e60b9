"""The response model recovers the true elasticities of a small, confounded market."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from pricebook.config import Response
from pricebook.errors import EmptyHistory
from tests.response_market import CATEGORY_ELASTICITY, SKUS, Market, quick_fit, simulate

PARAMS = Response(epochs=200)


@pytest.fixture(scope="module")
def market() -> Market:
    return simulate()


@pytest.fixture(scope="module")
def model(market):
    from models.response.model import fit

    return fit(market.panel, market.segments, PARAMS, seed=7)


@pytest.fixture(scope="module")
def everyone(model):
    elasticities = model.elasticities()
    return elasticities[elasticities["segment"] == "everyone"].set_index("sku")


def test_the_truth_is_recovered_with_promotions_controlled(model, market):
    assert model.summary.pooled == pytest.approx(market.truth.mean(), abs=0.15)


def test_without_promotion_controls_the_elasticity_is_far_too_large(model, market):
    assert model.summary.pooled_without_promotion_controls < market.truth.mean() - 0.8


def test_the_elasticity_of_every_sku_is_near_the_truth(everyone, market):
    assert (everyone["elasticity"] - market.truth).abs().median() < 0.2


def test_standard_errors_cover_the_truth(everyone, market):
    distance = (everyone["elasticity"] - market.truth).abs() / everyone["stderr"]
    assert (distance < 1.96).mean() >= 0.85
    assert 0.5 <= np.sqrt((distance**2).mean()) <= 1.5


def test_every_elasticity_is_negative_with_a_standard_error(model):
    elasticities = model.elasticities()
    assert (elasticities["elasticity"] < 0).all()
    assert ((elasticities["stderr"] > 0) & np.isfinite(elasticities["stderr"])).all()


def test_every_series_has_every_segment_and_everyone(model):
    counts = model.elasticities().groupby("segment").size()
    assert counts.to_dict() == {"everyone": SKUS, "deal seeker": SKUS, "regular": SKUS}


def test_segments_deviate_from_the_shop_as_in_the_market(model):
    mean = model.elasticities().groupby("segment")["elasticity"].mean()
    assert mean["deal seeker"] - mean["regular"] == pytest.approx(-1.2, abs=0.35)
    assert mean["deal seeker"] < mean["everyone"] < mean["regular"]


def test_the_network_reaches_the_exact_mode_of_the_posterior(model, market):
    from models.response.controls import usable_rows, with_series_codes
    from models.response.laplace import SHOP_PRIOR, laplace, softplus
    from models.response.residuals import residualise
    from models.response.slopes import series_slopes

    rows = usable_rows(with_series_codes(market.panel))
    slopes = series_slopes(residualise(rows, PARAMS.folds), SKUS, PARAMS.min_sales_periods)
    value = np.full(SKUS, SHOP_PRIOR[0])
    for _ in range(100):
        value = laplace(model.tables.tree, slopes, model.tables.sds, value).mean[-1]
    elasticity = model.elasticities()["elasticity"][:SKUS]
    assert np.allclose(elasticity, -softplus(value), atol=0.02)


def test_the_same_seed_gives_the_same_model(model, market):
    from models.response.model import fit

    again = fit(market.panel, market.segments, PARAMS, seed=7)
    pd.testing.assert_frame_equal(again.elasticities(), model.elasticities())


def test_the_order_of_the_rows_does_not_matter(model, market):
    from models.response.model import fit

    shuffled = market.panel.sample(frac=1, random_state=1)
    again = fit(shuffled, market.segments, PARAMS, seed=7)
    pd.testing.assert_frame_equal(again.elasticities(), model.elasticities())


def test_progress_is_reported_epoch_by_epoch(market):
    from models.response.model import fit

    calls = []
    fit(market.panel, market.segments, Response(epochs=5), 7, lambda *call: calls.append(call))
    assert [epoch for epoch, _ in calls] == list(range(10))
    assert all(np.isfinite(losses["loss"]) for _, losses in calls)


def test_a_saved_model_gives_the_same_elasticities(model, tmp_path):
    from models.response.model import ResponseModel

    model.save(tmp_path)
    loaded = ResponseModel.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.elasticities(), model.elasticities())
    assert loaded.summary == model.summary


def test_the_prediction_of_a_row_comes_from_other_blocks_of_time(market):
    from models.response import controls, residuals

    rows = controls.usable_rows(controls.with_series_codes(market.panel))
    display = rows[["display"]].to_numpy(float)
    targets = np.log(rows[["units", "price"]].to_numpy(float))
    layout = residuals._layout(rows, 4)
    held_out, weight = layout.block == 0, np.ones(len(rows))
    before = residuals._cross_fitted(targets, display, weight, layout)
    after = residuals._cross_fitted(targets + 9.0 * held_out[:, None], display, weight, layout)
    assert np.array_equal(before[held_out], after[held_out])
    assert not np.allclose(before[~held_out], after[~held_out])


def with_one_sale(panel: pd.DataFrame, sku: str) -> pd.DataFrame:
    rows = panel["sku"] == sku
    first = panel.index[rows][0]
    return panel.assign(units=panel["units"].where(~rows | (panel.index == first), 0))


def test_a_sku_with_one_sale_gets_its_categorys_elasticity_with_a_larger_error(market, everyone):
    own = quick_fit(with_one_sale(market.panel, "sku001")).elasticities().set_index("sku")
    assert own.loc["sku001", "elasticity"] == pytest.approx(CATEGORY_ELASTICITY[1], abs=0.5)
    assert own.loc["sku001", "stderr"] > 1.2 * own.loc["sku003", "stderr"]


def test_a_sku_with_a_constant_price_gets_its_categorys_elasticity(market):
    flat = market.panel.assign(
        price=market.panel["price"].where(market.panel["sku"] != "sku001", 500.0)
    )
    own = quick_fit(flat).elasticities().set_index("sku")
    assert own.loc["sku001", "elasticity"] == pytest.approx(CATEGORY_ELASTICITY[1], abs=0.7)


def test_a_shop_without_a_product_catalogue_can_be_fitted(market):
    bare = market.panel.drop(columns=["department", "category", "product_type"])
    summary = quick_fit(bare).summary
    assert summary.pooled == pytest.approx(market.truth.mean(), abs=0.15)


def test_products_without_a_category_can_be_fitted(market):
    without = market.panel.assign(category=None)
    assert (quick_fit(without).elasticities()["elasticity"] < 0).all()


def test_a_shop_of_one_sku_learns_from_its_own_history(market):
    own = quick_fit(market.panel[market.panel["sku"] == "sku001"]).elasticities()
    assert own["elasticity"].item() == pytest.approx(market.truth["sku001"], abs=0.8)


def test_a_shop_with_one_sale_gets_the_prior(market):
    model = quick_fit(market.panel.iloc[[0]].assign(units=1))
    own = model.elasticities()
    assert own["elasticity"].item() == pytest.approx(-1.5, abs=0.01)
    assert own["stderr"].item() > 0.7
    assert model.summary.series_with_evidence == 0
    assert (model.summary.pooled, model.summary.pooled_stderr) == pytest.approx(
        (-1.5, 0.78), abs=0.01
    )


def test_competitors_and_stock_outs_are_controlled_for(market):
    size = len(market.panel)
    random = np.random.default_rng(1)
    rival = np.where(random.random(size) < 0.5, np.nan, 480 + 40 * random.random(size))
    stock = np.where(random.random(size) < 0.1, 0.5, 1.0)
    fitted = quick_fit(market.panel.assign(competitor_price=rival, on_hand_share=stock))
    assert fitted.summary.pooled == pytest.approx(market.truth.mean(), abs=0.15)


def test_a_sku_in_two_zones_is_two_series(market):
    zones = pd.concat([market.panel.assign(zone=zone) for zone in ("north", "south")])
    own = quick_fit(zones).elasticities()
    assert set(own["zone"]) == {"north", "south"}
    assert len(own) == 2 * SKUS


def test_segments_without_matching_rows_get_the_shops_elasticity(market):
    other = market.segments.assign(sku="elsewhere")
    own = quick_fit(market.panel, other).elasticities()
    wide = own.pivot_table(index="sku", columns="segment", values="elasticity")
    assert np.allclose(wide["regular"], wide["everyone"])


def test_a_history_without_a_sale_is_an_error(market):
    with pytest.raises(EmptyHistory, match=r"units and a price above zero.*Received: 4800 rows"):
        quick_fit(market.panel.assign(units=0))


def test_an_interval_contains_its_elasticity_and_is_below_zero(model):
    own = model.elasticities()
    assert (own["low"] < own["elasticity"]).all()
    assert (own["elasticity"] < own["high"]).all()
    assert (own["high"] < 0).all()


def test_a_promotion_flag_that_repeats_the_price_cut_is_no_control(market):
    from models.response.controls import control_columns, with_series_codes

    cut = market.panel.assign(list_price=500.0, promotion=market.panel["price"] < 497.0)
    columns = [
        control_columns(with_series_codes(panel), promotions=True, rivals=False)
        for panel in (cut, market.panel)
    ]
    assert (columns[0].std(axis=0) > 0).sum() < (columns[1].std(axis=0) > 0).sum()


def test_periods_without_a_sale_are_used_and_periods_without_stock_are_not(market):
    from models.response.controls import usable_rows, with_series_codes

    rows = market.panel[market.panel["sku"] == "sku001"].copy()
    rows.iloc[[0, 5, 9], rows.columns.get_loc("units")] = 0
    rows["on_hand_share"] = [0.0 if number == 9 else 1.0 for number in range(len(rows))]
    assert len(usable_rows(with_series_codes(rows))) == len(rows) - 2
