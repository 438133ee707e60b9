"""The judges of the fault benchmark: what they count, and what they let pass."""

import pandas as pd
import pytest

from benchmarks.serving.faults import HELD, Usual, misdated, mistimed, once

HOLDER = HELD[0]["customer_id"]
QUOTE = {
    "quote_id": "a",
    "sku": "tea",
    "price": 90,
    "model_version": "1",
    "rule": "model",
    "customer_id": None,
}


def told(*quotes):
    """Quotes of a holder that stand for two seconds: id, asked, answered and issued, in seconds."""
    names = ("quote_id", "asked", "answered", "issued_at", "expires_at", "customer_id")
    rows = [(*times, at(issued), at(issued + 2), HOLDER) for *times, issued in quotes]
    return once(pd.DataFrame(rows, columns=names))


def at(second):
    return f"1970-01-01T00:00:{second:02}Z"


@pytest.mark.parametrize(
    ("change", "usual"),
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
def test_a_quote_is_as_usual_by_its_price_or_to_a_holder_by_its_id(change, usual):
    quotes = pd.DataFrame([QUOTE | change])
    assert Usual({"tea": 90}, {HOLDER: "held"}).among(quotes).tolist() == [usual]


@pytest.mark.parametrize(("issued", "wrong"), [(9, 1), (10, 0), (11, 0), (12, 1)])
def test_a_quote_is_issued_between_when_it_is_asked_for_and_answered(issued, wrong):
    assert misdated(told(("a", 10.5, 11.5, issued))) == wrong


def test_a_quote_told_to_who_asks_after_its_time_has_outlived_it():
    assert mistimed(told(("a", 10, 10.1, 10), ("a", 12.5, 12.6, 10))) == 1


def test_a_quote_followed_by_another_within_its_time_has_ended_early():
    assert mistimed(told(("a", 10, 10.1, 10), ("b", 11.5, 11.6, 11))) == 1


def test_a_quote_told_until_its_end_and_then_another_is_as_promised():
    assert mistimed(told(("a", 10, 10.1, 10), ("a", 11.9, 12.1, 10), ("b", 12, 12.1, 12))) == 0
