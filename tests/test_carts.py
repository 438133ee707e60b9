"""A cart is abandoned if nothing is ordered for a while, whatever the order of arrival."""

from datetime import UTC, datetime, timedelta
from itertools import permutations

import pytest

from pricebook.carts import Carts
from pricebook.events import Event
from pricebook.signals import EventWindows

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)


def event(kind, minutes=0, sku="milk", customer="ann"):
    at = NOON + timedelta(minutes=minutes)
    return Event(f"{kind}{minutes}{customer}", at, kind, sku, customer_id=customer)


def is_abandoned(events, minutes, carts=None):
    carts = carts or Carts()
    for each in events:
        carts.add(each)
    return carts.is_abandoned("ann", "milk", NOON.timestamp() + 60 * minutes, after=3600)


@pytest.mark.parametrize(
    ("minutes", "abandoned"), [(59, False), (60, True), (1439, True), (1440, False)]
)
def test_a_cart_is_abandoned_after_an_hour_and_forgotten_after_a_day(minutes, abandoned):
    assert is_abandoned([event("cart")], minutes) is abandoned


def test_a_sku_that_is_put_into_the_cart_again_is_not_abandoned_yet():
    assert not is_abandoned([event("cart"), event("cart", 50)], 100)


def test_an_ordered_sku_is_not_abandoned_in_any_order_of_arrival():
    for events in permutations([event("cart"), event("order", 5), event("view", 6)]):
        assert not is_abandoned(events, 120)


def test_an_earlier_order_does_not_count():
    assert is_abandoned([event("order", -30), event("cart")], 90)


def test_carts_of_other_skus_and_shoppers_and_without_a_shopper_do_not_count():
    others = [
        event("cart", sku="bread"),
        event("cart", customer="bob"),
        event("cart", customer=None),
    ]
    assert not is_abandoned(others, 90)


def test_the_carts_without_an_event_for_the_longest_time_are_dropped():
    carts = Carts(max_keys=2)
    for customer in ("ann", "bob", "cid"):
        carts.add(event("cart", customer=customer))
    late = NOON.timestamp() + 5400
    assert [carts.is_abandoned(name, "milk", late, 3600) for name in ("ann", "cid")] == [
        False,
        True,
    ]


def test_accepted_events_are_noted():
    windows = EventWindows()
    windows.add(event("cart"), NOON.timestamp())
    assert windows.carts.is_abandoned("ann", "milk", NOON.timestamp() + 3600, 3600)
