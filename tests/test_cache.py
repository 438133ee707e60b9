"""A glance looks again once what it found is old, and never keeps a failure."""

import pytest

from serving.state import cache
from serving.state.cache import TtlCache


@pytest.fixture
def time(monkeypatch):
    class Time:
        now = 100.0

    monkeypatch.setattr(cache.time, "monotonic", lambda: Time.now)
    return Time


def test_what_was_found_is_good_for_a_moment(time):
    found = iter("ab")
    look = TtlCache(lambda: next(found), good_for=0.01)
    assert [look(), look()] == ["a", "a"]
    time.now += 0.01
    assert look() == "b"


def test_a_look_that_fails_is_made_again(time):
    found = iter([OSError("gone"), "back"])

    def look():
        one = next(found)
        if isinstance(one, Exception):
            raise one
        return one

    glanced = TtlCache(look)
    with pytest.raises(OSError, match="gone"):
        glanced()
    assert glanced() == "back"
