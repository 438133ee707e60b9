"""Arms have their shares of the shoppers, and a shopper keeps the arm."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricebook.config import Experiment
from pricebook.pricing.arms import CANARY, CHAMPION, CONTROL, EXPLORE, Arm, assign, uniform

NAMES = [f"shopper {number}" for number in range(20_000)]
SPLIT = Experiment(control=0.05, canary=0.1, explore=0.2)
SHARES = {CONTROL: 0.05, CANARY: 0.1, EXPLORE: 0.2, CHAMPION: 0.65}
texts = st.text(max_size=8)


def arms(experiment):
    return [assign(name, "milk", experiment).name for name in NAMES]


def moved(before, after):
    """The arms that at least one shopper left."""
    return {name for name, other in zip(arms(before), arms(after), strict=True) if name != other}


def correlation(first, other):
    return float(np.corrcoef(first, other)[0, 1])


@pytest.mark.parametrize(("arm", "share"), SHARES.items())
def test_an_arm_gets_its_share_of_many_names(arm, share):
    error = (share * (1 - share) / len(NAMES)) ** 0.5
    assert arms(SPLIT).count(arm) / len(NAMES) == pytest.approx(share, abs=4 * error)


def test_an_arm_has_its_share():
    shares = {arm.name: arm.share for arm in (assign(name, "milk", SPLIT) for name in NAMES)}
    assert shares == pytest.approx(SHARES)


@given(texts, texts, texts)
def test_a_shopper_has_the_same_arm_for_every_sku(name, first, other):
    assert assign(name, first, SPLIT).name == assign(name, other, SPLIT).name


@given(texts, texts)
def test_the_draw_is_the_same_at_the_same_moment(name, moment):
    assert assign(name, moment, SPLIT) == assign(name, moment, SPLIT)


def test_another_salt_reassigns_shoppers():
    pairs = Counter(zip(arms(SPLIT), arms(SPLIT.model_copy(update={"salt": "2"})), strict=True))
    both = pairs[EXPLORE, EXPLORE] / len(NAMES)
    assert both == pytest.approx(SHARES[EXPLORE] ** 2, abs=0.01)


@pytest.mark.parametrize("canary", [0.0, 0.05, 0.4])
def test_a_changed_canary_share_moves_shoppers_only_to_or_from_the_champion(canary):
    assert moved(SPLIT, SPLIT.model_copy(update={"canary": canary})) <= {CANARY, CHAMPION}


def test_only_the_exploration_arm_draws():
    drew = {arm.name for arm in (assign(n, "milk", SPLIT) for n in NAMES) if arm.draw is not None}
    assert drew == {EXPLORE}


def test_draws_are_uniform_and_differ_between_moments():
    exploring = Experiment(explore=1.0)
    milk, bread = ([assign(n, m, exploring).draw for n in NAMES] for m in ("milk", "bread"))
    assert np.histogram(milk, 10, (0, 1))[0] == pytest.approx(len(NAMES) / 10, rel=0.1)
    assert abs(correlation(milk, bread)) < 0.03


def test_a_draw_is_independent_of_the_arm_assignment():
    names = [name for name in NAMES if assign(name, "milk", SPLIT).name == EXPLORE]
    place = [uniform(f"|{name}") for name in names]
    draws = [assign(name, "milk", SPLIT).draw for name in names]
    assert abs(correlation(place, draws)) < 0.06


def test_without_an_experiment_every_shopper_gets_the_champion():
    assert {assign(name, "milk", Experiment()) for name in NAMES[:100]} == {Arm(CHAMPION, 1.0)}


def test_an_arm_can_have_all_shoppers():
    assert {assign(name, "milk", Experiment(canary=1.0)).name for name in NAMES} == {CANARY}


@given(st.text())
def test_any_text_hashes_to_a_number_below_one(text):
    assert 0 <= uniform(text) == uniform(text) < 1
