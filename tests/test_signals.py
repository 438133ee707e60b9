"""Live signals: order and repetition change nothing, and everything expires."""

from datetime import UTC, datetime, timedelta
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricebook.signals import AHEAD, FIGURES, Event, EventWindows, Outcome

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
NOW = NOON.timestamp()
DAY = 86_400
PLACES = [(sku, zone) for sku in ("milk", "cola") for zone in ("all", "north")]
SHOPPERS = ["ann", "bob"]
ids = count()


def event(kind="view", ago=0.0, **fields):
    fields = {"event_id": f"e{next(ids)}", "sku": "milk"} | fields
    return Event(occurred_at=NOON - timedelta(seconds=ago), kind=kind, **fields)


def taken(*events, now=NOW, **bounds):
    windows = EventWindows(**bounds)
    for one in events:
        windows.take(one, now)
    return windows


def known(windows, now=NOW):
    """All that can be asked of the windows."""
    skus = {place: windows.sku(*place, now) for place in PLACES}
    return skus, {who: windows.shopper(who, now) for who in SHOPPERS}, dict(windows.latest)


events = st.builds(
    event,
    kind=st.sampled_from(["view", "cart", "search", "order", "stock", "competitor_price"]),
    ago=st.sampled_from([0, 60, 3_500, 3_700, 40_000, 86_000, 90_000]) | st.integers(-100, DAY),
    event_id=st.uuids().map(str),
    sku=st.sampled_from([None, "milk", "cola"]),
    zone=st.sampled_from([None, "north"]),
    customer_id=st.sampled_from([None, *SHOPPERS]),
    on_hand=st.integers(0, 2),
    competitor=st.sampled_from(["x", "y"]),
    price=st.integers(1, 3),
    public=st.booleans(),
)
lists = st.lists(events, max_size=25, unique_by=lambda one: one.event_id)


@given(st.data(), lists)
def test_the_order_of_arrival_does_not_matter(data, some):
    shuffled = data.draw(st.permutations(some))
    assert known(taken(*some)) == known(taken(*shuffled))


@given(st.data(), lists)
def test_what_arrives_again_changes_nothing(data, some):
    windows = taken(*some)
    before, versions = known(windows), [windows.version(*place) for place in PLACES]
    again = [windows.take(one, NOW) for one in data.draw(st.permutations(some))]
    assert Outcome.ACCEPTED not in again
    assert (known(windows), [windows.version(*place) for place in PLACES]) == (before, versions)


@given(lists)
def test_after_the_window_nothing_is_left(some):
    windows = taken(*some)
    later = NOW + AHEAD + DAY
    windows.expire(later, windows.aged(later))
    skus, shoppers, _ = known(windows, later)
    assert not any([*skus.values(), *shoppers.values()])
    assert not any(windows.version(*place) for place in PLACES)
    assert (len(windows._skus), len(windows._shoppers), len(windows._told)) == (0, 0, 0)


@given(lists)
def test_an_hour_never_holds_more_than_its_day(some):
    skus, shoppers, _ = known(taken(*some))
    for found in [*skus.values(), *shoppers.values()]:
        hours = {name: n for name, n in found.items() if name.endswith("_hour")}
        assert all(0 < n <= found[name.replace("hour", "day")] for name, n in hours.items())


def test_events_count_for_their_sku_in_a_zone_and_for_their_shopper():
    windows = taken(event(customer_id="ann", zone="north"), event("cart", customer_id="ann"))
    assert windows.sku("milk", "north", NOW) == {"views_hour": 1, "views_day": 1}
    assert windows.sku("milk", "all", NOW) == {"carts_hour": 1, "carts_day": 1}
    both = {"views_hour": 1, "views_day": 1, "carts_hour": 1, "carts_day": 1}
    assert windows.shopper("ann", NOW) == both
    assert both.keys() <= FIGURES.keys()


def test_a_late_event_counts_where_it_belongs():
    windows = taken(event(), event(ago=7_200))
    assert windows.sku("milk", "all", NOW) == {"views_hour": 1, "views_day": 2}


def test_counts_leave_the_hour_and_then_the_day():
    windows = taken(event("order"))
    assert windows.sku("milk", "all", NOW + 3_600) == {"orders_day": 1}
    assert windows.sku("milk", "all", NOW + DAY) == {}


