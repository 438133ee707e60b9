"""The judge tells skus apart, and knows how uncertain it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.evaluation.judge import estimate
from tests.response_market import simulate
from tests.test_reliability import UNIT_SD, in_halves

START = pd.Timestamp("2026-06-01").date()


@pytest.fixture(scope="module")
def market():
    return simulate()


def judged(panel):
    series = panel.drop_duplicates("sku").sort_values("sku")
    return estimate(panel.assign(period=pd.to_datetime(panel["period"])), series, 8, START)


@pytest.fixture(scope="module")
def estimates(market):
    return judged(market.panel)


def test_skus_of_one_department_have_their_own_elasticities(estimates, market):
    assert np.corrcoef(estimates.elasticity, market.truth)[0, 1] > 0.9
    distance = (estimates.elasticity - market.truth).abs() / estimates.stderr
    assert (distance < 1.96).mean() >= 0.85


def test_a_sku_without_price_changes_gets_its_categorys_elasticity(market):
    flat = market.panel["price"].where(market.panel["sku"] != "sku001", 500.0)
    found = judged(market.panel.assign(price=flat))
    category = found.elasticity[3::2].mean()
    assert found.elasticity[1] == pytest.approx(category, abs=0.2)
    assert found.stderr[1] > found.stderr[3::2].max()


def test_drawn_errors_are_partly_shared_by_a_department(estimates):
    shared = np.full(len(estimates.shared), 0.1)
    wide = replace(estimates, stderr=np.full(len(shared), 0.2), shared=shared)
    random = np.random.default_rng(1)
    errors = np.array([wide.draw(random) for _ in range(4000)]) - wide.elasticity
    correlation = np.corrcoef(errors.T)[np.triu_indices(errors.shape[1], 1)]
    assert errors.std() == pytest.approx(0.2, rel=0.05)
    assert correlation.mean() == pytest.approx(0.25, abs=0.05)


def test_the_shared_error_is_never_more_than_the_whole(estimates):
    assert (estimates.shared <= estimates.stderr).all() and (estimates.shared > 0).all()


def test_errors_in_prices_do_not_attenuate_the_judge(market):
    panel = in_halves(market.panel, UNIT_SD)
    halves = [name for name in panel if name.endswith(("_a", "_b"))]
    truth = market.truth.mean()
    assert judged(panel).elasticity.mean() == pytest.approx(truth, rel=0.1)
    assert judged(panel.drop(columns=halves)).elasticity.mean() > 0.85 * truth
