"""The simulated market follows its demand model, and the same seed repeats it."""

import csv
import gzip
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from pricebook.config import REPO_ROOT
from pricebook.simulation.market import Market, Offer, Spec


@pytest.fixture(scope="module")
def market():
    return Market.draw(Spec(skus=24, categories=4, shoppers=120))


def at_list(market):
    return Offer(market.list_price, np.zeros(market.spec.skus, bool))


def in_week(market, week):
    return replace(market.opening(), week=week)


def simulate(market, weeks, seed=1):
    rng, state, weeks_played = np.random.default_rng(seed), market.opening(), []
    for _ in range(weeks):
        offer = market.policy(state, rng)
        following, sales = market.step(state, offer, rng)
        weeks_played.append((state, offer, sales))
        state = following
    return weeks_played


def test_own_elasticities_are_negative_and_substitutes_gain(market):
    elasticity = market.elasticity(in_week(market, 10), at_list(market))
    same = np.equal.outer(market.category, market.category)
    own = np.eye(market.spec.skus, dtype=bool)
    assert (elasticity[own] < -0.5).all()
    assert (elasticity[same & ~own] > 0).all()
    assert np.allclose(elasticity[~same], 0)


def test_a_category_sells_less_when_all_its_prices_rise(market):
    offer, state = at_list(market), in_week(market, 3)
    dearer = replace(offer, price=market.list_price * 1.1)
    assert market.demand(state, dearer).sum() < market.demand(state, offer).sum()


def test_each_elasticity_is_the_slope_of_log_demand(market):
    offer, state, step = market.policy(market.opening(), np.random.default_rng(3)), 20, 1e-5
    state = in_week(market, state)
    for sku in (0, 7, 23):
        turn = np.exp(step * (np.arange(market.spec.skus) == sku))
        higher, lower = (replace(offer, price=offer.price * factor) for factor in (turn, 1 / turn))
        slope = np.log(market.demand(state, higher) / market.demand(state, lower)) / (2 * step)
        assert np.allclose(market.elasticity(state, offer)[:, sku], slope, atol=1e-5)


def test_cheaper_competitors_take_buyers_by_the_true_elasticity(market):
    offer, state, factor = at_list(market), in_week(market, 3), 1.001
    dearer = replace(state, rivals=state.rivals * factor)
    slope = np.log(market.demand(dearer, offer) / market.demand(state, offer)) / np.log(factor)
    own = market.elasticity(state, offer).sum(axis=1)
    assert market.demand(dearer, offer).sum() > market.demand(state, offer).sum()
    assert np.allclose(slope, -market.spec.rivalry * own, rtol=1e-2)


def test_display_and_mailer_raise_demand_most_for_deal_seekers(market):
    offer, state = at_list(market), in_week(market, 3)
    first = np.arange(market.spec.skus) == 0
    for shown in (replace(offer, display=first), replace(offer, mailer=first)):
        lift = market.choice(state, shown)[:, 0] / market.choice(state, offer)[:, 0]
        assert (lift > 1).all()
        assert lift[2] == lift.max()


def test_mean_sales_equal_the_expected_demand(market):
    offer, state, rng = at_list(market), market.opening(), np.random.default_rng(0)
    weeks = [market.step(state, offer, rng)[1] for _ in range(300)]
    wanted = np.mean([sales.units.sum() + sales.lost.sum() for sales in weeks])
    assert wanted == pytest.approx(market.demand(state, offer).sum(), rel=0.03)


def test_mean_totals_equal_the_expected_demand(market):
    offer, state, rng = at_list(market), market.opening(), np.random.default_rng(0)
    weeks = [market.trade(state, offer, rng)[1].demand for _ in range(2000)]
    assert np.mean(weeks, axis=0) == pytest.approx(market.demand(state, offer), rel=0.15)
    assert np.mean(weeks) == pytest.approx(market.demand(state, offer).mean(), rel=0.01)