@pytest.mark.parametrize(
    ("ago", "outcome"),
    [(0, "accepted"), (-AHEAD, "accepted"), (-AHEAD - 1, "early"), (DAY, "late")],
)
def test_an_event_of_another_time_is_refused_with_the_reason(ago, outcome):
    assert EventWindows().take(event(ago=ago), NOW) == outcome


def test_judging_changes_nothing():
    windows = EventWindows()
    assert windows.judge(event(), NOW) == windows.judge(event(), NOW) == Outcome.ACCEPTED
    assert windows.sku("milk", "all", NOW) == {}


def test_stock_is_what_was_told_last_and_of_equals_the_lower():
    told = [event("stock", ago, on_hand=n) for ago, n in ((5, 9), (1, 4), (1, 3), (9, 1))]
    assert taken(*told).on_hand("milk", "all") == 3


def test_the_competitor_price_is_the_lowest_of_the_latest_public_ones():
    told = [("x", 9, 80), ("x", 1, 120), ("y", 5, 110)]
    prices = [event("competitor_price", ago, competitor=who, price=p) for who, ago, p in told]
    hidden = event("competitor_price", competitor="y", price=1, public=False)
    assert taken(*prices, hidden).competitor_price("milk", "all") == 110


def test_what_is_told_of_everywhere_holds_in_a_zone_until_the_zone_is_told_of():
    windows = taken(event("stock", 60, on_hand=5))
    assert (windows.on_hand("milk", "north"), windows.on_hand("cola", "north")) == (5, None)
    windows.take(event("stock", 30, on_hand=2, zone="north"), NOW)
    assert (windows.on_hand("milk", "north"), windows.on_hand("milk", "all")) == (2, 5)


def test_the_version_changes_with_a_last_value_and_with_nothing_else():
    windows = taken(event())
    seen = [windows.version("milk", "north")]
    for one in (
        event("stock", 60, on_hand=5),
        event("stock", 50, on_hand=5),
        event("view"),
        event("stock", 55, on_hand=7),
        event("stock", 40, on_hand=6, zone="north"),
        event("stock", 30, on_hand=6),
    ):
        windows.take(one, NOW)
        seen.append(windows.version("milk", "north"))
    assert seen[0] == 0
    assert [before != after for before, after in pairwise(seen)] == [
        *(True, False, False, False, True, True)
    ]


def test_one_value_that_expires_changes_the_version_and_leaves_the_other():
    old = event("competitor_price", DAY - 3_600, competitor="x", price=90)
    windows = taken(old, event("competitor_price", competitor="y", price=95))
    before = windows.version("milk", "all")
    windows.expire(NOW + 7_200, windows.aged(NOW + 7_200))
    assert windows.competitor_price("milk", "all") == 95
    assert windows.version("milk", "all") not in (0, before)


def test_who_is_longest_without_an_event_is_forgotten_first():
    names = ("ann", "bob", "ann", "cid")
    windows = taken(*(event(customer_id=who, sku=who) for who in names), most=2)
    assert [bool(windows.shopper(who, NOW)) for who in ("ann", "bob", "cid")] == [True, False, True]
    assert [bool(windows.sku(who, "all", NOW)) for who in ("ann", "bob")] == [True, False]


def test_what_is_as_old_as_a_forgotten_id_is_late_so_that_nothing_counts_twice():
    first, *rest = [event(ago=ago) for ago in (600, 300, 200, 100)]
    windows = taken(first, *rest, most_ids=3)
    assert windows.take(first, NOW) is Outcome.LATE
    assert windows.take(event(ago=601), NOW) is Outcome.LATE
    assert windows.take(event(ago=400), NOW) is Outcome.ACCEPTED


def test_ids_are_forgotten_with_their_window():
    windows = taken(event())
    windows.take(event(ago=-DAY - 7_200), NOW + DAY + 7_200)
    assert len(windows._seen) == len(windows._arrived) == 1


def test_a_sku_has_no_more_rivals_than_are_held():
    prices = [
        event("competitor_price", n, competitor=f"r{n}", price=500 - n)
        for n in range(EventWindows.RIVALS + 1)
    ]
    windows = taken(*prices, event("stock", 999, on_hand=1))
    assert windows.competitor_price("milk", "all") == 500 - EventWindows.RIVALS + 1
    assert windows.on_hand("milk", "all") == 1
