"""Carts: when each shopper last put a sku into the cart, and last ordered it."""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from pricebook.events import Event

DAY = 86_400.0  # seconds after which a cart is forgotten
NEVER = float("-inf")


class Times(NamedTuple):
    """The last times (seconds since the epoch) of a shopper with a sku."""

    cart: float = NEVER
    order: float = NEVER


class Carts:
    """The last cart and order of each shopper and sku, for `max_keys` pairs.

    The order of arrival does not matter. The pair without an event for the longest time is dropped
    first. One thread may write while others read.

    >>> from datetime import datetime
    >>> carts, at = Carts(), datetime.fromisoformat("2026-01-05T12:00:00Z")
    >>> carts.add(Event("e1", at, "cart", sku="milk", customer_id="ann"))
    >>> [carts.is_abandoned("ann", "milk", at.timestamp() + s, 3600) for s in (60, 3600)]
    [False, True]
    """

    def __init__(self, max_keys: int = 50_000) -> None:
        self._times: OrderedDict[tuple[str, str], Times] = OrderedDict()
        self._max_keys = max_keys

    def add(self, event: Event) -> None:
        """Note a cart or an order event. Others, and those without a shopper, have no effect."""
        if event.kind not in ("cart", "order") or event.customer_id is None or event.sku is None:
            return
        key, at = (event.customer_id, event.sku), event.occurred_at.timestamp()
        cart, order = self._times.get(key, Times())
        is_cart = event.kind == "cart"
        self._times[key] = Times(max(cart, at), order) if is_cart else Times(cart, max(order, at))
        self._times.move_to_end(key)
        if len(self._times) > self._max_keys:
            self._times.popitem(last=False)

    def is_abandoned(self, customer_id: str, sku: str, now: float, after: float) -> bool:
        """Whether the shopper left the sku in the cart.

        It was last put there at least `after` seconds and less than a day ago, and not ordered
        since.
        """
        cart, order = self._times.get((customer_id, sku), Times())
        return after <= now - cart < DAY and order < cart
