"""Live features: the order of events and repeated events do not matter, and everything expires."""

from datetime import UTC, datetime, timedelta
from itertools import count, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pricebook.events import Event
from pricebook.latest_values import MAX_COMPETITORS
from pricebook.signals import COUNT_FEATURES, MAX_AHEAD, EventWindows, Outcome

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
NOW = NOON.timestamp()
DAY = 86_400
PLACES = [(sku, zone) for sku in ("milk", "cola") for zone in ("all", "north")]
SHOPPERS = ["ann", "bob"]
ids = count()


def event(kind="view", ago=0.0, **fields):
    """An event that occurred so many seconds before noon."""
    fields = {"event_id": f"e{next(ids)}", "sku": "milk"} | fields
    return Event(occurred_at=NOON - timedelta(seconds=ago), kind=kind, **fields)


def windows_with(*events, **bounds):
    windows = EventWindows(**bounds)
    for event in events:
        windows.add(event, NOW)
    return windows


def all_features(windows, now=NOW):
    skus = {place: windows.sku_features(*place, now) for place in PLACES}
    shoppers = {shopper: windows.shopper_features(shopper, now) for shopper in SHOPPERS}
    return skus, shoppers, dict(windows.latest)


def versions(windows):
    return [windows.values.version(*place) for place in PLACES]


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
batches = st.lists(events, max_size=25, unique_by=lambda event: event.event_id)


@given(st.data(), batches)
def test_the_order_of_arrival_does_not_matter(data, batch):
    shuffled = data.draw(st.permutations(batch))
    assert all_features(windows_with(*batch)) == all_features(windows_with(*shuffled))


@given(st.data(), batches)
def test_repeated_events_change_nothing(data, batch):
    windows = windows_with(*batch)
    before = all_features(windows), versions(windows)
    outcomes = [windows.add(event, NOW) for event in data.draw(st.permutations(batch))]
    assert Outcome.ACCEPTED not in outcomes
    assert (all_features(windows), versions(windows)) == before


@given(batches)
def test_nothing_is_kept_for_longer_than_the_longest_window(batch):
    windows = windows_with(*batch)
    later = NOW + MAX_AHEAD + DAY
    windows.expire(later, windows.expired_places(later))
    skus, shoppers, _ = all_features(windows, later)
    assert not any([*skus.values(), *shoppers.values(), *versions(windows)])
    assert (len(windows._skus), len(windows._shoppers), len(windows.values)) == (0, 0, 0)


@given(batches)
def test_an_hour_never_counts_more_than_its_day(batch):
    skus, shoppers, _ = all_features(windows_with(*batch))
    for features in [*skus.values(), *shoppers.values()]:
        hours = {name: n for name, n in features.items() if name.endswith("_hour")}
        assert all(0 < n <= features[name.replace("hour", "day")] for name, n in hours.items())


def test_events_count_for_their_sku_in_a_zone_and_for_their_shopper():
    view, cart = event(customer_id="ann", zone="north"), event("cart", customer_id="ann")
    windows = windows_with(view, cart)
    assert windows.sku_features("milk", "north", NOW) == {"views_hour": 1, "views_day": 1}
    assert windows.sku_features("milk", "all", NOW) == {"carts_hour": 1, "carts_day": 1}
    both = {"views_hour": 1, "views_day": 1, "carts_hour": 1, "carts_day": 1}
    assert windows.shopper_features("ann", NOW) == both
    assert both.keys() <= COUNT_FEATURES.keys()


def test_an_event_that_arrives_late_counts_at_the_time_it_occurred():
    windows = windows_with(event(), event(ago=7_200))
    assert windows.sku_features("milk", "all", NOW) == {"views_hour": 1, "views_day": 2}


def test_an_event_leaves_the_hour_and_then_the_day():
    windows = windows_with(event("order"))
    assert windows.sku_features("milk", "all", NOW + 3_600) == {"orders_day": 1}
    assert windows.sku_features("milk", "all", NOW + DAY) == {}


@pytest.mark.parametrize(
    ("ago", "outcome"),
    [(0, "accepted"), (-MAX_AHEAD, "accepted"), (-MAX_AHEAD - 1, "early"), (DAY, "late")],
)
def test_an_event_that_is_too_old_or_in_the_future_is_not_accepted(ago, outcome):
    assert EventWindows().add(event(ago=ago), NOW) == outcome


