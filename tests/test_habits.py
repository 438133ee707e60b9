"""Segments are found by purchase habits, named by their centres, and stable over time."""

from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest

from pricebook.features.calendar import Calendar
from pricebook.features.habits import DIRECTIONS, learn_segments, names, with_segment

MONDAY = date(2024, 1, 1)
WEEKS = 24
KINDS = {  # days since the last order, orders and spend in 13 weeks, share of units below list
    "loyal": (2, 26, 130_000, 0.2),
    "occasional": (30, 4, 8_000, 0.2),
    "deal seeker": (7, 13, 40_000, 0.9),
}


def calendar(weeks=WEEKS):
    periods = tuple(MONDAY + timedelta(weeks=number) for number in range(weeks))
    return Calendar("week", "UTC", MONDAY + timedelta(weeks=weeks), MONDAY, periods)


def shoppers(each, kinds=KINDS, weeks=WEEKS, seed=1):
    """One row per shopper and snapshot, scattered around the habits of the shopper's kind."""
    random = np.random.default_rng(seed)
    rows = []
    for kind, (recency, orders, spend, below) in kinds.items():
        for number in range(each):
            noise = random.lognormal(0, 0.2, (4, len(calendar(weeks).snapshots)))
            rows += [
                {
                    "customer_id": f"{kind} {number}",
                    "snapshot": day,
                    "days": min((day - MONDAY).days, 91),
                    "recency_days": int(recency * noise[0, at]),
                    "orders_13": max(int(orders * noise[1, at]), 1),
                    "spend_13": int(spend * noise[2, at]),
                    "listed": 60,
                    "below": int(60 * min(below * noise[3, at], 1)),
                }
                for at, day in enumerate(calendar(weeks).snapshots)
            ]
    return pd.DataFrame(rows)


def labelled(rows, weeks=WEEKS):
    table = ibis.memtable(rows)
    rows = with_segment(table, learn_segments(table, calendar(weeks))).execute()
    return rows.set_index(["customer_id", "snapshot"]).segment.sort_index()


def test_kinds_of_shoppers_are_recovered_and_named():
    segments = labelled(shoppers(120))
    kinds = segments.index.get_level_values("customer_id").str.replace(r" \d+", "", regex=True)
    assert (segments == kinds).mean() > 0.98


@pytest.mark.parametrize(("each", "most"), [(10, 1), (60, 3), (400, 6)])
def test_a_small_shop_has_fewer_segments(each, most):
    segments = labelled(shoppers(each)).unique()
    assert min(most, 3) <= len(segments) <= most
    assert set(segments) <= set(DIRECTIONS)


def test_a_kind_with_few_shoppers_gets_no_segment():
    rows = shoppers(100)
    fewer = rows[~rows.customer_id.str.contains(r"deal seeker [4-9]\d")]
    assert len(labelled(rows).unique()) == 3
    assert len(labelled(fewer).unique()) == 2


def test_very_few_shoppers_are_all_regular():
    assert set(labelled(shoppers(3))) == {"regular"}


def test_a_shop_without_shoppers_is_no_error():
    assert labelled(shoppers(1).iloc[:0].astype({"snapshot": "datetime64[us]"})).empty


def test_a_shopper_without_an_order_in_the_window_has_lapsed():
    rows = shoppers(120)
    quiet = rows.customer_id == "loyal 7"
    rows.loc[quiet, ["orders_13", "spend_13", "listed", "below"]] = 0
    segments = labelled(rows)
    assert set(segments["loyal 7"]) == {"lapsed"}
    assert "lapsed" not in set(segments["loyal 8"])


def test_data_after_the_first_full_window_moves_no_label():
    rows = shoppers(120)
    early = rows[rows.snapshot <= MONDAY + timedelta(weeks=16)]
    other = early.assign(snapshot=MONDAY + timedelta(weeks=20), spend_13=7, orders_13=40, below=60)
    before = labelled(early, weeks=16)
    assert len(before) > 1000
    pd.testing.assert_series_equal(labelled(pd.concat([early, other]))[before.index], before)


def test_without_list_prices_the_other_habits_decide():
    rows = shoppers(120).assign(listed=0, below=0)
    assert set(labelled(rows)) <= {"loyal", "occasional", "regular"}


def test_equal_shoppers_are_one_segment():
    equal = shoppers(400).assign(recency_days=3, orders_13=9, spend_13=900, below=6, days=91)
    assert set(labelled(equal)) == {"regular"}


def test_the_order_of_the_rows_does_not_matter():
    rows = shoppers(120)
    pd.testing.assert_series_equal(labelled(rows), labelled(rows.sample(frac=1, random_state=2)))


def test_names_are_unique_and_follow_the_centres():
    centres = np.random.default_rng(3).normal(size=(6, 4))
    named = names(centres)
    assert len(set(named)) == 6
    assert names(centres[::-1]) == named[::-1]


def test_each_direction_has_its_own_name():
    for name, direction in DIRECTIONS.items():
        assert names(np.array([direction])) == (name,)


def test_a_silhouette_of_a_sample_of_shoppers_finds_the_three_kinds(monkeypatch):
    monkeypatch.setattr("pricebook.features.habits.SILHOUETTE_SAMPLE", 100)
    assert set(labelled(shoppers(120))) == set(KINDS)
