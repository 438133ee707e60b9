"""The response model, on a small market whose true elasticities are known.

Promotions confound it: a promotion cuts the price and, by itself, nearly triples demand.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from pricebook.config import Response
from pricebook.errors import EmptyHistory

PARAMS = Response(epochs=200)
PERIODS, SKUS = 80, 60
CATEGORY_ELASTICITY = (-1.0, -2.5)
SEGMENT_DEVIATION = {"deal seeker": -0.6, "regular": 0.6}


@dataclass(frozen=True)
class Market:
    panel: pd.DataFrame
    segments: pd.DataFrame
    truth: pd.Series


def simulate(seed: int = 3) -> Market:
    random = np.random.default_rng(seed)
    category = np.arange(SKUS) % 2
    truth = np.array(CATEGORY_ELASTICITY)[category] + random.normal(0, 0.2, SKUS)
    promoted = random.random((SKUS, PERIODS)) < 0.2
    log_price = -0.25 * promoted + random.normal(0, 0.08, promoted.shape)
    season = 0.3 * np.sin(np.arange(PERIODS) / 8)
    lift = 1.0 * promoted + season + random.normal(0, 0.1, promoted.shape)
    base = np.log(random.uniform(20, 60, (SKUS, 1)))
    frames = []
    for deviation in SEGMENT_DEVIATION.values():
        rate = np.exp(base + (truth[:, None] + deviation) * log_price + lift) / 2
        frames.append(random.poisson(rate))
    grid = _grid(log_price, promoted, category)
    panel = grid.assign(units=sum(frames).ravel())
    segments = pd.concat(
        grid[["sku", "zone", "period", "price"]].assign(segment=name, units=units.ravel())
        for name, units in zip(SEGMENT_DEVIATION, frames, strict=True)
    )
    return Market(panel, segments, pd.Series(truth, sorted(panel["sku"].unique())))


def _grid(log_price, promoted, category) -> pd.DataFrame:
    sku = np.repeat(np.arange(SKUS), PERIODS)
    first = pd.Timestamp("2025-01-06")
    weeks = [(first + pd.Timedelta(weeks=week)).date() for week in range(PERIODS)]
    share = promoted.ravel().astype(float)
    return pd.DataFrame(
        {
            "sku": [f"sku{number:03d}" for number in sku],
            "zone": "all",
            "period": weeks * SKUS,
            "price": 500 * np.exp(log_price.ravel()),
            "display": share,
            "mailer": 0.0,
            "promotion": share,
            "department": "GROCERY",
            "category": np.where(category[sku] == 0, "staples", "treats"),
            "product_type": np.where(category[sku] == 0, "rice", "biscuits"),
        }
    )


@pytest.fixture(scope="module")
def market() -> Market:
    return simulate()


@pytest.fixture(scope="module")
def model(market):
    from models.response.model import fit

    return fit(market.panel, market.segments, PARAMS, seed=7)


@pytest.fixture(scope="module")
def everyone(model):
    found = model.elasticities()
    return found[found["segment"] == "everyone"].set_index("sku")


def quick(panel, segments=None, **params):
    from models.response.model import fit

    empty = pd.DataFrame(columns=["sku", "zone", "segment", "period", "units", "price"])
    return fit(panel, empty if segments is None else segments, Response(epochs=60, **params), 7)


def test_the_truth_is_recovered_with_promotions_controlled(model, market):
    assert model.summary.pooled == pytest.approx(market.truth.mean(), abs=0.15)


def test_leaving_the_promotions_in_gives_price_their_credit(model, market):
    assert model.summary.pooled_without_promotion_controls < market.truth.mean() - 0.8


def test_every_sku_is_near_its_true_elasticity(everyone, market):
    assert (everyone["elasticity"] - market.truth).abs().median() < 0.2


def test_standard_errors_cover_the_truth(everyone, market):
    distance = (everyone["elasticity"] - market.truth).abs() / everyone["stderr"]
    assert (distance < 1.96).mean() >= 0.85
    assert 0.5 <= np.sqrt((distance**2).mean()) <= 1.5


def test_every_elasticity_is_negative_with_a_standard_error(model):
    found = model.elasticities()
    assert (found["elasticity"] < 0).all()
    assert ((found["stderr"] > 0) & np.isfinite(found["stderr"])).all()


def test_every_series_has_every_segment_and_everyone(model):
    counts = model.elasticities().groupby("segment").size()
    assert counts.to_dict() == {"everyone": SKUS, "deal seeker": SKUS, "regular": SKUS}


def test_segments_deviate_as_they_do_in_truth(model):
    mean = model.elasticities().groupby("segment")["elasticity"].mean()
    assert mean["deal seeker"] - mean["regular"] == pytest.approx(-1.2, abs=0.35)
    assert mean["deal seeker"] < mean["everyone"] < mean["regular"]


def test_the_network_reaches_the_mode_that_the_hierarchy_gives_exactly(model, market):
    from models.response import model as response
    from models.response import network
    from models.response.controls import coded, usable
    from models.response.evidence import evidence
    from models.response.residuals import residuals

    rows = usable(coded(market.panel))
    seen = evidence(residuals(rows, PARAMS.folds), SKUS, PARAMS.min_sales_periods)
    value = np.full(SKUS, response.SHOP_PRIOR[0])
    for _ in range(100):
        value = response._laplace(model.tables.tree, seen, model.tables.sds, value).mean[-1]
    found = model.elasticities()["elasticity"][:SKUS]
    assert np.allclose(found, -network.softplus(value), atol=0.02)


def test_the_same_seed_gives_the_same_model(model, market):
    from models.response.model import fit

    again = fit(market.panel, market.segments, PARAMS, seed=7)
    pd.testing.assert_frame_equal(again.elasticities(), model.elasticities())


def test_the_order_of_the_rows_does_not_matter(model, market):
    from models.response.model import fit

    shuffled = market.panel.sample(frac=1, random_state=1)
    again = fit(shuffled, market.segments, PARAMS, seed=7)
    pd.testing.assert_frame_equal(again.elasticities(), model.elasticities())


def test_progress_is_told_epoch_by_epoch(market):
    from models.response.model import fit

    told = []
    fit(market.panel, market.segments, Response(epochs=5), 7, lambda *seen: told.append(seen))
    assert [epoch for epoch, _ in told] == list(range(10))
    assert all(np.isfinite(logs["loss"]) for _, logs in told)


def test_a_saved_model_loads_as_it_was(model, tmp_path):
    from models.response.model import ResponseModel

    model.save(tmp_path)
    loaded = ResponseModel.load(tmp_path)
    pd.testing.assert_frame_equal(loaded.elasticities(), model.elasticities())
    assert loaded.summary == model.summary


def test_no_row_is_residualised_by_a_function_that_saw_it(market):
    from models.response import controls
    from models.response import residuals as orthogonal

    rows = controls.usable(controls.coded(market.panel))
    taken = rows[["display"]].to_numpy(float)
    targets = np.log(rows[["units", "price"]].to_numpy(float))
    at = orthogonal._layout(rows, 4)
    held, even = at.block == 0, np.ones(len(rows))
    before = orthogonal._predicted(targets, taken, even, at)
    after = orthogonal._predicted(targets + 9.0 * held[:, None], taken, even, at)
    assert np.array_equal(before[held], after[held])
    assert not np.allclose(before[~held], after[~held])


def only_sale(panel: pd.DataFrame, sku: str) -> pd.DataFrame:
    rows = panel["sku"] == sku
    first = panel.index[rows][0]
    return panel.assign(units=panel["units"].where(~rows | (panel.index == first), 0))


def test_a_sku_with_one_sale_takes_its_category_with_a_wider_error(market, everyone):
    found = quick(only_sale(market.panel, "sku001")).elasticities().set_index("sku")
    assert found.loc["sku001", "elasticity"] == pytest.approx(CATEGORY_ELASTICITY[1], abs=0.5)
    assert found.loc["sku001", "stderr"] > 1.2 * found.loc["sku003", "stderr"]


def test_a_sku_whose_price_never_moves_takes_its_category(market):
    flat = market.panel.assign(
        price=market.panel["price"].where(market.panel["sku"] != "sku001", 500.0)
    )
    found = quick(flat).elasticities().set_index("sku")
    assert found.loc["sku001", "elasticity"] == pytest.approx(CATEGORY_ELASTICITY[1], abs=0.7)


def test_a_shop_without_a_catalogue_still_learns(market):
    bare = market.panel.drop(columns=["department", "category", "product_type"])
    found = quick(bare)
    assert found.summary.pooled == pytest.approx(market.truth.mean(), abs=0.15)


def test_a_missing_category_is_no_obstacle(market):
    holes = market.panel.assign(category=None)
    assert (quick(holes).elasticities()["elasticity"] < 0).all()


def test_a_shop_of_one_sku_learns_from_its_own_history(market):
    alone = market.panel[market.panel["sku"] == "sku001"]
    found = quick(alone).elasticities()
    assert found["elasticity"].item() == pytest.approx(market.truth["sku001"], abs=0.8)


def test_one_sale_in_all_gives_the_prior(market):
    found = quick(market.panel.iloc[[0]].assign(units=1)).elasticities()
    assert found["elasticity"].item() == pytest.approx(-1.5, abs=0.01)
    assert found["stderr"].item() > 0.7


def test_a_rival_and_an_empty_shelf_are_controlled_for(market):
    size = len(market.panel)
    random = np.random.default_rng(1)
    rival = np.where(random.random(size) < 0.5, np.nan, 480 + 40 * random.random(size))
    stock = np.where(random.random(size) < 0.1, 0.5, 1.0)
    found = quick(market.panel.assign(competitor_price=rival, on_hand_share=stock))
    assert found.summary.pooled == pytest.approx(market.truth.mean(), abs=0.15)


def test_zones_are_series_of_their_own(market):
    zones = pd.concat([market.panel.assign(zone=zone) for zone in ("north", "south")])
    found = quick(zones).elasticities()
    assert set(found["zone"]) == {"north", "south"}
    assert len(found) == 2 * SKUS


def test_segments_that_match_no_row_deviate_by_nothing(market):
    stray = market.segments.assign(sku="elsewhere")
    found = quick(market.panel, stray).elasticities()
    wide = found.pivot_table(index="sku", columns="segment", values="elasticity")
    assert np.allclose(wide["regular"], wide["everyone"])


def test_a_history_without_a_sale_is_named(market):
    with pytest.raises(EmptyHistory, match=r"units and a price above zero.*Received: 4800 rows"):
        quick(market.panel.assign(units=0))


@pytest.fixture(scope="module")
def zoned():
    from benchmarks.inputs.simulated import simulate_shop

    return simulate_shop(1, skus=8, categories=2, weeks=60, zones=5)


@pytest.fixture(scope="module")
def of_zones(zoned):
    return quick(zoned.panel)


def test_a_sku_pools_its_zones(zoned, of_zones):
    found = of_zones.by_sku().merge(zoned.by_sku, on="sku", suffixes=("", "_true"))
    assert len(found) == 8
    distance = (found["elasticity"] - found["elasticity_true"]).abs() / found["stderr"]
    assert (distance < 2).mean() >= 0.75
    assert found["stderr"].mean() < of_zones.elasticities()["stderr"].mean()


def test_an_interval_holds_its_elasticity_and_stays_below_zero(model):
    found = model.elasticities()
    assert (found["low"] < found["elasticity"]).all()
    assert (found["elasticity"] < found["high"]).all()
    assert (found["high"] < 0).all()


def test_a_level_that_repeats_the_one_above_adds_no_effect(model, of_zones):
    assert model.tables.sds[-1] < 0.01 < of_zones.tables.sds[-1]


def test_skus_of_a_category_substitute_each_other(of_zones):
    mean = of_zones.cross().groupby("kind")["elasticity"].mean()
    assert set(mean.index) == {"category", "competitor", "sku"}
    assert (mean > 0).all()


def test_a_cross_elasticity_is_near_the_truth_by_its_error(zoned, of_zones):
    found = of_zones.cross().merge(zoned.cross, on=["sku", "rival", "kind"], suffixes=("", "_true"))
    pairs = found[found["kind"] == "sku"]
    assert len(pairs) == 8 * 3
    distance = (pairs["elasticity"] - pairs["elasticity_true"]).abs() / pairs["stderr"]
    assert distance.median() < 2


def test_a_rival_whose_price_never_moved_is_left_out(market):
    found = quick(market.panel.assign(competitor_price=480.0)).cross()
    assert set(found["kind"]) == {"category", "sku"}


def test_a_shop_without_categories_has_no_rivals_within(market):
    assert quick(market.panel.assign(category=None)).cross().empty


def test_the_price_cut_under_another_name_is_no_control(market):
    from models.response.controls import coded, controls

    cut = market.panel.assign(list_price=500.0, promotion=market.panel["price"] < 497.0)
    columns = [controls(coded(rows), promotions=True, rivals=False) for rows in (cut, market.panel)]
    assert (columns[0].std(axis=0) > 0).sum() < (columns[1].std(axis=0) > 0).sum()


def test_weeks_without_a_sale_count_and_those_without_stock_do_not(market):
    from models.response.controls import coded, usable

    rows = market.panel[market.panel["sku"] == "sku001"].copy()
    rows.iloc[[0, 5, 9], rows.columns.get_loc("units")] = 0
    rows["on_hand_share"] = [0.0 if number == 9 else 1.0 for number in range(len(rows))]
    assert len(usable(coded(rows))) == len(rows) - 2