def test_a_shelf_that_is_empty_for_half_of_the_week_sells_half(market):
    offer, state, rng = at_list(market), market.opening(), np.random.default_rng(0)
    weeks = [market.trade(state, offer, rng, supply=0.5)[1] for _ in range(500)]
    sold, demanded = (
        np.sum([getattr(week, name) for week in weeks]) for name in ("units", "demand")
    )
    assert sold / demanded == pytest.approx(0.5, abs=0.02)
    assert all((week.on_hand_share <= 0.5).all() for week in weeks)


def test_totals_are_at_most_the_stock_and_have_the_share_of_the_week_in_stock(market):
    short = replace(market.opening(), on_hand=np.ones(market.spec.skus, np.int64))
    _, week = market.trade(short, at_list(market), np.random.default_rng(0))
    assert (week.units <= 1).all()
    assert ((week.on_hand_share < 1) == (week.demand > week.units)).all()


def test_zones_differ_in_size_but_not_in_elasticity(market):
    zone, other = market.zone(0), market.zone(1)
    assert zone.frequency.sum() != other.frequency.sum()
    assert np.array_equal(zone.slope, other.slope)
    assert not np.array_equal(zone.opening().rivals, other.opening().rivals)


def test_sales_are_at_most_the_stock(market):
    for state, _, sales in simulate(market, 40):
        units = np.bincount(sales.sku, sales.units, market.spec.skus)
        assert (units <= state.on_hand + state.inbound).all()
        assert (state.on_hand >= 0).all()


def test_empty_shelves_lose_sales(market):
    state = replace(market.opening(), on_hand=np.zeros(market.spec.skus, np.int64))
    _, sales = market.step(state, at_list(market), np.random.default_rng(0))
    assert len(sales.sku) == 0
    assert sales.lost.sum() > 0


def test_a_visit_buys_at_most_one_sku_of_a_category(market):
    for _, _, sales in simulate(market, 5):
        choices = list(zip(sales.visit, market.category[sales.sku], strict=True))
        assert len(choices) == len(set(choices))


