"""`POST /events`: each kind of event has its own fields, and errors name the item and field."""

import json
from datetime import UTC, datetime

import pytest

from pricebook.events import Event
from serving.http.errors import RequestError, parse
from serving.http.event_schemas import EventsRequest

STOCK = {
    "event_id": "e1",
    "occurred_at": "2026-01-05T13:00:00+01:00",
    "kind": "stock",
    "sku": "milk",
    "on_hand": 3,
}
ABSENT = object()


def events_of(*items):
    return parse(EventsRequest, json.dumps({"items": items}).encode()).events()


def test_a_body_becomes_events():
    noon = datetime(2026, 1, 5, 12, tzinfo=UTC)
    assert events_of(STOCK) == [Event("e1", noon, "stock", sku="milk", on_hand=3)]


def test_the_example_in_the_api_documentation_is_valid():
    example = EventsRequest.model_json_schema()["examples"][0]
    assert [event.kind for event in events_of(*example["items"])] == ["view", "competitor_price"]


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("on_hand", -1, r"items\.1\.stock\.on_hand: Input should be greater than or equal to 0"),
        ("on_hand", "3", r"items\.1\.stock\.on_hand: Input should be a valid integer"),
        ("on_hand", ABSENT, r"items\.1\.stock\.on_hand: Field required"),
        ("price", 9, r"items\.1\.stock\.price: Extra inputs are not permitted"),
        ("occurred_at", "2026-01-05T12:00:00", r"items\.1\.stock\.occurred_at: .* timezone"),
        ("kind", "sale", r"items\.1: Input tag 'sale' .* 'view', 'cart', 'search', 'order'"),
        ("kind", ABSENT, r"items\.1: .* 'kind'"),
    ],
)
def test_a_wrong_event_is_refused_by_its_index_and_field(field, value, message):
    wrong = {name: v for name, v in {**STOCK, field: value}.items() if v is not ABSENT}
    with pytest.raises(RequestError, match=message) as raised:
        events_of(STOCK, wrong)
    assert raised.value.status == 422


@pytest.mark.parametrize("count", [0, 1001])
def test_a_batch_has_one_to_a_thousand_events(count):
    with pytest.raises(RequestError, match="items: List should have at"):
        events_of(*[STOCK] * count)
