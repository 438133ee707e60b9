"""Elasticities are corrected for errors in prices that two halves of the sales reveal."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from models.evaluation.holdout import response_metrics
from models.prices.reliability import evidence
from models.response.controls import usable_rows, with_series_codes
from models.response.residuals import residualise
from models.response.shrinkage import build_tree
from models.response.tables import Summary
from tests.response_market import NO_SEGMENTS, SKUS, quick_fit, simulate

UNIT_SD = 0.4  # of the log price that one unit was sold at, around the shop's price


@pytest.fixture(scope="module")
def market():
    return simulate()


def in_halves(panel: pd.DataFrame, sd: float) -> pd.DataFrame:
    """The panel as seen through what was paid for each unit, in two halves of the sales."""
    random = np.random.default_rng(5)
    units = random.binomial(panel["units"], 0.4)
    halves = {"a": units, "b": panel["units"].to_numpy() - units}
    paid = {
        half: panel["price"] * np.exp(random.normal(0, sd, len(panel)) / np.sqrt(np.maximum(n, 1)))
        for half, n in halves.items()
    }
    revenue = sum(paid[half] * halves[half] for half in halves)
    columns = {f"units_{half}": halves[half] for half in halves}
    columns |= {f"price_{half}": paid[half].where(halves[half] > 0) for half in halves}
    return panel.assign(price=revenue / panel["units"].clip(lower=1), **columns).query("units > 0")


@pytest.fixture(scope="module")
def observed(market):
    return in_halves(market.panel, UNIT_SD)


@pytest.fixture(scope="module")
def summary(observed):
    return quick_fit(observed).summary


def evidence_of(panel):
    coded = with_series_codes(panel)
    tree = build_tree(coded.drop_duplicates("series"))
    return evidence(residualise(usable_rows(coded), 8), tree, 8)


def test_the_corrected_elasticity_is_near_the_truth_where_least_squares_is_not(summary, market):
    truth = market.truth.mean()
    assert summary.pooled == pytest.approx(truth, rel=0.1)
    assert summary.pooled_uncorrected > 0.8 * truth


def test_the_reliability_is_the_true_share_of_the_price_variation(observed, market):
    both = observed[["sku", "period"]].merge(market.panel, on=["sku", "period"])
    coded = with_series_codes(observed.assign(true=both["price"].to_numpy()))
    rows = usable_rows(coded)
    found = residualise(rows, 8, other_prices=np.log(rows[["true"]].to_numpy(float)))
    true, price = found.other_prices[:, 0], found.price
    share = (found.weight * true * price).sum() / (found.weight * price**2).sum()
    assert evidence_of(observed).reliability.shop[0] == pytest.approx(share, abs=0.04)


def test_the_correction_adds_to_the_standard_errors(observed):
    found = evidence_of(observed)
    assert (found.slopes.precision < found.uncorrected.precision).all()
    assert found.shop_error(-1.7) > 0


@pytest.mark.parametrize("half", ["units_a", "price_b"])
def test_without_a_column_of_the_halves_nothing_is_corrected(observed, half):
    found = evidence_of(observed.drop(columns=half))
    assert found.reliability is None
    assert (found.ratio == 1).all() and found.slopes is found.uncorrected


def test_halves_with_the_same_prices_change_nothing(market):
    exact = in_halves(market.panel, 0.0)
    assert evidence_of(exact).reliability is None


def test_halves_that_never_sell_in_the_same_period_change_nothing(observed):
    even = np.arange(len(observed)) % 2 == 0
    apart = observed.assign(
        price_a=observed["price_a"].where(even), price_b=observed["price_b"].where(~even)
    )
    assert evidence_of(apart).reliability is None


def test_price_differences_that_shoppers_respond_to_are_no_errors(market):
    """The halves charge different prices, and sell accordingly: least squares is right."""
    random, panel = np.random.default_rng(6), market.panel
    slope = panel["sku"].map(market.truth)
    gap = {half: random.normal(0, 0.1, len(panel)) for half in "ab"}
    units = {half: random.poisson(panel["units"] / 2 * np.exp(slope * gap[half])) for half in "ab"}
    paid = {half: panel["price"] * np.exp(gap[half]) for half in "ab"}
    total = units["a"] + units["b"]
    revenue = sum(paid[half] * units[half] for half in "ab")
    columns = {f"units_{half}": units[half] for half in "ab"}
    columns |= {f"price_{half}": paid[half].where(units[half] > 0) for half in "ab"}
    seen = panel.assign(units=total, price=revenue / np.maximum(total, 1), **columns)
    found = evidence_of(seen[total > 0])
    assert found.reliability.local[0] == pytest.approx(market.truth.mean(), abs=0.3)
    pooled = np.average(found.slopes.slope, weights=found.slopes.precision)
    plain = np.average(found.uncorrected.slope, weights=found.uncorrected.precision)
    assert pooled == pytest.approx(plain, abs=0.1)


def test_expected_residuals_have_the_corrected_slope(observed):
    coded = with_series_codes(observed)
    tree = build_tree(coded.drop_duplicates("series"))
    found = residualise(usable_rows(coded), 8)
    expected = evidence(found, tree, 8).expected(found)
    xy = np.bincount(found.series, found.weight * expected.price * expected.units)
    xx = np.bincount(found.series, found.weight * expected.price**2)
    assert np.allclose(xy / xx, evidence(found, tree, 8).slopes.slope)


def test_the_metrics_report_the_reliability_and_the_uncorrected_elasticity(observed, market):
    model = quick_fit(observed)
    figures = response_metrics(model.elasticities(), model.summary)
    assert figures["price_reliability"] == model.summary.reliability < 1
    assert figures["elasticity_uncorrected"] == model.summary.pooled_uncorrected
    plain = quick_fit(market.panel)
    assert "price_reliability" not in response_metrics(plain.elasticities(), plain.summary)


def test_a_summary_of_an_earlier_version_counts_as_uncorrected(summary):
    saved = vars(replace(summary, reliability=1.0))
    earlier = {k: v for k, v in saved.items() if k not in ("reliability", "pooled_uncorrected")}
    loaded = Summary.from_json(earlier)
    assert not loaded.corrected and loaded.pooled_uncorrected == summary.pooled


def test_the_pooled_interval_is_wider_for_a_shop_of_few_departments(market):
    number = market.panel["sku"].str[3:].astype(int)
    few = market.panel.assign(department=np.where(number % 2 == 0, "a", "b"), category="")
    many = market.panel.assign(department=(number // 5).astype(str), category="")
    errors = [quick_fit(panel, NO_SEGMENTS).summary.pooled_stderr for panel in (few, many)]
    assert errors[0] > 1.5 * errors[1]
    assert errors[0] > 0.3  # the departments' elasticities are -1 and -2.5


def test_more_rows_alone_do_not_narrow_the_pooled_interval_of_few_departments(market):
    number = market.panel["sku"].str[3:].astype(int)
    panel = market.panel.assign(department=np.where(number % 2 == 0, "a", "b"), category="")
    half = panel[number < SKUS // 2]
    errors = [quick_fit(rows, NO_SEGMENTS).summary.pooled_stderr for rows in (half, panel)]
    assert errors[1] > 0.8 * errors[0]
