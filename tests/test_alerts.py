"""The command `pricebook alerts`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cli.alerts import app
from ledger import Failure, clock, find_alert, list_alerts, open_ledger, raise_alert
from pricebook.config import Settings, Severity

SEEN = datetime(2026, 3, 2, 6, tzinfo=UTC)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("PRICEBOOK_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    settings = Settings()
    book = open_ledger(settings.ledger)
    sample = ({"row": 4, "sku": "[ghost]"},)
    for check, severity in (("orders.sku.known", "warning"), ("orders.rows", "critical")):
        failure = Failure("orders", check, Severity(severity), "why it matters", 4836, sample)
        raise_alert(book, failure, run="nightly", failed_at=SEEN)
    return settings


def run(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def test_list_shows_all_alerts_most_severe_first(settings: Settings):
    output = run("list").output
    assert output.index("orders.rows") < output.index("orders.sku.known")
    assert "4,836" in output
    assert "2026-03-02 06:00" in output


def test_list_filters_by_status_and_table(settings: Settings):
    run("resolve", "orders.rows")
    assert "orders.rows" not in run("list", "--status", "open").output
    assert "No alerts." in run("list", "--table", "products").output


def test_show_prints_the_reason_and_sample_rows(settings: Settings):
    output = run("show", "orders.sku.known").output
    assert "why it matters" in output
    assert "row=4, sku=[ghost]" in output


def test_assign_and_acknowledge_set_the_owner(settings: Settings):
    assert "open, owner ana" in run("assign", "1", "ana").output
    assert "acknowledged, owner bo" in run("acknowledge", "1", "--owner", "bo").output


def test_waive_records_the_last_day_and_the_reason(settings: Settings):
    until = clock.now().date() + timedelta(days=30)
    result = run("waive", "1", "--until", str(until), "--reason", "new supplier")
    assert f"waived until {until} (new supplier)" in result.output
    assert find_alert(open_ledger(settings.ledger), "1").is_waived(until)


@pytest.mark.parametrize("words", [(), ("--until", "2030-01-01"), ("--reason", "x")])
def test_waive_needs_a_day_and_a_reason(settings: Settings, words: tuple[str, ...]):
    assert run("waive", "1", *words).exit_code == 2


def test_waive_refuses_a_day_in_the_past(settings: Settings):
    result = run("waive", "1", "--until", "2001-01-01", "--reason", "x")
    assert (result.exit_code, "Received: 2001-01-01" in result.stderr) == (1, True)


def test_resolve_closes_an_alert_and_the_next_failure_reopens_it(settings: Settings):
    assert "resolved (reloaded)" in run("resolve", "1", "--reason", "reloaded").output
    book = open_ledger(settings.ledger)
    again = Failure("orders", "orders.sku.known", Severity.WARNING, "why", 1)
    raise_alert(book, again, run="next", failed_at=SEEN + timedelta(days=1))
    assert "open" in run("list", "--status", "open").output
    assert len(list_alerts(book)) == 2


def test_an_unknown_alert_is_a_one_line_error(settings: Settings):
    result = run("show", "nothing")
    assert (result.exit_code, "Received: 'nothing'" in result.stderr) == (1, True)
    assert "Traceback" not in result.output


def test_without_a_subcommand_alerts_are_listed(tmp_path, monkeypatch):
    monkeypatch.setenv("PRICEBOOK_HOME", str(tmp_path))
    plain, listed = (CliRunner().invoke(app, words) for words in ([], ["list"]))
    assert (plain.exit_code, plain.output) == (0, listed.output)