def test_classifying_an_event_changes_nothing():
    windows, view = EventWindows(), event()
    assert windows.classify(view, NOW) == windows.classify(view, NOW) == Outcome.ACCEPTED
    assert windows.sku_features("milk", "all", NOW) == {}


def test_stock_is_the_newest_value_and_the_lower_of_two_at_the_same_time():
    observed = ((5, 9), (1, 4), (1, 3), (9, 1))
    stocks = [event("stock", ago, on_hand=units) for ago, units in observed]
    assert windows_with(*stocks).values.on_hand("milk", "all") == 3


def test_the_competitor_price_is_the_lowest_of_the_latest_public_prices():
    observed = [("x", 9, 80), ("x", 1, 120), ("y", 5, 110)]
    prices = [
        event("competitor_price", ago, competitor=name, price=price)
        for name, ago, price in observed
    ]
    private = event("competitor_price", competitor="y", price=1, public=False)
    assert windows_with(*prices, private).values.competitor_price("milk", "all") == 110


def test_an_event_without_a_zone_applies_to_every_zone_without_a_newer_event():
    windows = windows_with(event("stock", 60, on_hand=5))
    values = windows.values
    assert (values.on_hand("milk", "north"), values.on_hand("cola", "north")) == (5, None)
    windows.add(event("stock", 30, on_hand=2, zone="north"), NOW)
    assert (values.on_hand("milk", "north"), values.on_hand("milk", "all")) == (2, 5)
    windows.add(event("stock", 10, on_hand=7), NOW)
    assert values.on_hand("milk", "north") == 7


def test_the_version_changes_only_when_a_latest_value_changes():
    windows = windows_with(event())
    observed = [windows.values.version("milk", "north")]
    for new in (
        event("stock", 60, on_hand=5),  # the first value
        event("stock", 50, on_hand=5),  # the same value
        event("view"),
        event("stock", 55, on_hand=7),  # older than the latest
        event("stock", 40, on_hand=6, zone="north"),
        event("stock", 30, on_hand=6),
    ):
        windows.add(new, NOW)
        observed.append(windows.values.version("milk", "north"))
    assert observed[0] == 0
    assert [before != after for before, after in pairwise(observed)] == [
        *(True, False, False, False, True, True)
    ]


def test_a_value_that_expires_changes_the_version_and_keeps_the_other_values():
    old = event("competitor_price", DAY - 3_600, competitor="x", price=90)
    windows = windows_with(old, event("competitor_price", competitor="y", price=95))
    before = windows.values.version("milk", "all")
    windows.expire(NOW + 7_200, windows.expired_places(NOW + 7_200))
    assert windows.values.competitor_price("milk", "all") == 95
    assert windows.values.version("milk", "all") not in (0, before)


def test_the_shopper_or_sku_without_an_event_for_the_longest_time_is_dropped_first():
    names = ("ann", "bob", "ann", "cid")
    windows = windows_with(*(event(customer_id=name, sku=name) for name in names), max_keys=2)
    kept = {name: bool(windows.shopper_features(name, NOW)) for name in names}
    assert kept == {"ann": True, "bob": False, "cid": True}
    kept = {name: bool(windows.sku_features(name, "all", NOW)) for name in names}
    assert kept == {"ann": True, "bob": False, "cid": True}


def test_events_as_old_as_a_forgotten_id_are_late_so_that_none_counts_twice():
    first, *rest = [event(ago=ago) for ago in (600, 300, 200, 100)]
    windows = windows_with(first, *rest, max_ids=3)
    assert windows.add(first, NOW) is Outcome.LATE
    assert windows.add(event(ago=601), NOW) is Outcome.LATE
    assert windows.add(event(ago=400), NOW) is Outcome.ACCEPTED


def test_ids_are_forgotten_after_the_longest_window():
    windows = windows_with(event())
    windows.add(event(ago=-DAY - 7_200), NOW + DAY + 7_200)
    assert len(windows._minutes) == len(windows._arrivals) == 1


def test_the_number_of_competitors_of_a_sku_is_bounded():
    prices = [
        event("competitor_price", n, competitor=f"r{n}", price=500 - n)
        for n in range(MAX_COMPETITORS + 1)
    ]
    windows = windows_with(*prices, event("stock", 999, on_hand=1))
    assert windows.values.competitor_price("milk", "all") == 500 - MAX_COMPETITORS + 1
    assert windows.values.on_hand("milk", "all") == 1
