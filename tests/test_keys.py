"""API keys: how the ledger stores them, and which requests `ApiKeyAuth` accepts."""

import logging
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from cli.main import app
from ledger import keys, open_ledger
from ledger.clock import now
from ledger.keys import Grant, Key, KeyRefusal, Keys, Scope
from ledger.signing_keys import signing_keys
from pricebook.config import Settings
from pricebook.errors import LedgerError
from serving.http.api_keys import ANYONE, ApiKeyAuth, TokenBucket, key_loader
from serving.http.errors import RequestError

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
TILL = Grant("till", frozenset({Scope.QUOTE}))


class Clock:
    """A clock that only `move` advances."""

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
def auth(ledger, clock):
    return ApiKeyAuth(lambda: keys.load(ledger), clock)


def issue(ledger, **grant):
    """Issue a key like TILL, with these changes; returns its text."""
    return keys.issue(ledger, Grant(**{**vars(TILL), **grant}), NOON)


def id_of(text):
    return text.split("_")[1]


def bearer(text):
    return f"Bearer {text}".encode()


def refusal(auth, authorization, scope="quote", cost=1):
    with pytest.raises(RequestError) as raised:
        auth.authorize(authorization, scope, cost)
    return raised.value


def error_of(auth, authorization, *args, **kwargs):
    error = refusal(auth, authorization, *args, **kwargs)
    return error.status, error.body["error"]


def test_an_issued_key_is_found_with_its_grant(ledger):
    text = issue(ledger, per_second=5.0, expires_at=NOON + DAY)
    (key,) = keys.list_keys(ledger)
    assert keys.load(ledger).find(text, NOON) == key
    assert key.grant == Grant("till", TILL.scopes, 5.0, NOON + DAY)
    assert (key.id, key.made_at, key.revoked_at) == (id_of(text), NOON, None)


def test_the_secret_is_neither_stored_nor_printed(ledger, tmp_path):
    secret = issue(ledger).split("_")[2]
    files = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert len(secret) * 4 >= 128
    assert secret.encode() not in files
    assert keys.list_keys(ledger)[0].digest not in repr(keys.load(ledger))


@given(st.text() | st.text().map("pb_{}".format) | st.text().map("pb_0a1b2c_{}".format))
def test_other_texts_are_not_keys(text):
    key = Key("0a1b2c", TILL, NOON, None, "not the hash of anything")
    assert Keys({key.id: key}).find(text, NOON) in {KeyRefusal.MALFORMED, KeyRefusal.UNKNOWN}


def test_a_key_with_one_letter_changed_is_unknown(ledger):
    text = issue(ledger)
    other = text[:-1] + ("0" if text[-1] != "0" else "1")
    assert keys.load(ledger).find(other, NOON) is KeyRefusal.UNKNOWN


def test_a_key_is_valid_until_the_instant_it_expires(ledger):
    text = issue(ledger, expires_at=NOON + HOUR)
    assert isinstance(keys.load(ledger).find(text, NOON + HOUR - timedelta.resolution), Key)
    assert keys.load(ledger).find(text, NOON + HOUR) is KeyRefusal.EXPIRED


def test_revoking_a_key_again_keeps_the_first_time(ledger):
    text = issue(ledger)
    keys.revoke(ledger, id_of(text), NOON + HOUR)
    assert keys.revoke(ledger, id_of(text), NOON + DAY).revoked_at == NOON + HOUR
    assert keys.load(ledger).find(text, NOON) is KeyRefusal.REVOKED


def test_without_its_secret_a_revoked_key_is_reported_as_unknown(ledger):
    text = issue(ledger)
    keys.revoke(ledger, id_of(text), NOON)
    assert keys.load(ledger).find(f"pb_{id_of(text)}_guess", NOON) is KeyRefusal.UNKNOWN


def test_a_rotated_key_has_the_same_grant_and_the_old_key_expires_after_the_overlap(ledger):
    old = issue(ledger, per_second=5.0)
    new = keys.rotate(ledger, id_of(old), NOON + DAY, HOUR)
    loaded = keys.load(ledger)
    assert loaded.find(new, NOON + DAY).grant == Grant("till", TILL.scopes, 5.0)
    assert isinstance(loaded.find(old, NOON + DAY), Key)
    assert loaded.find(old, NOON + DAY + HOUR) is KeyRefusal.EXPIRED


