"""The simulated market as a Gymnasium environment, in which any pricing policy can be tried."""

from dataclasses import replace

import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from pricebook.simulation.environment import Shop
from pricebook.simulation.market import Market, Spec


@pytest.fixture
def shop():
    return Shop(Market.draw(Spec(skus=12, categories=3, shoppers=200)), weeks=6)


def run_episode(shop, share, seed=3):
    shop.reset(seed=seed)
    steps = [shop.step(np.full(12, share)) for _ in range(shop.weeks)]
    return [profit for _, profit, *_ in steps], [truncated for *_, truncated, _ in steps]


def test_it_passes_gymnasiums_environment_checks(shop):
    check_env(shop, skip_render_check=True)


def test_an_episode_is_truncated_after_its_weeks(shop):
    assert run_episode(shop, 1.0)[1] == [False] * 5 + [True]


def test_the_same_seed_gives_the_same_profits_and_another_does_not(shop):
    assert run_episode(shop, 0.9) == run_episode(shop, 0.9)
    assert run_episode(shop, 0.9) != run_episode(shop, 0.9, seed=4)


def test_selling_below_cost_loses_money(shop):
    assert sum(run_episode(shop, 1.0)[0]) > 0 > sum(run_episode(shop, 0.2)[0])


def test_with_store_choice_low_prices_earn_more_from_week_to_week():
    spec = Spec(skus=12, categories=3, shoppers=2000, store_choice=4.0)
    choosing, fixed = (
        Shop(Market.draw(spec), weeks=20) for spec in (spec, replace(spec, store_choice=0.0))
    )
    gained = np.divide(run_episode(choosing, 0.8)[0], run_episode(fixed, 0.8)[0])
    assert gained[0] == pytest.approx(1) and gained[-5:].mean() > 1.5
