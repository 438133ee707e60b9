"""What the demo shows: its board without a terminal, and a summary that hides nothing."""

import io

import pytest
from rich.console import Console

from cli.demo.progress import Board, Step
from cli.demo.summary import Asked, Money, quotes, rows, verdict


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=110)


def _printed(console, *shown):
    for one in shown:
        console.print(one)
    return console.file.getvalue()


def test_without_a_terminal_each_change_is_a_line(console):
    board = Board(console)
    with board.show():
        for state, seconds in [("queued", None), ("running", 1.0), ("running", 2.0)]:
            board.put(Step("refresh ingest", state, seconds=seconds))
        board.put(Step("refresh ingest", "success", seconds=3.0))
    assert _printed(console).splitlines() == [
        "refresh ingest: running",
        "refresh ingest: success  3.0 s",
    ]


def test_a_step_that_raises_is_failed(console):
    board = Board(console)
    with pytest.raises(ValueError, match="no"), board.step("quotes"):
        raise ValueError("no")
    assert board.steps["quotes"].state == "failed"


CHECKED = {"rows": 10, "validated": 8, "quarantined": 2, "reasons": {"orders.quantity": 2}}


def test_rows_are_shown_to_be_conserved(console):
    shown = _printed(console, rows({"orders": 10}, {"tables": {"orders": CHECKED}}))
    assert "orders.quantity  2" in shown
    assert "Every row read is validated or quarantined." in shown


def test_rows_that_are_lost_are_told(console):
    shown = _printed(console, rows({"orders": 11}, {"tables": {"orders": CHECKED}}))
    assert "Rows are lost! orders: 11 read, 10 accounted for" in shown


def test_a_refusal_is_shown_with_its_figure(console):
    check = {"name": "bias", "passed": False, "figure": 0.31, "bar": 0.15, "reason": "too high"}
    shown = _printed(console, verdict({"passed": False, "checks": [check]}))
    assert "Verdict: refused" in shown
    assert all(word in shown for word in ("FAIL", "0.31", "0.15", "too high"))


def test_a_quote_is_shown_with_its_reasons(console):
    reasons = [
        {"rule": "step", "before": 199, "after": 179, "text": "not so far at once"},
        {"rule": "cost", "before": 179, "after": 179, "text": "cost: assumed"},
    ]
    quote = {"list_price": 199, "price": 179, "reasons": reasons}
    shown = _printed(console, quotes([Asked("Carrots", "anybody", quote)], Money("USD", 2)))
    assert "step: 1.99 → 1.79" in shown
    assert "cost: assumed" in shown
