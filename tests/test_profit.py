"""The profit backtest: its imports, its prices and its robustness to absurd rows."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.inputs.simulated import simulate_shop
from models.evaluation.holdout import hold_out
from models.evaluation.profit import MAX_SHARE, limit_shares, market
from pricebook.config import REPO_ROOT


def test_models_are_judged_without_importing_tensorflow():
    script = (
        "import models.evaluation.holdout, models.evaluation.plots, models.evaluation.profit\n"
        "import models.registry, sys\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules), 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=REPO_ROOT, check=True)


def panel(weeks=60):
    """A simulated shop with the columns of the feature views that the judge reads."""
    rows = simulate_shop(5, skus=48, categories=6, weeks=weeks, shoppers=600).panel
    usual = rows.groupby("sku")["price"].transform("median")
    return rows.drop(columns="demand").assign(reference_price=usual)


def judge(rows):
    book = rows.drop_duplicates("sku")[["sku", "zone", "unit_cost"]]
    book = book.assign(cost_assumed=False, map_price=np.nan)
    return market(hold_out(rows.drop(columns="unit_cost"), 4), book, folds=4)


def gain_of_a_tenth_less(rows):
    """What the judge expects of prices a tenth below the list prices."""
    market_ = judge(rows)
    return market_.gain(0.9 * market_.listings.list_price, None, seed=7)


@pytest.fixture(scope="module")
def rows():
    return panel()


@pytest.fixture(scope="module")
def usual(rows):
    market_ = judge(rows)
    return np.abs(market_.profit(0.9 * market_.listings.list_price) - market_.status_quo()).sum()


@pytest.mark.parametrize(
    ("column", "factor"), [("price", 1e6), ("price", 1e-4), ("units", 1e5), ("units", 1e9)]
)
@pytest.mark.parametrize("week", [20, 58])
def test_one_absurd_row_moves_the_gain_by_at_most_one_series_share(
    rows, usual, column, factor, week
):
    absurd = rows.astype({"units": float, "price": float})
    absurd.loc[(rows["sku"] == "A1003") & (rows.groupby("sku").cumcount() == week), column] *= (
        factor
    )
    gap = gain_of_a_tenth_less(absurd).mean - gain_of_a_tenth_less(rows).mean
    assert abs(gap) <= 2 * MAX_SHARE * usual


def test_a_whole_series_of_absurd_quantities_counts_for_one_share(rows, usual):
    absurd = rows.assign(units=rows["units"].where(rows["sku"] != "A1003", 100_000))
    gain = gain_of_a_tenth_less(absurd)
    assert np.isfinite([gain.mean, gain.low, gain.high]).all()
    assert abs(gain.mean) <= 3 * usual


def test_a_price_above_all_charged_ones_earns_no_more_than_the_highest(rows):
    market_ = judge(rows)
    highest = market_.charged[:, 1]
    assert market_.profit(10 * highest) == pytest.approx(market_.profit(highest))


def test_a_price_below_all_charged_ones_sells_no_more_than_the_lowest(rows):
    market_ = judge(rows)
    lowest = market_.charged[:, 0]
    sold = market_.rows["series"].isin(np.flatnonzero(lowest > 0))
    assert sold.any()
    assert (market_.profit(0.5 * lowest) <= market_.profit(lowest) + 1e-9).all()


def test_a_shop_without_costs_has_nothing_to_judge(rows):
    gain = judge(rows.assign(unit_cost=np.nan)).gain(np.empty(0), None, seed=7)
    assert (gain.mean, gain.low, gain.high) == (0, 0, 0)


@given(st.lists(st.floats(-1e9, 1e9), min_size=1, max_size=200))
def test_no_series_has_more_than_its_share_of_the_gains(gains):
    limited = np.abs(limit_shares(np.array(gains)))
    share = max(MAX_SHARE, 2 / max(np.count_nonzero(gains), 1))
    assert limited.max() <= share * limited.sum() + 1e-6 * (1 + limited.max()) or share >= 1


def test_gains_of_equal_size_are_not_limited():
    gains = np.array([1.0, -1.0] * 30)
    assert limit_shares(gains).tolist() == gains.tolist()


@pytest.mark.parametrize("changed", [1, 2, 5, 19])
def test_a_gain_of_few_series_is_not_limited_to_nothing(changed):
    gains = np.zeros(3000)
    gains[:changed] = -1.0
    assert limit_shares(gains).sum() == -changed
