"""API keys: what the ledger keeps of them, and whom the guard lets in."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from ledger import keys, open_ledger
from ledger.clock import now
from ledger.keys import Grant, Key, Keys, Refused, Scope
from ledger.signing_keys import signing_keys
from pricebook.config import Settings
from pricebook.errors import LedgerError
from serving.http.api_keys import ANYONE, ApiKeyAuth, TokenBucket, key_loader
from serving.http.errors import RequestError

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TILL = Grant("till", frozenset({Scope.QUOTE}))


class Clock:
    """Stands still until it is moved."""

    def __init__(self):
        self.now = NOON

    def __call__(self):
        return self.now

    def move(self, seconds):
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def ledger(tmp_path):
    return open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def guard(ledger, clock):
    return ApiKeyAuth(lambda: keys.load(ledger), clock)


def issued(ledger, **grant):
    return keys.issue(ledger, Grant(**{**vars(TILL), **grant}), NOON)


def id_of(text):
    return text.split("_")[1]


def bearer(text):
    return f"Bearer {text}".encode()


def refusal(guard, authorization, scope="quote", cost=1):
    with pytest.raises(RequestError) as raised:
        guard.authorize(authorization, scope, cost)
    return raised.value


def told(guard, *asked, **more):
    error = refusal(guard, *asked, **more)
    return error.status, error.body["error"]


def test_a_key_is_found_by_its_text_with_what_it_allows(ledger):
    text = issued(ledger, per_second=5.0, expires_at=NOON + DAY)
    (key,) = keys.listed(ledger)
    assert keys.load(ledger).find(text, NOON) == key
    assert key.grant == Grant("till", TILL.scopes, 5.0, NOON + DAY)
    assert (key.id, key.made_at, key.revoked_at) == (id_of(text), NOON, None)


def test_no_secret_is_in_the_ledger_or_in_what_is_printed(ledger, tmp_path):
    secret = issued(ledger).split("_")[2]
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert len(secret) * 4 >= 128
    assert secret.encode() not in files
    assert keys.listed(ledger)[0].digest not in repr(keys.load(ledger))


@given(st.text() | st.text().map("pb_{}".format) | st.text().map("pb_0a1b2c_{}".format))
def test_any_other_text_is_not_a_key(text):
    key = Key("0a1b2c", TILL, NOON, None, "not the hash of anything")
    assert Keys({key.id: key}).find(text, NOON) in {Refused.MALFORMED, Refused.UNKNOWN}


def test_a_key_with_one_letter_changed_is_unknown(ledger):
    text = issued(ledger)
    other = text[:-1] + ("0" if text[-1] != "0" else "1")
    assert keys.load(ledger).find(other, NOON) is Refused.UNKNOWN


def test_a_key_counts_until_the_instant_it_expires(ledger):
    text = issued(ledger, expires_at=NOON + HOUR)
    assert isinstance(keys.load(ledger).find(text, NOON + HOUR - timedelta.resolution), Key)
    assert keys.load(ledger).find(text, NOON + HOUR) is Refused.EXPIRED


def test_a_revoked_key_stays_revoked_since_the_first_time(ledger):
    text = issued(ledger)
    keys.revoke(ledger, id_of(text), NOON + HOUR)
    assert keys.revoke(ledger, id_of(text), NOON + DAY).revoked_at == NOON + HOUR
    assert keys.load(ledger).find(text, NOON) is Refused.REVOKED


def test_that_a_key_was_revoked_is_told_only_to_who_has_its_secret(ledger):
    text = issued(ledger)
    keys.revoke(ledger, id_of(text), NOON)
    assert keys.load(ledger).find(f"pb_{id_of(text)}_guess", NOON) is Refused.UNKNOWN


def test_a_rotated_key_allows_the_same_and_the_old_one_ends_after_the_overlap(ledger):
    old = issued(ledger, per_second=5.0)
    new = keys.rotate(ledger, id_of(old), NOON + DAY, HOUR)
    found = keys.load(ledger)
    assert found.find(new, NOON + DAY).grant == Grant("till", TILL.scopes, 5.0)
    assert isinstance(found.find(old, NOON + DAY), Key)
    assert found.find(old, NOON + DAY + HOUR) is Refused.EXPIRED


def test_a_rotated_key_lives_as_long_as_the_old_one_was_to_live(ledger):
    old = issued(ledger, expires_at=NOON + DAY)
    new = keys.rotate(ledger, id_of(old), NOON + 12 * HOUR, 7 * DAY)
    found = keys.load(ledger)
    assert found.by_id[id_of(new)].grant.expires_at == NOON + 36 * HOUR
    assert found.by_id[id_of(old)].grant.expires_at == NOON + DAY


def test_a_key_that_no_longer_counts_is_not_rotated(ledger):
    text = issued(ledger)
    keys.revoke(ledger, id_of(text), NOON)
    with pytest.raises(LedgerError, match="revoked"):
        keys.rotate(ledger, id_of(text), NOON, HOUR)
    assert len(keys.listed(ledger)) == 1


@pytest.mark.parametrize("change", [keys.revoke, lambda *asked: keys.rotate(*asked, HOUR)])
def test_a_key_nobody_issued_cannot_be_changed(ledger, change):
    with pytest.raises(LedgerError, match=r"No such key.*Received: 'ghost'"):
        change(ledger, "ghost", NOON)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": " "},
        {"scopes": frozenset()},
        {"per_second": 0.0},
        {"per_second": float("nan")},
        {"expires_at": NOON},
    ],
)
def test_a_key_that_would_allow_nothing_is_not_issued(ledger, wrong):
    with pytest.raises(LedgerError, match="Received:"):
        issued(ledger, **wrong)


def test_while_no_key_was_ever_issued_anybody_is_let_in(ledger, guard):
    assert guard.open
    assert guard.authorize(None, "admin") == ANYONE
    keys.revoke(ledger, id_of(issued(ledger)), NOON)
    guard.refresh()
    assert not guard.open
    assert told(guard, None) == (401, "no_key")


def test_a_key_is_let_in_by_its_name_for_its_scopes(ledger, guard):
    text = issued(ledger, scopes=frozenset({Scope.QUOTE, Scope.EVENTS}))
    guard.refresh()
    assert guard.authorize(bearer(text), "quote") == "till"
    assert guard.authorize(b"bearer  " + text.encode(), "events") == "till"
    assert told(guard, bearer(text), "admin") == (403, "wrong_scope")


def test_a_key_that_does_not_count_is_refused_with_the_reason(ledger, guard, clock):
    expiring, revoked = issued(ledger, expires_at=NOON + HOUR), issued(ledger)
    keys.revoke(ledger, id_of(revoked), NOON)
    clock.move(3600)
    guard.refresh()
    for text, error in ((expiring, "expired_key"), (revoked, "revoked_key")):
        assert told(guard, bearer(text)) == (401, error)


def test_a_key_expires_even_while_the_ledger_cannot_be_read(ledger, clock):
    text, loads = issued(ledger, expires_at=NOON + HOUR), iter([keys.load(ledger)])

    def load():
        for known in loads:
            return known
        raise LedgerError("gone")

    guard = ApiKeyAuth(load, clock)
    assert guard.authorize(bearer(text), "quote") == "till"
    clock.move(3600)
    guard.refresh()
    assert told(guard, bearer(text)) == (401, "expired_key")


@pytest.mark.parametrize(
    ("authorization", "error"),
    [
        (None, "no_key"),
        (b"", "malformed_key"),
        (b"Bearer", "malformed_key"),
        (b"Basic pb_0a_telltale", "malformed_key"),
        (b"Bearer telltale", "malformed_key"),
        (b"Bearer pb_\xff\x00_telltale", "unknown_key"),
    ],
)
def test_what_is_no_key_is_refused_and_not_repeated(ledger, guard, authorization, error):
    issued(ledger)
    guard.refresh()
    refused = refusal(guard, authorization)
    assert (refused.status, refused.body["error"]) == (401, error)
    assert refused.headers == {"WWW-Authenticate": "Bearer"}
    assert "telltale" not in f"{refused} {refused.body}"


def test_a_key_that_asks_too_fast_is_told_when_to_ask_again(ledger, guard, clock):
    text = bearer(issued(ledger, per_second=2.0))
    guard.refresh()
    guard.authorize(text, "quote", cost=2)
    assert refusal(guard, text).headers == {"Retry-After": "1"}
    clock.move(0.5)
    guard.authorize(text, "quote")
    assert told(guard, text) == (429, "too_fast")


def test_keys_of_one_name_have_their_own_rate(ledger, guard):
    texts = [bearer(issued(ledger, per_second=1.0)) for _ in range(2)]
    guard.refresh()
    assert [guard.authorize(text, "quote") for text in texts] == ["till", "till"]
    assert [told(guard, text)[0] for text in texts] == [429, 429]


def test_a_batch_above_the_rate_is_let_in_and_paid_off_before_the_next():
    bucket = TokenBucket()
    assert bucket.take(1_000, 100, NOON) == 0
    assert bucket.take(1, 100, NOON) == pytest.approx(9.01)
    assert bucket.take(1, 100, NOON + timedelta(seconds=9.01)) == 0


def test_a_key_let_in_at_the_door_pays_once_its_batch_has_been_read(ledger, guard):
    text = bearer(issued(ledger, per_second=1.0))
    guard.refresh()
    assert (
        guard.authorize(text, "quote", cost=0) == guard.authorize(text, "quote", cost=50) == "till"
    )
    assert told(guard, text, cost=0) == (429, "too_fast")


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 20))), st.integers(1, 10))
def test_nobody_is_let_in_faster_than_the_rate_but_for_one_burst(asked, rate):
    bucket, now, spent = TokenBucket(), NOON, 0
    for pause, cost in asked:
        now += timedelta(milliseconds=pause)
        if bucket.take(cost, rate, now) == 0:
            earned = rate + rate * (now - NOON).total_seconds()
            assert spent + 1 <= earned + 1e-6
            spent += cost


def test_a_clock_set_back_locks_nobody_out(ledger, guard, clock):
    text = bearer(issued(ledger, per_second=1.0))
    guard.refresh()
    guard.authorize(text, "quote")
    clock.move(-86_400)
    assert told(guard, text) == (429, "too_fast")
    clock.move(1)
    assert guard.authorize(text, "quote") == "till"


def test_a_revoked_key_is_refused_from_the_next_refresh_on(ledger, guard):
    text = issued(ledger)
    guard.refresh()
    assert guard.authorize(bearer(text), "quote") == "till"
    keys.revoke(ledger, id_of(text), NOON)
    guard.refresh()
    assert told(guard, bearer(text)) == (401, "revoked_key")


def test_a_ledger_that_cannot_be_read_leaves_the_keys_as_they_were(ledger, clock, caplog):
    text = issued(ledger)
    known = [keys.load(ledger)]

    def load():
        if known:
            return known.pop()
        raise LedgerError("The disk is gone. Received: ledger.db")

    guard = ApiKeyAuth(load, clock)
    guard.refresh()
    assert guard.authorize(bearer(text), "quote") == "till"
    assert "The disk is gone" in caplog.text


def test_while_the_keys_were_never_read_nobody_is_let_in(tmp_path, clock):
    guard = ApiKeyAuth(
        key_loader(Settings(home=tmp_path, ledger_url="sqlite:////dev/null/x.db")), clock
    )
    assert not guard.open
    assert told(guard, None) == (503, "no_keys")


def test_the_keys_of_a_home_are_those_of_its_ledger(tmp_path, clock):
    settings = Settings(home=tmp_path)
    text = issued(open_ledger(settings.ledger))
    assert ApiKeyAuth(key_loader(settings), clock).authorize(bearer(text), "quote") == "till"


def test_the_log_says_when_anybody_is_let_in_and_when_no_longer(ledger, clock, caplog):
    caplog.set_level(logging.WARNING, "pricebook.guard")
    guard = ApiKeyAuth(lambda: keys.load(ledger), clock)
    issued(ledger)
    guard.refresh()
    guard.refresh()
    assert [record.getMessage() for record in caplog.records] == [
        "API keys are not required: none was issued.",
        "API keys are on.",
    ]


def test_a_ledger_whose_keys_cannot_be_read_is_an_error_of_the_ledger(tmp_path):
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    issued(ledger)
    with ledger.begin() as session:
        session.connection().exec_driver_sql("DROP TABLE api_keys")
    with pytest.raises(LedgerError, match="cannot be read"):
        keys.load(ledger)


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs `pricebook keys ...` in a home of its own; returns what it printed."""
    monkeypatch.setenv("PRICEBOOK_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        done = CliRunner().invoke(app, ["keys", *words])
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    return run


def test_a_key_issued_by_command_is_printed_alone_and_opens_the_guard(command, tmp_path):
    text = command("issue", "till", "--scope", "quote", "--scope", "events", "--per-second", "50")
    guard = ApiKeyAuth(key_loader(Settings(home=tmp_path)), now)
    assert guard.authorize(bearer(text), "events") == "till"


def test_the_list_tells_what_each_key_is_for_and_how_it_stands(command):
    assert "the service is open" in command()
    first = command("issue", "till [1]", "--scope", "quote", "--expires", "2999-01-01")
    second = command("rotate", id_of(first), "--overlap-hours", "0")
    assert id_of(second) in command("revoke", id_of(second))
    rows = [line.split() for line in command("list").splitlines()[1:]]
    assert {row[0]: row[-1] for row in rows} == {id_of(first): "expired", id_of(second): "revoked"}
    assert all(row[1:4] == ["till", "[1]", "quote"] for row in rows)


def test_the_signing_key_is_rotated_by_command(command, tmp_path):
    settings = Settings(home=tmp_path)
    first = signing_keys(settings, NOON)
    made = command("rotate-signing").split()[0]
    assert set(signing_keys(settings, NOON)) == {made, *first}
