"""Any pricing policy can be tried on the simulated market, as gymnasium knows environments."""

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from pricebook.simulation.environment import Shop
from pricebook.simulation.market import Market, Spec


@pytest.fixture
def shop():
    return Shop(Market.draw(Spec(skus=12, categories=3, shoppers=200)), weeks=6)


def played(shop, share, seed=3):
    shop.reset(seed=seed)
    steps = [shop.step(np.full(12, share)) for _ in range(shop.weeks)]
    return [profit for _, profit, *_ in steps], [cut_short for *_, cut_short, _ in steps]


def test_it_keeps_gymnasiums_contract(shop):
    check_env(shop, skip_render_check=True)


def test_an_episode_is_cut_short_after_its_weeks(shop):
    assert played(shop, 1.0)[1] == [False] * 5 + [True]


def test_the_same_seed_earns_the_same_and_another_does_not(shop):
    assert played(shop, 0.9) == played(shop, 0.9)
    assert played(shop, 0.9) != played(shop, 0.9, seed=4)


def test_selling_below_cost_loses_money(shop):
    assert sum(played(shop, 1.0)[0]) > 0 > sum(played(shop, 0.2)[0])
