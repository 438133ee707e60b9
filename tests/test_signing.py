"""What a signature holds fast, whose it is, and how keys follow one another."""

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
RING = KeyRing({"new": b"n" * 32, "old": b"o" * 32}, current="new")
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


def signed(quote=QUOTE, ring=RING):
    return quote | {"signature": ring.sign(canonical(quote))}


def through_http(quote):
    return json.loads(json.dumps(quote, default=datetime.isoformat))


def home(folder, **settings):
    return Settings(home=folder, **settings)


def test_every_signed_field_is_drawn_here():
    assert set(VALUES) == set(QUOTE) == set(SIGNED)


@given(QUOTES)
def test_a_quote_is_good_until_it_expires_before_and_after_http(quote):
    for shown in (signed(quote), through_http(signed(quote))):
        assert RING.check(shown, quote["expires_at"] - timedelta.resolution) is None
        assert RING.check(shown, quote["expires_at"]) == "expired"


@given(QUOTES, st.sampled_from(list(SIGNED)), st.data())
def test_any_change_of_any_signed_field_is_tampered(quote, name, data):
    other = data.draw(VALUES[name].filter(lambda value: value != quote[name]))
    assert RING.check(signed(quote) | {name: other}, NOON) == "tampered"


@given(TEXT, TEXT, TEXT)
def test_what_is_moved_from_one_field_to_the_next_is_tampered(sku, moved, zone):
    quote = signed(QUOTE | {"sku": sku + moved, "zone": zone})
    expected = "tampered" if moved else None
    assert RING.check(quote | {"sku": sku, "zone": moved + zone}, NOON) == expected


def test_the_zone_an_instant_is_told_in_does_not_matter():
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    assert RING.check(signed() | {"issued_at": elsewhere.isoformat()}, NOON) is None


def test_what_is_not_signed_may_be_left_out_or_added():
    assert RING.check(signed() | {"reasons": [], "arm": "model"}, NOON) is None


@given(st.dictionaries(st.sampled_from(["signature", *SIGNED]) | TEXT, ANYTHING))
def test_an_object_that_is_no_quote_gets_a_word(fields):
    assert RING.check(fields, NOON) in {"unsigned", "malformed"}


@given(st.sampled_from(["signature", *SIGNED]), ANYTHING)
def test_a_quote_with_anything_in_a_field_gets_a_word(name, value):
    words = {"unsigned", "malformed", "foreign", "tampered"}
    problem = RING.check(signed() | {name: value}, NOON)
    assert problem in words or value == QUOTE.get(name)


@pytest.mark.parametrize(
    ("change", "word"),
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
def test_a_wrong_quote_is_refused_with_the_reason(change, word):
    assert RING.check(signed() | change, NOON) == word


@pytest.mark.parametrize("name", SIGNED)
def test_a_quote_that_lacks_a_signed_field_is_malformed(name):
    assert RING.check({key: value for key, value in signed().items() if key != name}, NOON) == (
        "malformed"
    )


def test_another_shop_s_quote_is_foreign_and_a_borrowed_key_id_tampered():
    theirs = KeyRing({"their": b"t" * 32}, current="their")
    posing = KeyRing({"new": b"t" * 32}, current="new")
    assert RING.check(signed(ring=theirs), NOON) == "foreign"
    assert RING.check(signed(ring=posing), NOON) == "tampered"


def test_a_ring_never_shows_its_secrets():
    assert "nnn" not in repr(RING)


def test_a_home_makes_its_key_once_for_its_owner_alone(tmp_path):
    settings = home(tmp_path)
    assert load(settings, NOON) == load(settings, NOON)
    assert stat.S_IMODE((settings.state / FILE).stat().st_mode) == 0o600
    assert len(load(settings, NOON).secrets[load(settings, NOON).current]) == 64


def test_workers_that_start_at_once_agree(tmp_path):
    with ThreadPoolExecutor(8) as workers:
        rings = list(workers.map(lambda _: load(home(tmp_path), NOON), range(8)))
    assert all(ring == rings[0] for ring in rings)


def test_rotations_at_once_lose_no_key(tmp_path):
    load(home(tmp_path), NOON)
    with ThreadPoolExecutor(8) as people:
        made = list(people.map(lambda _: rotate(home(tmp_path), NOON), range(8)))
    assert set(made) < set(load(home(tmp_path), NOON).secrets)


def test_a_rotated_key_signs_once_every_worker_has_read_it(tmp_path):
    first = load(home(tmp_path), NOON)
    new = rotate(home(tmp_path), NOON)
    assert load(home(tmp_path), NOON).current == first.current
    later = load(home(tmp_path), NOON + ACTIVATION_DELAY)
    assert later.current == new
    assert later.check(signed(ring=first), NOON) is None


def test_a_key_retired_for_more_than_a_day_no_longer_verifies(tmp_path):
    first = load(home(tmp_path), NOON)
    rotate(home(tmp_path), NOON)
    rotate(home(tmp_path), NOON + RETENTION)
    assert load(home(tmp_path), NOON).check(signed(ring=first), NOON) is None
    rotate(home(tmp_path), NOON + RETENTION + timedelta(seconds=1))
    assert load(home(tmp_path), NOON).check(signed(ring=first), NOON) == "foreign"


def test_a_clock_set_back_leaves_a_key_to_sign_with(tmp_path):
    load(home(tmp_path), NOON)
    rotate(home(tmp_path), NOON)
    ring = load(home(tmp_path), NOON - timedelta(days=400))
    assert ring.check(signed(ring=ring), NOON) is None


def test_the_key_of_an_older_version_is_taken_over_as_the_first(tmp_path):
    older = home(tmp_path).state / LEGACY_FILE
    older.parent.mkdir()
    older.write_text("s" * 64 + "\n")
    ring = load(home(tmp_path), NOON)
    assert list(ring.secrets.values()) == [b"s" * 64]
    assert not older.exists()


def test_of_keys_in_the_environment_the_first_signs_and_all_verify(tmp_path):
    old = load(home(tmp_path, signing_key="o" * 16), NOON)
    ring = load(home(tmp_path, signing_key=f"{'n' * 16}, {'o' * 16}"), NOON)
    assert ring.current not in old.secrets
    assert ring.check(signed(ring=old), NOON) is None
    assert not (tmp_path / ".pricebook").exists()


@pytest.mark.parametrize("key", ["short", f"{'n' * 16},short", f"{'n' * 16},"])
def test_a_short_key_is_refused_and_not_shown(tmp_path, key):
    with pytest.raises(ConfigError, match=r"at least 16 characters. Received: \d characters"):
        load(home(tmp_path, signing_key=key), NOON)


def test_keys_in_the_environment_are_rotated_there(tmp_path):
    with pytest.raises(ConfigError, match="PRICEBOOK_SIGNING_KEY"):
        rotate(home(tmp_path, signing_key="n" * 16), NOON)


@pytest.mark.parametrize("content", ["", "{", '[{"id": "a", "secret": "telltale"}]'])
def test_a_key_file_that_is_no_longer_one_is_refused_and_not_shown(tmp_path, content):
    load(home(tmp_path), NOON)
    (home(tmp_path).state / FILE).write_text(content)
    with pytest.raises(ConfigError, match=FILE) as raised:
        load(home(tmp_path), NOON)
    assert "telltale" not in str(raised.value)
