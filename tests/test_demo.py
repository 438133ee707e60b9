"""What the demo prints: its steps without a terminal, and the tables of its summary."""

import io

import pandas as pd
import pytest
from rich.console import Console

from cli.demo import _print_next_steps
from cli.demo.progress import Step, StepDisplay
from cli.demo.requests import quote_requests
from cli.demo.summary import Money, SampleQuote, quotes, rows
from cli.verdicts import verdict_table
from pricebook.config import Settings
from pricebook.files import write_json


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=110)


def _printed(console, *renderables):
    for renderable in renderables:
        console.print(renderable)
    return console.file.getvalue()


def test_without_a_terminal_each_change_is_a_line(console):
    display = StepDisplay(console)
    with display.show():
        for state, seconds in [("queued", None), ("running", 1.0), ("running", 2.0)]:
            display.put(Step("refresh ingest", state, seconds=seconds))
        display.put(Step("refresh ingest", "success", seconds=3.0))
    assert _printed(console).splitlines() == [
        "refresh ingest: running",
        "refresh ingest: success  3.0 s",
    ]


def test_a_step_that_raises_is_marked_as_failed(console):
    display = StepDisplay(console)
    with pytest.raises(ValueError, match="no"), display.step("quotes"):
        raise ValueError("no")
    assert display.steps["quotes"].state == "failed"


CHECKED = {"rows": 10, "validated": 8, "quarantined": 2, "reasons": {"orders.quantity": 2}}


def test_the_summary_says_that_no_row_is_missing(console):
    text = _printed(console, rows({"orders": 10}, {"tables": {"orders": CHECKED}}))
    assert "orders.quantity  2" in text
    assert "Every row read is validated or quarantined." in text


def test_the_summary_names_tables_with_missing_rows(console):
    text = _printed(console, rows({"orders": 11}, {"tables": {"orders": CHECKED}}))
    assert "Rows are missing! orders: 11 read, 10 accounted for" in text


def test_a_refused_check_is_shown_with_its_figure(console):
    check = {"name": "bias", "passed": False, "figure": 0.31, "bar": 0.15, "reason": "too [high]"}
    text = _printed(console, verdict_table({"id": "v1", "passed": False, "checks": [check]}))
    assert "Verdict v1: refused" in text
    assert all(word in text for word in ("FAIL", "0.31", "0.15", "too [high]"))


def test_a_quote_is_shown_with_its_reasons(console):
    reasons = [
        {"rule": "step", "before": 199, "after": 179, "text": "not so far at once"},
        {"rule": "cost", "before": 179, "after": 179, "text": "cost: assumed"},
    ]
    quote = {"list_price": 199, "price": 179, "reasons": reasons}
    samples = [SampleQuote("Carrots", "anonymous", quote)]
    text = _printed(console, quotes(samples, Money("USD", 2)))
    assert "step: 1.99 → 1.79" in text
    assert "cost: assumed" in text


def test_without_a_champion_the_most_expensive_skus_of_the_price_list_are_requested(tmp_path):
    settings = Settings(home=tmp_path)
    settings.price_list.mkdir(parents=True)
    book = pd.DataFrame({"sku": list("abcdef"), "zone": "all", "list_price": range(6)})
    book.assign(name=None).to_parquet(settings.price_list / "price_book.parquet")
    assert [request.body["sku"] for request in quote_requests(settings)] == list("fedc")


@pytest.mark.parametrize("keep", [True, False])
def test_the_end_of_the_demo_names_the_page_of_mlflow(console, tmp_path, keep):
    settings = Settings(home=tmp_path, mlflow_port=5999)
    write_json(settings.report("validate"), {"data_docs": "file:///docs/index.html"})
    _print_next_steps(settings, keep, console)
    assert "http://127.0.0.1:5999" in _printed(console)