def test_rotation_starts_the_same_lifetime_again_but_does_not_prolong_the_old_key(ledger):
    old = issue(ledger, expires_at=NOON + DAY)
    new = keys.rotate(ledger, id_of(old), NOON + 12 * HOUR, 7 * DAY)
    loaded = keys.load(ledger)
    assert loaded.by_id[id_of(new)].grant.expires_at == NOON + 36 * HOUR
    assert loaded.by_id[id_of(old)].grant.expires_at == NOON + DAY


def test_a_revoked_key_cannot_be_rotated(ledger):
    text = issue(ledger)
    keys.revoke(ledger, id_of(text), NOON)
    with pytest.raises(LedgerError, match="revoked"):
        keys.rotate(ledger, id_of(text), NOON, HOUR)
    assert len(keys.list_keys(ledger)) == 1


@pytest.mark.parametrize("change", [keys.revoke, lambda *args: keys.rotate(*args, HOUR)])
def test_a_key_that_was_never_issued_cannot_be_changed(ledger, change):
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
def test_a_key_that_allows_nothing_cannot_be_issued(ledger, wrong):
    with pytest.raises(LedgerError, match="Received:"):
        issue(ledger, **wrong)


def test_every_request_is_accepted_until_the_first_key_is_issued(ledger, auth):
    assert auth.open
    assert auth.authorize(None, "admin") == ANYONE
    keys.revoke(ledger, id_of(issue(ledger)), NOON)
    auth.refresh()
    assert not auth.open
    assert error_of(auth, None) == (401, "no_key")


def test_a_key_is_accepted_for_its_scopes_only(ledger, auth):
    text = issue(ledger, scopes=frozenset({Scope.QUOTE, Scope.EVENTS}))
    auth.refresh()
    assert auth.authorize(bearer(text), "quote") == "till"
    assert auth.authorize(b"bearer  " + text.encode(), "events") == "till"
    assert error_of(auth, bearer(text), "admin") == (403, "wrong_scope")


def test_expired_and_revoked_keys_are_refused_with_the_reason(ledger, auth, clock):
    expiring, revoked = issue(ledger, expires_at=NOON + HOUR), issue(ledger)
    keys.revoke(ledger, id_of(revoked), NOON)
    clock.move(3600)
    auth.refresh()
    for text, error in ((expiring, "expired_key"), (revoked, "revoked_key")):
        assert error_of(auth, bearer(text)) == (401, error)


def test_a_key_expires_even_if_the_ledger_cannot_be_read(ledger, clock):
    text, loads = issue(ledger, expires_at=NOON + HOUR), iter([keys.load(ledger)])

    def load():
        for known in loads:
            return known
        raise LedgerError("gone")

    auth = ApiKeyAuth(load, clock)
    assert auth.authorize(bearer(text), "quote") == "till"
    clock.move(3600)
    auth.refresh()
    assert error_of(auth, bearer(text)) == (401, "expired_key")


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
def test_a_malformed_header_is_refused_and_not_echoed(ledger, auth, authorization, error):
    issue(ledger)
    auth.refresh()
    raised = refusal(auth, authorization)
    assert (raised.status, raised.body["error"]) == (401, error)
    assert raised.headers == {"WWW-Authenticate": "Bearer"}
    assert "telltale" not in f"{raised} {raised.body}"


def test_above_its_rate_a_key_is_refused_with_the_seconds_to_wait(ledger, auth, clock):
    text = bearer(issue(ledger, per_second=2.0))
    auth.refresh()
    auth.authorize(text, "quote", cost=2)
    assert refusal(auth, text).headers == {"Retry-After": "1"}
    clock.move(0.5)
    auth.authorize(text, "quote")
    assert error_of(auth, text) == (429, "too_fast")


def test_two_keys_of_the_same_name_have_separate_rates(ledger, auth):
    texts = [bearer(issue(ledger, per_second=1.0)) for _ in range(2)]
    auth.refresh()
    assert [auth.authorize(text, "quote") for text in texts] == ["till", "till"]
    assert [error_of(auth, text)[0] for text in texts] == [429, 429]


def test_a_batch_above_the_rate_is_accepted_and_paid_back_before_the_next():
    bucket = TokenBucket()
    assert bucket.take(1_000, 100, NOON) == 0
    assert bucket.take(1, 100, NOON) == pytest.approx(9.01)
    assert bucket.take(1, 100, NOON + timedelta(seconds=9.01)) == 0


def test_a_batch_is_charged_after_its_size_is_known(ledger, auth):
    text = bearer(issue(ledger, per_second=1.0))
    auth.refresh()
    assert auth.authorize(text, "quote", cost=0) == auth.authorize(text, "quote", cost=50) == "till"
    assert error_of(auth, text, cost=0) == (429, "too_fast")


