"""Segments are found in what shoppers do, named by where they lie, and not moved by the future."""

from datetime import date, timedelta

import ibis
import numpy as np
import pandas as pd
import pytest

from pricebook.features.calendar import Calendar
from pricebook.features.habits import DIRECTIONS, learn_habits, names, silhouette, with_segment

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
    """A row a shopper and snapshot, scattered around their kind's habits."""
    random = np.random.default_rng(seed)
    rows = []
    for kind, (recency, orders, spend, below) in kinds.items():
        for number in range(each):
            wobble = random.lognormal(0, 0.2, (4, len(calendar(weeks).snapshots)))
            rows += [
                {
                    "customer_id": f"{kind} {number}",
                    "snapshot": day,
                    "days": min((day - MONDAY).days, 91),
                    "recency_days": int(recency * wobble[0, at]),
                    "orders_13": max(int(orders * wobble[1, at]), 1),
                    "spend_13": int(spend * wobble[2, at]),
                    "listed": 60,
                    "below": int(60 * min(below * wobble[3, at], 1)),
                }
                for at, day in enumerate(calendar(weeks).snapshots)
            ]
    return pd.DataFrame(rows)


def labelled(rows, weeks=WEEKS):
    table = ibis.memtable(rows)
    found = with_segment(table, learn_habits(table, calendar(weeks))).execute()
    return found.set_index(["customer_id", "snapshot"]).segment.sort_index()


def test_kinds_of_shoppers_are_found_again_and_named_for_what_they_do():
    found = labelled(shoppers(120))
    kinds = found.index.get_level_values("customer_id").str.replace(r" \d+", "", regex=True)
    assert (found == kinds).mean() > 0.98


@pytest.mark.parametrize(("each", "most"), [(10, 1), (60, 3), (400, 6)])
def test_a_small_shop_has_fewer_segments(each, most):
    found = labelled(shoppers(each)).unique()
    assert min(most, 3) <= len(found) <= most
    assert set(found) <= set(DIRECTIONS)


def test_a_segment_has_shoppers_enough():
    rows = shoppers(100)
    few = rows[~rows.customer_id.str.contains(r"deal seeker [4-9]\d")]
    assert len(labelled(rows).unique()) == 3
    assert len(labelled(few).unique()) == 2


def test_shoppers_too_few_to_tell_apart_are_regular():
    assert set(labelled(shoppers(3))) == {"regular"}


def test_a_shop_without_shoppers_has_no_segment_and_no_error():
    assert labelled(shoppers(1).iloc[:0].astype({"snapshot": "datetime64[us]"})).empty


def test_a_shopper_without_an_order_in_the_window_has_lapsed():
    rows = shoppers(120)
    quiet = rows.customer_id == "loyal 7"
    rows.loc[quiet, ["orders_13", "spend_13", "listed", "below"]] = 0
    found = labelled(rows)
    assert set(found["loyal 7"]) == {"lapsed"}
    assert "lapsed" not in set(found["loyal 8"])


def test_labels_do_not_move_with_what_comes_after_the_first_full_window():
    rows = shoppers(120)
    early = rows[rows.snapshot <= MONDAY + timedelta(weeks=16)]
    other = early.assign(snapshot=MONDAY + timedelta(weeks=20), spend_13=7, orders_13=40, below=60)
    before = labelled(early, weeks=16)
    assert len(before) > 1000
    pd.testing.assert_series_equal(labelled(pd.concat([early, other]))[before.index], before)


def test_an_unknown_list_price_leaves_the_other_habits_to_tell():
    rows = shoppers(120).assign(listed=0, below=0)
    assert set(labelled(rows)) <= {"loyal", "occasional", "regular"}


def test_shoppers_all_alike_are_one_segment():
    alike = shoppers(400).assign(recency_days=3, orders_13=9, spend_13=900, below=6, days=91)
    assert set(labelled(alike)) == {"regular"}


def test_the_order_of_the_rows_does_not_matter():
    rows = shoppers(120)
    pd.testing.assert_series_equal(labelled(rows), labelled(rows.sample(frac=1, random_state=2)))


def test_names_are_unique_and_follow_the_centres():
    centres = np.random.default_rng(3).normal(size=(6, 4))
    found = names(centres)
    assert len(set(found)) == 6
    assert names(centres[::-1]) == found[::-1]


def test_each_direction_has_its_own_name():
    for name, direction in DIRECTIONS.items():
        assert names(np.array([direction])) == (name,)


def test_the_silhouette_is_better_for_the_true_number_of_groups():
    random = np.random.default_rng(4)
    at = np.array([[0.0, 0, 0, 0], [4, 0, 0, 0], [0, 4, 0, 0]])
    places = np.repeat(at, 50, axis=0) + random.normal(0, 0.3, (150, 4))
    merged = np.array([[2.0, 0, 0, 0], [0, 4, 0, 0]])
    assert silhouette(places, at) > 0.8 > silhouette(places, merged)
