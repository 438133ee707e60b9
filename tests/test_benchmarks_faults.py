"""The counting functions of the fault benchmark."""

import pandas as pd
import pytest

from benchmarks.serving.faults import LOCKED, Baseline, distinct_quotes, misdated, mistimed

HOLDER = LOCKED[0]["customer_id"]
QUOTE = {
    "quote_id": "a",
    "sku": "tea",
    "price": 90,
    "model_version": "1",
    "rule": "model",
    "customer_id": None,
}


def distinct(*quotes):
    """Quotes to a holder, valid for two seconds.

    Each is (id, second of the request, second of the response, second of issue).
    """
    names = ("quote_id", "requested", "answered", "issued_at", "expires_at", "customer_id")
    rows = [(*times, timestamp(issued), timestamp(issued + 2), HOLDER) for *times, issued in quotes]
    return distinct_quotes(pd.DataFrame(rows, columns=names))


def timestamp(second):
    return f"1970-01-01T00:00:{second:02}Z"


@pytest.mark.parametrize(
    ("change", "matches"),
    [
        ({}, True),
        ({"price": 91}, False),
        ({"model_version": "2"}, False),
        ({"rule": "online_store"}, False),
        ({"customer_id": "stranger"}, True),
        ({"customer_id": HOLDER}, False),
        ({"customer_id": HOLDER, "quote_id": "held", "price": 80}, True),
    ],
)
def test_a_quote_matches_the_baseline_by_price_or_for_a_holder_by_id(change, matches):
    quotes = pd.DataFrame([QUOTE | change])
    assert Baseline({"tea": 90}, {HOLDER: "held"}).matches(quotes).tolist() == [matches]


@pytest.mark.parametrize(("issued", "count"), [(9, 1), (10, 0), (11, 0), (12, 1)])
def test_a_quote_issued_outside_its_request_is_misdated(issued, count):
    assert misdated(distinct(("a", 10.5, 11.5, issued))) == count


def test_a_quote_served_after_it_expired_is_mistimed():
    assert mistimed(distinct(("a", 10, 10.1, 10), ("a", 12.5, 12.6, 10))) == 1


def test_a_quote_replaced_before_it_expired_is_mistimed():
    assert mistimed(distinct(("a", 10, 10.1, 10), ("b", 11.5, 11.6, 11))) == 1


def test_a_quote_replaced_after_it_expired_is_correct():
    quotes = distinct(("a", 10, 10.1, 10), ("a", 11.9, 12.1, 10), ("b", 12, 12.1, 12))
    assert mistimed(quotes) == 0
