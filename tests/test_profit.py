"""The profit backtest: its imports, its prices and its robustness to absurd series and rows."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.inputs.simulated import simulate_shop
from models.evaluation.holdout import hold_out
from models.evaluation.profit import market
from models.evaluation.robust import MAX_SHARE, MIN_EQUAL_SHARES, largest_contribution
from pricebook.config import REPO_ROOT, Quote

SKUS, WEEKS, HORIZON = 96, 60, 4
MONEY = ["price", "list_price", "reference_price"]


def test_models_are_judged_without_importing_tensorflow():
    script = (
        "import models.evaluation.holdout, models.evaluation.plots, models.evaluation.profit\n"
        "import models.registry, sys\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules), 'imported'\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=REPO_ROOT, check=True)


@pytest.fixture(scope="module")
def rows():
    """A simulated shop with the columns of the feature views that the judge reads."""
    panel = simulate_shop(5, skus=SKUS, categories=12, weeks=WEEKS, shoppers=600).panel
    usual = panel.groupby("sku")["price"].transform("median")
    numbers = dict.fromkeys(["units", *MONEY], float)
    return panel.drop(columns="demand").assign(reference_price=usual).astype(numbers)


def build(rows, objective="calibrated"):
    book = rows.drop_duplicates("sku")[["sku", "zone", "unit_cost"]]
    book = book.assign(cost_assumed=False, map_price=np.nan)
    return market(hold_out(rows.drop(columns="unit_cost"), HORIZON), book, 4, objective)


def own_prices(judge, elasticity=-2.0):
    """The prices of a response model with one elasticity for all series."""
    keys = pd.DataFrame({"sku": judge.listings.sku, "zone": judge.listings.zone})
    own = keys.assign(segment="everyone", elasticity=elasticity)
    return judge.own_prices(own, own.assign(kind="category", elasticity=0.3), Quote())


@pytest.fixture(scope="module")
def judge(rows):
    return build(rows)


ABSURD_ROWS = {
    "every week": range(WEEKS),
    "a week of the history": [20],
    "a held-out week": [WEEKS - 2],
    "every held-out week": range(WEEKS - HORIZON, WEEKS),
}
ABSURD_VALUES = {
    "price x 1e6": (["price"], 1e6),
    "all prices x 1e6": (MONEY, 1e6),
    "all prices / 1e7": (MONEY, 1e-7),  # about 0.0001 minor units
    "quantity x 1e5": (["units"], 1e5),
    "quantity x 30": (["units"], 30),
}


@pytest.mark.parametrize("columns_and_factor", ABSURD_VALUES.values(), ids=ABSURD_VALUES)
@pytest.mark.parametrize("weeks", ABSURD_ROWS.values(), ids=ABSURD_ROWS)
def test_an_absurd_series_changes_the_gain_by_at_most_the_stated_share(
    rows, judge, columns_and_factor, weeks
):
    columns, factor = columns_and_factor
    absurd = rows.copy()
    chosen = (rows["sku"] == "A1003") & rows.groupby("sku").cumcount().isin(weeks)
    absurd.loc[chosen, columns] *= factor
    profit = np.abs(judge.limited(judge.status_quo())).sum()
    before = judge.gain(own_prices(judge), None, seed=7)
    changed = build(absurd)
    after = changed.gain(own_prices(changed), None, seed=7)
    assert abs(after.mean - before.mean) <= MAX_SHARE * profit
    assert np.isfinite([after.low, after.high]).all()


def test_an_absurd_cost_changes_the_gain_by_at_most_the_stated_share(rows, judge):
    changed = build(rows.assign(unit_cost=rows["unit_cost"].where(rows["sku"] != "A1003", 1e9)))
    gap = (
        changed.gain(own_prices(changed), None, seed=7).mean
        - judge.gain(own_prices(judge), None, seed=7).mean
    )
    assert abs(gap) <= MAX_SHARE * np.abs(judge.limited(judge.status_quo())).sum()


def test_a_change_of_few_prices_is_still_judged(judge):
    """Most gains are 0 then. They must not lower the limit for the others to 0."""
    charged = judge.listings.list_price.astype(float)
    changed = charged.copy()
    changed[:3] *= 0.97
    gain = judge.gain(changed, charged, seed=7)
    assert gain.mean == pytest.approx((judge.profit(changed) - judge.profit(charged)).sum())
    assert gain.mean != 0


def test_where_the_shop_charged_less_its_own_price_stays(judge):
    above_all = judge.listings.list_price * 10.0
    assert judge.profit(above_all) == pytest.approx(judge.status_quo())


def test_a_price_below_all_charged_ones_sells_no_more_than_the_lowest(judge):
    lowest = judge.charged
    assert (judge.profit(0.5 * lowest) <= judge.profit(lowest) + 1e-9).all()


def test_lower_prices_sell_more_and_earn_less_in_the_short_run_than_in_the_long_run(judge):
    judged = judge.assess(judge.listings.list_price * 0.97, None, seed=7)
    assert judged.units > 0
    assert judged.short_run.mean < judged.long_run.mean
    assert judged.long_run.low < judged.long_run.mean < judged.long_run.high


def test_the_long_run_interval_allows_for_a_weaker_and_a_stronger_long_run(judge, monkeypatch):
    prices = judge.listings.list_price * 0.97
    gain = judge.gain(prices, None, seed=7)
    monkeypatch.setattr("models.evaluation.profit.LONG_RUN_SD", 0.0)
    certain = judge.gain(prices, None, seed=7)
    assert gain.high - gain.low > 1.2 * (certain.high - certain.low)


def test_the_objective_profit_is_judged_in_the_short_run(rows):
    judge = build(rows, "profit")
    judged = judge.assess(judge.listings.list_price * 0.97, None, seed=7)
    assert judged.long_run == judged.short_run


def test_a_shop_without_costs_has_nothing_to_judge(rows):
    gain = build(rows.assign(unit_cost=np.nan)).gain(np.empty(0), None, seed=7)
    assert (gain.mean, gain.low, gain.high) == (0, 0, 0)


def test_a_shop_whose_prices_never_moved_can_be_judged(rows):
    fixed = rows.groupby("sku")["price"].transform("median")
    steady = build(rows.assign(price=fixed, list_price=fixed))
    gain = steady.gain(own_prices(steady), None, seed=7)
    assert np.isfinite([gain.mean, gain.low, gain.high]).all()


@given(st.lists(st.floats(1, 1e9), min_size=1, max_size=200), st.floats(1, 1e15))
def test_one_series_of_any_size_contributes_at_most_half_the_stated_share(profits, absurd):
    profit = np.array([*profits, absurd])
    limit = largest_contribution(profit)
    share = max(MAX_SHARE, MIN_EQUAL_SHARES / len(profit)) / 2
    assert limit <= share * np.minimum(profit, limit).sum() * (1 + 1e-9)
    assert limit > 0


def test_without_any_profit_the_limit_is_zero():
    assert largest_contribution(np.zeros(3)) == 0
