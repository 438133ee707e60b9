"""TtlCache repeats a check when its result has expired, and never caches an exception."""

import pytest

from serving.state import cache
from serving.state.cache import TtlCache


@pytest.fixture
def time(monkeypatch):
    class Time:
        now = 100.0

    monkeypatch.setattr(cache.time, "monotonic", lambda: Time.now)
    return Time


def test_a_result_is_reused_until_it_expires(time):
    results = iter("ab")
    check = TtlCache(lambda: next(results), ttl=0.01)
    assert [check(), check()] == ["a", "a"]
    time.now += 0.01
    assert check() == "b"


def test_a_check_that_raises_is_repeated_at_the_next_call(time):
    results = iter([OSError("missing"), "present"])

    def check():
        result = next(results)
        if isinstance(result, Exception):
            raise result
        return result

    cached = TtlCache(check)
    with pytest.raises(OSError, match="missing"):
        cached()
    assert cached() == "present"
