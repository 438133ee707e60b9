"""Signatures detect every change, tell whose a quote is, and stay valid while keys rotate."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.signing_keys import ACTIVATION_DELAY, FILE, LEGACY_FILE, RETENTION, rotate
from pricebook.config import Settings
from pricebook.errors import ConfigError
from serving.quotes.signing import SIGNED, KeyRing, canonical, load

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
KEY_RING = KeyRing({"new": b"n" * 32, "old": b"o" * 32}, current="new")
QUOTE = {
    "quote_id": "5b0f",
    "sku": "milk",
    "zone": "all",
    "currency": "USD",
    "price": 449,
    "list_price": 499,
    "lowest_30d": None,
    "personalised": False,
    "disclosure": None,
    "issued_at": NOON,
    "expires_at": NOON + timedelta(minutes=15),
}
TEXT = st.text()
MINOR = st.integers(-(10**15), 10**15)
INSTANT = st.datetimes(datetime(1970, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
VALUES = {
    **dict.fromkeys(("quote_id", "sku", "zone", "currency"), TEXT),
    **dict.fromkeys(("price", "list_price"), MINOR),
    "lowest_30d": st.none() | MINOR,
    "personalised": st.booleans(),
    "disclosure": st.none() | TEXT,
    **dict.fromkeys(("issued_at", "expires_at"), INSTANT),
}
QUOTES = st.fixed_dictionaries(VALUES)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


def signed(quote=QUOTE, key_ring=KEY_RING):
    return quote | {"signature": key_ring.sign(canonical(quote))}


def as_json(quote):
    return json.loads(json.dumps(quote, default=datetime.isoformat))


def home(folder, **settings):
    return Settings(home=folder, **settings)


def test_these_tests_cover_every_signed_field():
    assert set(VALUES) == set(QUOTE) == set(SIGNED)


@given(QUOTES)
def test_a_quote_is_valid_until_it_expires_also_after_it_was_sent_as_json(quote):
    for received in (signed(quote), as_json(signed(quote))):
        assert KEY_RING.check(received, quote["expires_at"] - timedelta.resolution) is None
        assert KEY_RING.check(received, quote["expires_at"]) == "expired"


@given(QUOTES, st.sampled_from(list(SIGNED)), st.data())
def test_any_change_of_a_signed_field_is_detected(quote, name, data):
    other = data.draw(VALUES[name].filter(lambda value: value != quote[name]))
    assert KEY_RING.check(signed(quote) | {name: other}, NOON) == "tampered"


@given(TEXT, TEXT, TEXT)
def test_text_moved_from_one_field_to_the_next_is_detected(sku, moved, zone):
    quote = signed(QUOTE | {"sku": sku + moved, "zone": zone})
    expected = "tampered" if moved else None
    assert KEY_RING.check(quote | {"sku": sku, "zone": moved + zone}, NOON) == expected


def test_the_time_zone_of_a_timestamp_does_not_matter():
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert KEY_RING.check(signed() | {"issued_at": elsewhere.isoformat()}, NOON) is None


def test_fields_that_are_not_signed_may_be_added_or_missing():
    assert KEY_RING.check(signed() | {"reasons": [], "arm": "model"}, NOON) is None


@given(st.dictionaries(st.sampled_from(["signature", *SIGNED]) | TEXT, ANYTHING))
def test_an_object_that_is_not_a_quote_gets_a_reason(fields):
    assert KEY_RING.check(fields, NOON) in {"unsigned", "malformed"}


@given(st.sampled_from(["signature", *SIGNED]), ANYTHING)
def test_a_quote_with_any_value_in_a_field_gets_a_reason(name, value):
    reasons = {"unsigned", "malformed", "foreign", "tampered"}
    problem = KEY_RING.check(signed() | {name: value}, NOON)
    assert problem in reasons or value == QUOTE.get(name)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"signature": None}, "unsigned"),
        ({"signature": ""}, "unsigned"),
        ({"signature": ["new.00"]}, "malformed"),
        ({"signature": "new"}, "tampered"),
        ({"signature": "new.é\ud800"}, "tampered"),
        ({"signature": "their.00"}, "foreign"),
        ({"signature": "9a1f"}, "foreign"),
        ({"price": 449.0}, "malformed"),
        ({"price": True}, "malformed"),
        ({"price": "449"}, "malformed"),
        ({"price": 10**5000}, "tampered"),
        ({"personalised": 0}, "malformed"),
        ({"sku": "\ud800"}, "malformed"),
        ({"issued_at": "yesterday"}, "malformed"),
        ({"issued_at": "2026-03-02T12:00:00"}, "malformed"),
        ({"issued_at": "0001-01-01T00:00:00+14:00"}, "malformed"),
    ],
)
def test_a_wrong_quote_is_refused_with_the_reason(change, reason):
    assert KEY_RING.check(signed() | change, NOON) == reason


@pytest.mark.parametrize("name", SIGNED)
def test_a_quote_without_a_signed_field_is_malformed(name):
    assert KEY_RING.check({key: value for key, value in signed().items() if key != name}, NOON) == (
        "malformed"
    )


def test_a_quote_of_another_shop_is_foreign_or_tampered_if_it_has_our_key_id():
    other_shop = KeyRing({"their": b"t" * 32}, current="their")
    impostor = KeyRing({"new": b"t" * 32}, current="new")
    assert KEY_RING.check(signed(key_ring=other_shop), NOON) == "foreign"
    assert KEY_RING.check(signed(key_ring=impostor), NOON) == "tampered"


def test_the_repr_of_a_key_ring_has_no_secrets():
    assert "nnn" not in repr(KEY_RING)


def test_a_home_creates_its_key_once_and_only_its_owner_can_read_it(tmp_path):
    settings = home(tmp_path)
    assert load(settings, NOON) == load(settings, NOON)
    assert stat.S_IMODE((settings.state / FILE).stat().st_mode) == 0o600
    assert len(load(settings, NOON).secrets[load(settings, NOON).current]) == 64


def test_workers_that_start_at_the_same_time_have_the_same_key(tmp_path):
    with ThreadPoolExecutor(8) as workers:
        key_rings = list(workers.map(lambda _: load(home(tmp_path), NOON), range(8)))
    assert all(key_ring == key_rings[0] for key_ring in key_rings)


def test_simultaneous_rotations_lose_no_key(tmp_path):
    load(home(tmp_path), NOON)
    with ThreadPoolExecutor(8) as threads:
        ids = list(threads.map(lambda _: rotate(home(tmp_path), NOON), range(8)))
    assert set(ids) < set(load(home(tmp_path), NOON).secrets)


def test_a_rotated_key_signs_once_every_worker_has_read_it(tmp_path):
    first = load(home(tmp_path), NOON)
    new = rotate(home(tmp_path), NOON)
    assert load(home(tmp_path), NOON).current == first.current
    later = load(home(tmp_path), NOON + ACTIVATION_DELAY)
    assert later.current == new
    assert later.check(signed(key_ring=first), NOON) is None


def test_a_key_retired_for_more_than_a_day_no_longer_verifies(tmp_path):
    first = load(home(tmp_path), NOON)
    rotate(home(tmp_path), NOON)
    rotate(home(tmp_path), NOON + RETENTION)
    assert load(home(tmp_path), NOON).check(signed(key_ring=first), NOON) is None
    rotate(home(tmp_path), NOON + RETENTION + timedelta(seconds=1))
    assert load(home(tmp_path), NOON).check(signed(key_ring=first), NOON) == "foreign"


def test_there_is_a_signing_key_after_the_clock_was_set_back(tmp_path):
    load(home(tmp_path), NOON)
    rotate(home(tmp_path), NOON)
    key_ring = load(home(tmp_path), NOON - timedelta(days=400))
    assert key_ring.check(signed(key_ring=key_ring), NOON) is None


def test_the_key_of_an_older_version_becomes_the_first_key(tmp_path):
    older = home(tmp_path).state / LEGACY_FILE
    older.parent.mkdir()
    older.write_text("s" * 64 + "\n")
    key_ring = load(home(tmp_path), NOON)
    assert list(key_ring.secrets.values()) == [b"s" * 64]
    assert not older.exists()


def test_of_several_keys_in_the_environment_the_first_signs_and_all_verify(tmp_path):
    old = load(home(tmp_path, signing_key="o" * 16), NOON)
    key_ring = load(home(tmp_path, signing_key=f"{'n' * 16}, {'o' * 16}"), NOON)
    assert key_ring.current not in old.secrets
    assert key_ring.check(signed(key_ring=old), NOON) is None
    assert not (tmp_path / ".pricebook").exists()


@pytest.mark.parametrize("key", ["short", f"{'n' * 16},short", f"{'n' * 16},"])
def test_a_short_key_is_refused_and_not_shown(tmp_path, key):
    with pytest.raises(ConfigError, match=r"at least 16 characters. Received: \d characters"):
        load(home(tmp_path, signing_key=key), NOON)


def test_keys_in_the_environment_cannot_be_rotated_by_the_command(tmp_path):
    with pytest.raises(ConfigError, match="PRICEBOOK_SIGNING_KEY"):
        rotate(home(tmp_path, signing_key="n" * 16), NOON)


@pytest.mark.parametrize("content", ["", "{", '[{"id": "a", "secret": "telltale"}]'])
def test_a_damaged_key_file_is_refused_and_not_shown(tmp_path, content):
    load(home(tmp_path), NOON)
    (home(tmp_path).state / FILE).write_text(content)
    with pytest.raises(ConfigError, match=FILE) as raised:
        load(home(tmp_path), NOON)
    assert "telltale" not in str(raised.value)
