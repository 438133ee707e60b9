"""Past quotes are found in the log, and come out the same when they are decided anew."""

import json
import shutil

import pytest
from test_quoter import START, Shop, home, limited, trained  # noqa: F401 (fixtures)
from typer.testing import CliRunner

from cli.main import app
from pipelines.champion import put_in_service
from pipelines.reports.replay import decided_anew, past
from pricebook.errors import ServiceError
from pricebook.events import Event


@pytest.fixture
def shop(home):  # noqa: F811
    limited(home, experiment={"explore": 0.3, "control": 0.1})
    kept = home.state / "made"
    shutil.copytree(home.bundle, kept)
    put_in_service(kept, home)
    return Shop(home)


def told(shop, *words):
    settings = {"PRICEBOOK_HOME": str(shop.settings.home)}
    return CliRunner().invoke(app, ["quotes", *words], env=settings)


def test_every_quote_of_any_arm_comes_out_the_same(shop):
    shop.quote()
    shop.rival(400)
    for customer in ("ann", "bob", "cid", *(f"c{n}" for n in range(40))):
        shop.quotes(*({"sku": sku, "customer_id": customer} for sku in ("milk", "bread", "honey")))
    entries = shop.logged()
    arms = {entry["quote"]["arm"] for entry in entries}
    assert arms == {"champion", "control", "explore"}
    for entry in entries:
        anew = decided_anew(entry, shop.settings)
        assert (anew.price, anew.propensity) == (
            entry["quote"]["price"],
            entry["quote"]["propensity"],
        )


def test_a_quote_is_shown_with_its_reasons_and_its_orders(shop):
    quote = shop.quote(customer_id="ann")
    order = {"event_id": "o1", "quote_id": quote["quote_id"], "quantity": 3}
    shop.journal.append([b'{"order":%b}\n' % json.dumps(order).encode()] * 2, START)
    assert past(quote["quote_id"], shop.settings).orders == [order]
    shown = told(shop, "show", quote["quote_id"])
    assert shown.exit_code == 0
    assert "the same" in shown.output


def test_a_price_that_no_longer_comes_out_is_told(shop):
    quote = shop.quote("bread")
    limited(shop.settings, shop.settings.bundles / "verdict-1", max_markdown=0.01)
    shown = told(shop, "show", quote["quote_id"])
    assert (shown.exit_code, f"not {quote['price']}" in shown.output) == (1, True)


def test_a_quote_comes_out_the_same_after_its_pair_was_promoted_under_other_limits(shop):
    quote, again = shop.quote("bread"), shop.settings.state / "made"
    limited(shop.settings, again, max_markdown=0.01)
    about = json.loads((again / "bundle.json").read_text())
    (again / "bundle.json").write_text(json.dumps(about | {"built_from": "verdict-1_again"}))
    put_in_service(again, shop.settings)
    assert "the same" in told(shop, "show", quote["quote_id"]).output


def test_a_quote_nobody_gave_is_refused(shop):
    shop.quote()
    with pytest.raises(ServiceError, match=r"in 1 files of the log\. Received: nobody"):
        past("nobody", shop.settings)


def test_a_quote_whose_bundle_has_gone_is_refused(shop):
    shop.quote()
    shutil.rmtree(shop.settings.bundles)
    with pytest.raises(ServiceError, match="not kept any more"):
        decided_anew(shop.logged()[0], shop.settings)


def test_a_line_cut_short_spoils_no_other(shop):
    cut, whole = shop.quote(), shop.quote("bread")
    (path,) = shop.settings.quote_log.iterdir()
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0][:40] + b"\n" + lines[1])
    assert past(whole["quote_id"], shop.settings).entry["quote"]["sku"] == "bread"
    with pytest.raises(ServiceError, match="No quote of this id"):
        past(cut["quote_id"], shop.settings)


def test_a_quote_logged_before_its_terms_were_is_refused(shop):
    shop.quote()
    (entry,) = shop.logged()
    del entry["terms"]
    with pytest.raises(ServiceError, match="before its terms were"):
        decided_anew(entry, shop.settings)


def test_the_latest_quotes_are_listed(shop):
    ids = []
    for worker in (shop, Shop(shop.settings, shop.clock, "0"), shop):
        ids.append(worker.quote("bread")["quote_id"])
        shop.clock.wait(seconds=0.001)
    listed = told(shop, "list", "--last", "2").output
    assert [name in listed for name in ids] == [False, True, True]


def test_an_order_that_names_its_quote_is_in_the_quote_log(shop):
    quote = shop.quote(customer_id="ann")
    from serving.http.handlers import log_orders

    order = Event("o1", START, "order", "milk", quantity=2, quote_id=quote["quote_id"])
    log_orders(shop.journal, [order], START)
    assert past(quote["quote_id"], shop.settings).orders[0]["quantity"] == 2
