"""Price locks: a shopper's quote stays valid until it expires, and memory is bounded."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from serving.quotes.locks import LockedQuote, PriceLocks, Validity

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TTL = 900  # seconds


def key(shopper):
    return (shopper, "milk", "all", None)


def new_quote(quote_id, seconds=0):
    """A quote issued so many seconds after noon. Its offer does not matter here."""
    validity = Validity.from_instant(NOON + timedelta(seconds=seconds), TTL)
    return LockedQuote(quote_id.encode(), None, validity)


def test_a_quote_is_valid_until_the_instant_it_expires():
    locks, quote = PriceLocks(), new_quote("q1")
    locks.add([(key("ann"), quote)])
    last = NOON + timedelta(seconds=TTL, microseconds=-1)
    assert locks.get(key("ann"), last) is quote
    assert locks.get(key("ann"), NOON + timedelta(seconds=TTL)) is None


def test_another_shopper_consent_or_zone_has_another_lock():
    locks = PriceLocks()
    locks.add([(key("ann"), new_quote("q1"))])
    others = (key("bob"), None, ("ann", "milk", "all", False), ("ann", "milk", "north", None))
    assert [locks.get(other, NOON) for other in others] == [None] * 4


def test_an_anonymous_shopper_has_no_lock():
    locks = PriceLocks()
    locks.add([(None, new_quote("q1"))])
    assert len(locks) == 0


def test_if_there_are_too_many_the_oldest_are_dropped_first_and_counted():
    dropped = []
    locks = PriceLocks(max_locks=2, on_drop=lambda: dropped.append(1))
    for second, shopper in enumerate(("ann", "bob", "cid")):
        locks.add([(key(shopper), new_quote(shopper, second))])
    valid = [locks.get(key(shopper), NOON) is not None for shopper in ("ann", "bob", "cid")]
    assert (valid, len(dropped)) == ([False, True, True], 1)


def test_expired_quotes_are_removed_and_not_counted_as_dropped():
    dropped = []
    locks = PriceLocks(on_drop=lambda: dropped.append(1))
    for shopper in ("ann", "bob"):
        locks.add([(key(shopper), new_quote(shopper))])
    locks.add([(key("cid"), new_quote("cid", TTL))])
    assert (len(locks), dropped) == (1, [])


def test_a_newer_quote_replaces_an_older_one_and_is_dropped_last():
    locks, newer = PriceLocks(max_locks=2), new_quote("newer", 2)
    for shopper, quote in (("ann", new_quote("old")), ("bob", new_quote("b")), ("ann", newer)):
        locks.add([(key(shopper), quote)])
    locks.add([(key("cid"), new_quote("c", 3))])
    assert locks.get(key("ann"), NOON) is newer
    assert locks.get(key("bob"), NOON) is None


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 300))), st.integers(1, 8))
def test_the_number_of_locks_is_bounded_and_the_newest_is_never_dropped(shoppers, max_locks):
    locks, second = PriceLocks(max_locks), 0
    for shopper, seconds_later in shoppers:
        second += seconds_later
        quote = new_quote(str(second), second)
        locks.add([(key(str(shopper)), quote)])
        assert len(locks) <= max_locks
        assert locks.get(key(str(shopper)), quote.validity.issued_at) is quote


def test_of_two_quotes_of_the_same_second_workers_keep_the_same_one():
    locks = PriceLocks()
    for quote_id in ("q2", "q1", "q3"):
        locks.merge(key("ann"), new_quote(quote_id), NOON)
    assert locks.get(key("ann"), NOON).quote_id == b"q1"


def test_quotes_of_the_same_second_share_their_validity():
    first, later = (
        Validity.from_instant(NOON + timedelta(milliseconds=ms), TTL) for ms in (1, 999)
    )
    assert first is later
    assert first.issued_at == NOON