def test_competitors_follow_a_price_cut(market):
    offer, state = at_list(market), market.opening()
    cheap, rng = replace(offer, price=market.list_price // 2), np.random.default_rng(0)
    for _ in range(20):
        state, _ = market.step(state, cheap, rng)
    assert (state.rivals < market.list_price[:, None] * 0.7).mean() > 0.95


def test_competitors_also_change_prices_on_their_own(market):
    states = [state for state, _, _ in simulate(market, 60)]
    cheapest = np.log([state.rivals.min(axis=1) / market.list_price for state in states])
    own = np.log([state.price / market.list_price for state in states])
    correlations = [np.corrcoef(cheapest[:, n], own[:, n])[0, 1] for n in range(market.spec.skus)]
    assert 0 < np.mean(correlations) < 0.8


def test_prices_depend_on_the_season_so_a_naive_slope_is_biased(market):
    history = simulate(market, 104)
    price = np.log([offer.price / market.list_price for _, offer, _ in history])
    demand = np.log([market.demand(state, offer) for state, offer, _ in history])
    naive = [np.polyfit(price[:, sku], demand[:, sku], 1)[0] for sku in range(market.spec.skus)]
    true = np.diag(market.elasticity(market.opening(), at_list(market)))
    assert np.median(naive) < 1.3 * np.median(true)


@pytest.fixture(scope="module")
def choosing(market):
    """The same market with store choice."""
    return replace(market, spec=replace(market.spec, store_choice=2.0))


def after_weeks_at(market, share, weeks=30):
    """The state after weeks at a share of list prices, and of the usual state of all else."""
    offer, state = replace(at_list(market), price=market.list_price * share), market.opening()
    for week in range(weeks):
        state, _ = market.trade(state, offer, np.random.default_rng(week))
    return replace(market.opening(), image=state.image)


def test_without_store_choice_past_prices_change_nothing(market):
    dear, cheap = (after_weeks_at(market, share) for share in (1.2, 0.8))
    assert dear.image == cheap.image == 0
    assert (market.attraction(replace(dear, image=0.5)) == 1).all()


def test_fewer_shoppers_visit_after_high_prices_and_deal_seekers_leave_first(choosing):
    dear, cheap = (choosing.attraction(after_weeks_at(choosing, share)) for share in (1.1, 1 / 1.1))
    assert (dear < 1).all() and (cheap > 1).all()
    assert dear[2] == dear.min()


def test_the_price_image_moves_slowly_to_the_index_of_the_prices_charged(choosing):
    image = [after_weeks_at(choosing, 1.1, weeks).image for weeks in (0, 1, 60)]
    assert image == pytest.approx(
        [0, choosing.spec.image_speed * np.log(1.1), np.log(1.1)], abs=1e-6
    )


def test_the_price_index_weighs_skus_by_revenue(choosing):
    first = np.where(np.arange(choosing.spec.skus) == 0, 1.1, 1.0)
    index = choosing.price_index(choosing.list_price * first)
    assert index == pytest.approx(choosing.basket[0] * np.log(1.1))
    assert choosing.basket.sum() == pytest.approx(1)


def test_single_visits_follow_the_price_image_as_expected_demand_does(choosing):
    state, rng = replace(choosing.opening(), image=0.2), np.random.default_rng(0)
    weeks = [choosing.step(state, at_list(choosing), rng)[1] for _ in range(300)]
    wanted = np.mean([sales.units.sum() + sales.lost.sum() for sales in weeks])
    assert wanted == pytest.approx(choosing.demand(state, at_list(choosing)).sum(), rel=0.03)


def long_run_profit(market, price):
    """Profit of a year at these prices, once competitors and the price image have settled."""
    return ((price - market.unit_cost) * market.long_run_units(price)).sum()


def test_costs_make_list_prices_optimal_in_the_long_run(choosing):
    market = choosing.priced_for_the_long_run(deviation=0.0)
    best = long_run_profit(market, market.list_price)
    for sku in range(0, market.spec.skus, 5):
        for change in (0.9, 1.1):
            moved = np.where(np.arange(market.spec.skus) == sku, change, 1.0)
            assert long_run_profit(market, market.list_price * moved) < best


def test_list_prices_deviate_from_the_optimum_without_a_common_direction(choosing):
    market = choosing.priced_for_the_long_run(deviation=0.15)
    exact = choosing.priced_for_the_long_run(deviation=0.0)
    assert np.array_equal(market.list_price, exact.list_price)
    ratio = np.log(market.unit_cost / exact.unit_cost)
    assert abs(ratio.mean()) < 0.1 and ratio.std() > 0.1


def test_demand_at_several_prices_equals_demand_at_each(market):
    state, offer = in_week(market, 3), at_list(market)
    prices = market.list_price * np.array([[1.0], [0.9], [0.8]])
    together = market.demand(state, replace(offer, price=prices))
    each = [market.demand(state, replace(offer, price=price)) for price in prices]
    assert np.allclose(together, each, rtol=1e-12)


def test_the_same_seed_gives_the_same_market(market):
    again = Market.draw(market.spec)
    for (_, offer, sales), (_, other, others) in zip(
        simulate(market, 5), simulate(again, 5), strict=True
    ):
        assert np.array_equal(offer.price, other.price)
        assert np.array_equal(sales.minute, others.minute)
        assert np.array_equal(sales.sku, others.sku)


def rows(path):
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.reader(text.decode().splitlines()))


def test_the_corner_shop_data_equals_the_output_of_its_script(tmp_path):
    folder = REPO_ROOT / "examples" / "corner_shop"
    subprocess.run([sys.executable, folder / "make.py", tmp_path], check=True, cwd=REPO_ROOT)
    made = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.*"))
    kept = sorted(path.relative_to(folder / "data") for path in (folder / "data").rglob("*.*"))
    assert made == kept
    for path in made:
        assert rows(tmp_path / path) == rows(folder / "data" / path), path