@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 20))), st.integers(1, 10))
def test_the_rate_is_never_exceeded_by_more_than_a_burst(requests, rate):
    bucket, now, spent = TokenBucket(), NOON, 0
    for pause, cost in requests:
        now += timedelta(milliseconds=pause)
        if bucket.take(cost, rate, now) == 0:
            earned = rate + rate * (now - NOON).total_seconds()
            assert spent + 1 <= earned + 1e-6
            spent += cost


def test_a_clock_that_is_set_back_does_not_block_a_key(ledger, auth, clock):
    text = bearer(issue(ledger, per_second=1.0))
    auth.refresh()
    auth.authorize(text, "quote")
    clock.move(-86_400)
    assert error_of(auth, text) == (429, "too_fast")
    clock.move(1)
    assert auth.authorize(text, "quote") == "till"


def test_a_revoked_key_is_refused_after_the_next_refresh(ledger, auth):
    text = issue(ledger)
    auth.refresh()
    assert auth.authorize(bearer(text), "quote") == "till"
    keys.revoke(ledger, id_of(text), NOON)
    auth.refresh()
    assert error_of(auth, bearer(text)) == (401, "revoked_key")


def test_if_the_ledger_cannot_be_read_the_known_keys_stay_valid(ledger, clock, caplog):
    text = issue(ledger)
    known = [keys.load(ledger)]

    def load():
        if known:
            return known.pop()
        raise LedgerError("The disk is gone. Received: ledger.db")

    auth = ApiKeyAuth(load, clock)
    auth.refresh()
    assert auth.authorize(bearer(text), "quote") == "till"
    assert "The disk is gone" in caplog.text


def test_every_request_is_refused_until_the_keys_have_been_read(tmp_path, clock):
    auth = ApiKeyAuth(
        key_loader(Settings(home=tmp_path, ledger_url="sqlite:////dev/null/x.db")), clock
    )
    assert not auth.open
    assert error_of(auth, None) == (503, "no_keys")


def test_the_keys_come_from_the_ledger_of_the_home(tmp_path, clock):
    settings = Settings(home=tmp_path)
    text = issue(open_ledger(settings.ledger))
    assert ApiKeyAuth(key_loader(settings), clock).authorize(bearer(text), "quote") == "till"


def test_the_log_says_whether_keys_are_required(ledger, clock, caplog):
    caplog.set_level(logging.WARNING, "pricebook.guard")
    auth = ApiKeyAuth(lambda: keys.load(ledger), clock)
    issue(ledger)
    auth.refresh()
    auth.refresh()
    assert [record.getMessage() for record in caplog.records] == [
        "API keys are not required: none was issued.",
        "API keys are on.",
    ]


def test_a_ledger_without_its_key_table_raises_a_ledger_error(tmp_path):
    ledger = open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}")
    issue(ledger)
    with ledger.begin() as session:
        session.connection().exec_driver_sql("DROP TABLE api_keys")
    with pytest.raises(LedgerError, match="cannot be read"):
        keys.load(ledger)


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs `pricebook keys ...` in an empty home; returns what it prints."""
    monkeypatch.setenv("PRICEBOOK_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")

    def run(*words):
        done = CliRunner().invoke(app, ["keys", *words])
        assert done.exit_code == 0, done.output
        return done.stdout.strip()

    return run


def test_the_command_issue_prints_only_the_key_and_the_key_is_accepted(command, tmp_path):
    text = command("issue", "till", "--scope", "quote", "--scope", "events", "--per-second", "50")
    auth = ApiKeyAuth(key_loader(Settings(home=tmp_path)), now)
    assert auth.authorize(bearer(text), "events") == "till"


def test_the_command_list_shows_scopes_and_status(command):
    assert "the service is open" in command()
    first = command("issue", "till [1]", "--scope", "quote", "--expires", "2999-01-01")
    second = command("rotate", id_of(first), "--overlap-hours", "0")
    assert id_of(second) in command("revoke", id_of(second))
    rows = [line.split() for line in command("list").splitlines()[1:]]
    assert {row[0]: row[-1] for row in rows} == {id_of(first): "expired", id_of(second): "revoked"}
    assert all(row[1:4] == ["till", "[1]", "quote"] for row in rows)


def test_the_command_rotate_signing_adds_a_key(command, tmp_path):
    settings = Settings(home=tmp_path)
    first = signing_keys(settings, NOON)
    made = command("rotate-signing").split()[0]
    assert set(signing_keys(settings, NOON)) == {made, *first}
