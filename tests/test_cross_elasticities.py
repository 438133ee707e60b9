"""Elasticities to the prices of others, and elasticities of a sku over its zones."""

import pytest

from tests.response_market import quick_fit, simulate


@pytest.fixture(scope="module")
def market():
    return simulate()


@pytest.fixture(scope="module")
def zoned():
    from benchmarks.inputs.simulated import simulate_shop

    return simulate_shop(1, skus=8, categories=2, weeks=60, zones=5)


@pytest.fixture(scope="module")
def zoned_model(zoned):
    return quick_fit(zoned.panel)


def test_the_elasticity_of_a_sku_is_pooled_over_its_zones(zoned, zoned_model):
    pooled = zoned_model.by_sku().merge(zoned.by_sku, on="sku", suffixes=("", "_true"))
    assert len(pooled) == 8
    distance = (pooled["elasticity"] - pooled["elasticity_true"]).abs() / pooled["stderr"]
    assert (distance < 2).mean() >= 0.75
    assert pooled["stderr"].mean() < zoned_model.elasticities()["stderr"].mean()


def test_a_level_with_the_same_nodes_as_the_one_above_has_no_effect(zoned, zoned_model):
    one_zone = quick_fit(zoned.panel[zoned.panel["zone"] == zoned.panel["zone"].iloc[0]])
    assert one_zone.tables.sds[-1] < 0.01 < zoned_model.tables.sds[-1]


def test_skus_of_a_category_substitute_each_other(zoned_model):
    mean = zoned_model.cross().groupby("kind")["elasticity"].mean()
    assert set(mean.index) == {"category", "competitor", "sku"}
    assert (mean > 0).all()


def test_cross_elasticities_are_within_two_standard_errors_of_the_truth(zoned, zoned_model):
    keys = ["sku", "rival", "kind"]
    cross = zoned_model.cross().merge(zoned.cross, on=keys, suffixes=("", "_true"))
    pairs = cross[cross["kind"] == "sku"]
    assert len(pairs) == 8 * 3
    distance = (pairs["elasticity"] - pairs["elasticity_true"]).abs() / pairs["stderr"]
    assert distance.median() < 2


def test_a_competitor_with_a_constant_price_has_no_cross_elasticity(market):
    cross = quick_fit(market.panel.assign(competitor_price=480.0)).cross()
    assert set(cross["kind"]) == {"category", "sku"}


def test_a_shop_without_categories_has_no_cross_elasticities(market):
    assert quick_fit(market.panel.assign(category=None)).cross().empty
