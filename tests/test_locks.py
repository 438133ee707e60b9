"""Locks: what a named shopper was quoted stands until it expires, and memory is bounded."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from serving.quotes.locks import LockedQuote, PriceLocks, Validity

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TTL = 900  # seconds


def key(shopper):
    return (shopper, "milk", "all", None)


def held(quote_id, seconds=0):
    """A quote given so many seconds after noon; what it offers does not matter here."""
    return LockedQuote(quote_id.encode(), None, Validity.of(NOON + timedelta(seconds=seconds), TTL))


def test_a_quote_stands_until_the_instant_it_expires():
    locks, quote = PriceLocks(), held("q1")
    locks.hold([(key("ann"), quote)])
    last = NOON + timedelta(seconds=TTL, microseconds=-1)
    assert locks.held(key("ann"), last) is quote
    assert locks.held(key("ann"), NOON + timedelta(seconds=TTL)) is None


def test_nobody_else_holds_it():
    locks = PriceLocks()
    locks.hold([(key("ann"), held("q1"))])
    others = (key("bob"), None, ("ann", "milk", "all", False), ("ann", "milk", "north", None))
    assert [locks.held(other, NOON) for other in others] == [None] * 4


def test_who_has_no_name_holds_nothing():
    locks = PriceLocks()
    locks.hold([(None, held("q1"))])
    assert len(locks) == 0


def test_the_oldest_go_first_where_there_are_too_many_and_are_counted():
    dropped = []
    locks = PriceLocks(most=2, dropped=lambda: dropped.append(1))
    for second, shopper in enumerate(("ann", "bob", "cid")):
        locks.hold([(key(shopper), held(shopper, second))])
    standing = [locks.held(key(shopper), NOON) is not None for shopper in ("ann", "bob", "cid")]
    assert (standing, len(dropped)) == ([False, True, True], 1)


def test_what_has_expired_goes_and_is_not_counted_as_lost():
    dropped = []
    locks = PriceLocks(dropped=lambda: dropped.append(1))
    for shopper in ("ann", "bob"):
        locks.hold([(key(shopper), held(shopper))])
    locks.hold([(key("cid"), held("cid", TTL))])
    assert (len(locks), dropped) == (1, [])


def test_a_newer_quote_takes_the_place_of_an_older_one_and_goes_last():
    locks, newer = PriceLocks(most=2), held("newer", 2)
    for name, quote in (("ann", held("old")), ("bob", held("b")), ("ann", newer)):
        locks.hold([(key(name), quote)])
    locks.hold([(key("cid"), held("c", 3))])
    assert locks.held(key("ann"), NOON) is newer
    assert locks.held(key("bob"), NOON) is None


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 300))), st.integers(1, 8))
def test_there_are_never_more_than_may_be_and_the_last_is_always_among_them(given_out, most):
    locks, second = PriceLocks(most=most), 0
    for shopper, later in given_out:
        second += later
        quote = held(str(second), second)
        locks.hold([(key(str(shopper)), quote)])
        assert len(locks) <= most
        assert locks.held(key(str(shopper)), quote.life.issued_at) is quote


def test_of_two_quotes_of_one_second_workers_agree_on_one():
    told = [held("q2"), held("q1"), held("q3")]
    locks = PriceLocks()
    for one in told:
        locks.learn(key("ann"), one, NOON)
    assert locks.held(key("ann"), NOON).quote_id == b"q1"


def test_quotes_of_a_second_share_what_is_told_of_their_life():
    first, later = (Validity.of(NOON + timedelta(milliseconds=ms), TTL) for ms in (1, 999))
    assert first is later
    assert first.issued_at == NOON
