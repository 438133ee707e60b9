"""The profit benchmark on tiny markets: its shops, its oracle, its policies and its targets."""

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.profit import __main__ as benchmark
from benchmarks.profit import ours, rivals
from benchmarks.profit.oracle import oracle, oracles
from benchmarks.profit.shop import Trajectory, draw_shop, run

WEEKS = 6


@pytest.fixture(scope="module", params=[False, True], ids=["as many visits", "store choice"])
def shop(request):
    return draw_shop(100, request.param, WEEKS)


@pytest.fixture(scope="module")
def choosing():
    return draw_shop(100, store_choice=True, weeks=WEEKS)


def known(shop):
    """The true elasticities, in place of estimates."""
    weeks = np.mean([week.elasticity for week in shop.history], axis=0)
    return ours.Elasticities(np.diag(weeks), weeks.sum(axis=1) - np.diag(weeks))


def constant(prices):
    return lambda week, state, usual_offer, trajectory: prices


def test_every_policy_charges_rungs_between_floor_and_list_price(shop):
    policies = (ours.profit(shop, known(shop)), ours.calibrated(shop, known(shop)))
    for policy in (*policies, rivals.cost_plus(shop), oracle(shop, 1.0)):
        price = policy(0, shop.start, shop.offers[0], Trajectory())
        limits = [rungs[[0, -1]] for rungs in shop.rungs]
        assert all(low <= p <= high for p, (low, high) in zip(price, limits, strict=True))


def test_no_change_of_one_price_improves_the_oracles_week(shop):
    blind = replace(shop, market=replace(shop.market, spec=replace(shop.market.spec, rivalry=0.0)))
    value = blind.market.image_value(shop.market.list_price)
    price = oracle(blind, 0.0)(0, blind.start, blind.offers[0], Trajectory())

    def worth(prices):
        offer = replace(blind.offers[0], price=prices)
        stock = blind.start.on_hand + blind.start.inbound
        sold = np.minimum(blind.market.demand(blind.start, offer), stock)
        return ((prices - blind.cost) * sold).sum() - value * blind.market.price_index(prices)

    for sku in range(0, len(price), 7):
        options = [np.where(np.arange(len(price)) == sku, rung, price) for rung in blind.rungs[sku]]
        assert max(map(worth, options)) <= worth(price) * (1 + 1e-9)


def test_the_oracle_earns_more_than_the_usual_prices(shop):
    usual = run(shop, lambda week, state, usual_offer, trajectory: usual_offer.price)
    assert benchmark.best(shop, oracles(shop))["profit"] > usual["profit"]


def test_short_run_profit_differs_only_where_shoppers_choose_the_shop(shop):
    result = run(shop, constant(np.array([rungs[0] for rungs in shop.rungs])))
    same = result["short-run profit"] == result["profit"]
    assert same == (shop.market.spec.store_choice == 0)


def test_low_prices_bring_visits_that_the_short_run_does_not_show(choosing):
    low = run(choosing, constant(np.array([rungs[0] for rungs in choosing.rungs])))
    high = run(choosing, constant(choosing.market.list_price))
    assert low["profit"] > low["short-run profit"]
    assert high["profit"] < high["short-run profit"]


def test_with_store_choice_calibrated_prices_are_lower_than_short_run_prices(choosing):
    short, long = (
        run(choosing, policy(choosing, known(choosing)))
        for policy in (ours.profit, ours.calibrated)
    )
    assert long["price index"] < short["price index"]


def test_a_policy_reads_the_last_price_charged(shop):
    so_far = Trajectory(price=[shop.market.list_price * 0.8])
    listings = ours.current_listings(shop, so_far, np.zeros(len(shop.cost)))
    assert listings.public_price == pytest.approx(shop.market.list_price * 0.8)


def results(**shares):
    """Two markets in which the oracle earns 200 and the usual prices earn 100."""
    names = {"policy": benchmark.PROFIT, "calibrated": benchmark.CALIBRATED}
    profits = {benchmark.STATUS_QUO: 0.0, **{names[k]: v for k, v in shares.items()}}
    market = {name: {"profit": 100 + 100 * share} for name, share in profits.items()}
    return benchmark.rows([{**market, benchmark.ORACLE: {"profit": 200.0}}] * 2)


def test_a_share_of_the_oracles_gain_is_counted_from_the_usual_prices():
    shares = {row["policy"]: row[benchmark.GAIN] for row in results(policy=0.5, calibrated=0.9)}
    assert shares[benchmark.PROFIT] == pytest.approx(0.5)
    assert shares[benchmark.STATUS_QUO] == 0


@pytest.mark.parametrize(("name", "met"), [(benchmark.WITHOUT, False), (benchmark.WITH, True)])
def test_the_targets_are_those_of_the_kind_of_market(name, met):
    targets = benchmark.bars(name, results(policy=0.86, calibrated=0.88))
    stretch = [target for target in targets if "stretch" in target.what]
    assert all(t.met for t in targets if t not in stretch) == met
    assert len(stretch) == 1 and not stretch[0].met
