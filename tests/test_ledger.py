"""The ledger: alerts and their status, verdicts, published prices."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from ledger import (
    Alert,
    Failure,
    Ledger,
    PublishedPrice,
    Status,
    acknowledge,
    assign,
    find_alert,
    last_price,
    last_verdicts,
    list_alerts,
    open_ledger,
    publish,
    raise_alert,
    record_passes,
    record_verdict,
    resolve,
    waive,
    waived_fingerprints,
)
from pricebook.config import Severity
from pricebook.errors import LedgerError

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
TODAY = NOON.date()
ORPHANS = Failure(
    "orders", "orders.sku.known", Severity.WARNING, "not in products.sku", 3, ({"sku": "ghost"},)
)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return open_ledger(f"sqlite:///{tmp_path / 'deep' / 'ledger.db'}")


def fail(ledger: Ledger, days: int = 0, failure: Failure = ORPHANS, run: str = "nightly") -> Alert:
    return raise_alert(ledger, failure, run=run, failed_at=NOON + timedelta(days=days))


def test_a_failure_becomes_an_open_alert_with_its_facts(ledger: Ledger):
    alert = fail(ledger)
    assert (alert.status, alert.count, alert.sample) == (Status.OPEN, 3, ({"sku": "ghost"},))
    assert (alert.first_seen, alert.last_seen, alert.occurrences) == (NOON, NOON, 1)


def test_a_repeated_failure_updates_its_alert(ledger: Ledger):
    fail(ledger)
    alert = fail(ledger, days=1, failure=replace(ORPHANS, count=5), run="again")
    assert [alert] == list(list_alerts(ledger))
    assert (alert.count, alert.run, alert.occurrences) == (5, "again", 2)
    assert (alert.first_seen, alert.last_seen) == (NOON, NOON + timedelta(days=1))


def test_a_fingerprint_is_the_same_in_another_ledger(ledger: Ledger, tmp_path: Path):
    other = open_ledger(f"sqlite:///{tmp_path / 'other.db'}")
    assert fail(ledger).fingerprint == fail(other).fingerprint


def test_a_resolved_alert_reopens_when_its_check_fails_again(ledger: Ledger):
    fail(ledger)
    assert resolve(ledger, "orders.sku.known", "reloaded").status is Status.RESOLVED
    alert = fail(ledger, days=1)
    assert (alert.status, alert.reason) == (Status.OPEN, None)


def test_an_acknowledged_alert_stays_acknowledged_and_keeps_its_owner(ledger: Ledger):
    fail(ledger)
    acknowledge(ledger, "1", owner="ana")
    alert = fail(ledger, days=1)
    assert (alert.status, alert.owner) == (Status.ACKNOWLEDGED, "ana")


@pytest.mark.parametrize(
    ("days", "status"), [(1, Status.WAIVED), (2, Status.WAIVED), (3, Status.OPEN)]
)
def test_a_waiver_lasts_through_its_day(ledger: Ledger, days: int, status: Status):
    fail(ledger)
    waive(ledger, "1", until=TODAY + timedelta(days=2), reason="supplier knows", today=TODAY)
    day = TODAY + timedelta(days=days)
    assert bool(waived_fingerprints(ledger, day)) is (status is Status.WAIVED)
    assert fail(ledger, days=days).status is status


def test_a_waiver_needs_a_reason_and_must_not_end_in_the_past(ledger: Ledger):
    fail(ledger)
    with pytest.raises(LedgerError, match=r"needs a reason. Received: ' '"):
        waive(ledger, "1", until=TODAY, reason=" ", today=TODAY)
    with pytest.raises(LedgerError, match=r"Received: 2026-03-01"):
        waive(ledger, "1", until=date(2026, 3, 1), reason="late", today=TODAY)


def test_a_pass_is_recorded_and_does_not_change_the_status(ledger: Ledger):
    fail(ledger)
    later = NOON + timedelta(days=1)
    record_passes(ledger, [("orders", "orders.sku.known"), ("orders", "orders.rows")], at=later)
    (alert,) = list_alerts(ledger)
    assert (alert.last_passed, alert.status) == (later, Status.OPEN)


def test_an_alert_is_found_by_id_check_or_fingerprint_prefix(ledger: Ledger):
    alert = fail(ledger)
    for key in ("1", "orders.sku.known", alert.fingerprint, alert.fingerprint[:4]):
        assert find_alert(ledger, key) == alert


@pytest.mark.parametrize("key", ["7", "", "%", "nothing", "99999999999999999999"])
def test_an_unknown_alert_is_an_error_that_names_the_key(ledger: Ledger, key: str):
    fail(ledger)
    with pytest.raises(LedgerError, match=f"Received: '{key}'"):
        assign(ledger, key, "ana")


def test_alerts_are_sorted_by_severity_and_filtered_by_status_or_table(ledger: Ledger):
    fail(ledger)
    grave = fail(ledger, failure=replace(ORPHANS, check="orders.rows", severity=Severity.CRITICAL))
    other = fail(ledger, failure=replace(ORPHANS, table="promotions", check="promotions.sku.known"))
    assign(ledger, "1", "ana")
    resolve(ledger, "1")
    assert list_alerts(ledger)[0] == grave
    assert list_alerts(ledger, table="promotions") == (other,)
    assert [alert.id for alert in list_alerts(ledger, status=Status.RESOLVED)] == [1]


def test_concurrent_runs_count_every_occurrence(ledger: Ledger):
    threads = [threading.Thread(target=lambda: [fail(ledger) for _ in range(5)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (alert,) = list_alerts(ledger)
    assert alert.occurrences == 20


def test_a_time_without_a_zone_is_an_error(ledger: Ledger):
    with pytest.raises(Exception, match="needs a zone"):
        raise_alert(ledger, ORPHANS, run="x", failed_at=datetime(2026, 3, 2))  # noqa: DTZ001


@pytest.mark.parametrize("url", ["nonsense", "sqlite:////dev/null/ledger.db", "oracle9://x"])
def test_a_ledger_that_cannot_be_opened_is_an_error(url: str):
    with pytest.raises(LedgerError, match=r"cannot be opened"):
        open_ledger(url)


def test_an_error_never_shows_the_password():
    with pytest.raises(LedgerError) as raised:
        open_ledger("postgresql+nodriver://ana:secret@localhost/ledger")
    assert "secret" not in str(raised.value)


def verdict(name: str, passed: bool = True) -> dict[str, object]:
    return {"id": name, "as_of": "2026-03-02", "passed": passed, "checks": [{"name": "bias"}]}


def test_verdicts_are_stored_whole_and_listed_newest_first(ledger: Ledger):
    for day, name in enumerate(("first", "second", "third")):
        record_verdict(ledger, verdict(name), created_at=NOON + timedelta(days=day))
    assert [verdict.id for verdict in last_verdicts(ledger, 2)] == ["third", "second"]
    assert last_verdicts(ledger, 1)[0].body == verdict("third")


def test_recording_a_verdict_again_replaces_it(ledger: Ledger):
    for passed in (True, False):
        record_verdict(ledger, verdict("one", passed), created_at=NOON)
    (recorded,) = last_verdicts(ledger)
    assert recorded.passed is False


def test_a_verdict_without_an_id_is_an_error(ledger: Ledger):
    with pytest.raises(LedgerError, match=r"needs 'id'"):
        record_verdict(ledger, {"as_of": "2026-03-02"}, created_at=NOON)


def test_the_price_in_force_is_the_last_one_that_took_effect(ledger: Ledger):
    prices = [
        PublishedPrice("ale", "all", price, NOON + timedelta(days=day), NOON)
        for day, price in enumerate((499, 479))
    ]
    assert publish(ledger, prices) == 2
    assert last_price(ledger, "ale", "all", at=NOON) == prices[0]
    assert last_price(ledger, "ale", "all", at=NOON + timedelta(days=9)) == prices[1]
    assert last_price(ledger, "ale", "all", at=NOON - timedelta(seconds=1)) is None
