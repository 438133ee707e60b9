"""Past quotes are found in the log, and the recorded model decides the same price again."""

import json
import shutil

import pytest
from test_quoter import START, Worker, home, set_limits, trained  # noqa: F401 (fixtures)
from typer.testing import CliRunner

from cli.main import app
from pipelines.champion import put_in_service
from pipelines.reports.replay import decide_again, find_quote
from pricebook.errors import ServiceError
from pricebook.events import Event


@pytest.fixture
def worker(home):  # noqa: F811
    """A worker whose champion was put in service, so that its bundle is kept."""
    set_limits(home, experiment={"explore": 0.3, "control": 0.1})
    built = home.state / "built"
    shutil.copytree(home.bundle, built)
    put_in_service(built, home)
    return Worker(home)


def run_quotes(worker, *words):
    settings = {"PRICEBOOK_HOME": str(worker.settings.home)}
    return CliRunner().invoke(app, ["quotes", *words], env=settings)


def test_every_quote_of_any_arm_is_decided_the_same_again(worker):
    worker.quote()
    worker.competitor_price(400)
    skus = ("milk", "bread", "honey")
    for customer in ("ann", "bob", "cid", *(f"c{n}" for n in range(40))):
        worker.quotes(*({"sku": sku, "customer_id": customer} for sku in skus))
    entries = worker.log_lines()
    arms = {entry["quote"]["arm"] for entry in entries}
    assert arms == {"champion", "control", "explore"}
    for entry in entries:
        offer, quote = decide_again(entry, worker.settings), entry["quote"]
        assert (offer.price, offer.propensity) == (quote["price"], quote["propensity"])


def test_a_quote_is_shown_with_its_reasons_and_its_orders(worker):
    quote = worker.quote(customer_id="ann")
    order = {"event_id": "o1", "quote_id": quote["quote_id"], "quantity": 3}
    worker.quote_log.append([b'{"order":%b}\n' % json.dumps(order).encode()] * 2, START)
    assert find_quote(quote["quote_id"], worker.settings).orders == [order]
    shown = run_quotes(worker, "show", quote["quote_id"])
    assert shown.exit_code == 0
    assert "the same" in shown.output


def test_a_price_that_differs_when_decided_again_is_reported(worker):
    quote = worker.quote("bread")
    set_limits(worker.settings, worker.settings.bundles / "verdict-1", max_markdown=0.01)
    shown = run_quotes(worker, "show", quote["quote_id"])
    assert (shown.exit_code, f"not {quote['price']}" in shown.output) == (1, True)


def test_a_quote_is_decided_the_same_after_its_models_were_promoted_with_other_limits(worker):
    quote, built = worker.quote("bread"), worker.settings.state / "built"
    set_limits(worker.settings, built, max_markdown=0.01)
    manifest = json.loads((built / "bundle.json").read_text())
    (built / "bundle.json").write_text(json.dumps(manifest | {"built_from": "verdict-1_again"}))
    put_in_service(built, worker.settings)
    assert "the same" in run_quotes(worker, "show", quote["quote_id"]).output


def test_an_unknown_quote_is_an_error(worker):
    worker.quote()
    with pytest.raises(ServiceError, match=r"\(1 files\)\. Received: unknown"):
        find_quote("unknown", worker.settings)


def test_a_quote_whose_bundle_was_deleted_is_an_error(worker):
    worker.quote()
    shutil.rmtree(worker.settings.bundles)
    with pytest.raises(ServiceError, match="has been deleted"):
        decide_again(worker.log_lines()[0], worker.settings)


def test_a_truncated_line_affects_no_other_line(worker):
    truncated, complete = worker.quote(), worker.quote("bread")
    (path,) = worker.settings.quote_log.iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0][:40] + b"\n" + lines[1])
    assert find_quote(complete["quote_id"], worker.settings).entry["quote"]["sku"] == "bread"
    with pytest.raises(ServiceError, match="No quote has this id"):
        find_quote(truncated["quote_id"], worker.settings)


def test_a_quote_that_was_logged_without_its_terms_is_an_error(worker):
    worker.quote()
    (entry,) = worker.log_lines()
    del entry["terms"]
    with pytest.raises(ServiceError, match="without its terms"):
        decide_again(entry, worker.settings)


def test_the_latest_quotes_are_listed(worker):
    ids = []
    for each in (worker, Worker(worker.settings, worker.clock, "0"), worker):
        ids.append(each.quote("bread")["quote_id"])
        worker.clock.advance(seconds=0.001)
    output = run_quotes(worker, "list", "--last", "2").output
    assert [quote_id in output for quote_id in ids] == [False, True, True]


def test_an_order_that_names_its_quote_is_in_the_quote_log(worker):
    quote = worker.quote(customer_id="ann")
    from serving.http.handlers import log_orders

    order = Event("o1", START, "order", "milk", quantity=2, quote_id=quote["quote_id"])
    log_orders(worker.quote_log, [order], START)
    assert find_quote(quote["quote_id"], worker.settings).orders[0]["quantity"] == 2
