"""Personal offers over several workers: budget, caps, purposes and the switch."""

import json
import random

import pytest
from test_quoter import START, Clock, Worker, home, set_limits, trained  # noqa: F401 (fixtures)

from pipelines.reports.replay import decide_again
from pricebook.config import Personal
from pricebook.events import Event
from pricebook.pricing.budget import OfferAccount, WorkerPart
from pricebook.pricing.quote import DISCLOSURE
from serving.state.worker_slot import WorkerSlot

SKUS = ("milk", "bread", "honey")


def open_worker(home, **personal):  # noqa: F811
    set_limits(home, personal=personal)
    return Worker(home)


def rules(quote):
    return [reason["rule"] for reason in quote["reasons"]]


def event(kind, at, sku="milk", customer_id="ann", **fields):
    return Event(f"{kind}-{at}", at, kind, sku, customer_id=customer_id, **fields)


def test_with_personal_offers_turned_off_nobody_has_one_and_no_shopper_is_looked_up(home):  # noqa: F811
    worker = open_worker(home, enabled=False)
    worker.quoter.shoppers.look_up = None  # a call would fail
    public = worker.quote()
    for customer in ("ann", "bob", "cid", "stranger"):
        for consent in (None, True, False):
            quote = worker.quote(customer_id=customer, consent=consent)
            assert (quote["price"], quote["disclosure"]) == (public["price"], None)
            assert quote["reasons"][-1]["text"] == "public_offer: personal offers are turned off"
    shoppers = [line["shopper"] for line in worker.log_lines()]
    assert {(shopper["segment"], shopper["consented"]) for shopper in shoppers} == {(None, None)}


def test_the_quote_log_has_the_expectation_of_a_personal_offer(home):  # noqa: F811
    worker = open_worker(home, budget=0.5)
    public, quote = worker.quote(), worker.quote(customer_id="ann")
    logged = [line["personal"] for line in worker.log_lines()]
    assert logged[0] is None
    assert logged[1]["public_price"] == public["price"] > quote["price"]
    assert logged[1]["profit"] > logged[1]["public_profit"] > 0
    assert not {"personal", "expectation"} & set(quote)


def test_beyond_the_budget_a_shopper_gets_the_public_offer_and_a_reason(home):  # noqa: F811
    worker = open_worker(home, budget=0.0)
    quote = worker.quote(customer_id="ann")
    assert (quote["price"], quote["disclosure"]) == (worker.quote()["price"], None)
    assert rules(quote)[-1] == "offer_budget"


def test_quotes_to_named_shoppers_fill_the_budget_and_anonymous_ones_do_not(home):  # noqa: F811
    worker = open_worker(home, budget=0.02)
    worker.quotes(*({"sku": "milk"} for _ in range(50)))
    assert rules(worker.quote(customer_id="ann"))[-1] == "offer_budget"
    worker.quotes(*({"sku": "milk", "customer_id": f"c{n}"} for n in range(20)))
    assert worker.quote("bread", customer_id="ann")["personalised"]


def test_a_shopper_has_at_most_so_many_personal_offers_a_day(home):  # noqa: F811
    worker = open_worker(home, budget=1.0, max_offers=1)
    assert worker.quote("milk", customer_id="ann")["personalised"]
    assert rules(worker.quote("bread", customer_id="ann"))[-1] == "shopper_cap"
    worker.clock.advance(days=1)
    assert worker.quote("bread", customer_id="ann")["personalised"]


def test_a_quote_that_is_still_valid_keeps_its_price_and_counts_once(home):  # noqa: F811
    worker = open_worker(home, budget=1.0, max_offers=1)
    first = worker.quote(customer_id="ann")
    assert first["personalised"]
    assert rules(worker.quote("bread", customer_id="ann"))[-1] == "shopper_cap"
    assert worker.quote(customer_id="ann") == first


def test_a_batch_keeps_the_cap(home):  # noqa: F811
    worker = open_worker(home, budget=1.0, max_offers=1)
    quotes = worker.quotes(*({"sku": sku, "customer_id": "ann"} for sku in SKUS))
    assert [quote["personalised"] for quote in quotes] == [True, False, False]


def test_a_restarted_worker_knows_what_it_has_given(home):  # noqa: F811
    worker = open_worker(home, budget=1.0, max_offers=1)
    worker.quote(customer_id="ann")
    restarted = Worker(home, worker.clock, writer="2")
    restarted.quoter.catch_up()
    assert rules(restarted.quote("bread", customer_id="ann"))[-1] == "shopper_cap"


@pytest.mark.parametrize("seed", range(2))
def test_workers_and_restarts_in_any_order_keep_budget_and_caps(home, seed):  # noqa: F811
    set_limits(home, personal={"budget": 0.02, "max_offers": 3}, ttl_seconds=1)
    clock, chooser, started = Clock(), random.Random(seed), iter(range(100))

    def start(number):
        account = OfferAccount(WorkerPart(number, 2))
        worker = Worker(home, clock, writer=f"w{next(started)}", account=account)
        worker.quoter.catch_up()
        return worker

    workers = [start(0), start(1)]
    for _ in range(120):
        number = chooser.randrange(2)
        if chooser.random() < 0.06:
            workers[number] = start(number)
        fields = {"customer_id": chooser.choice(["ann", "cid", "c1", None]), "consent": True}
        workers[number].quote(chooser.choice(SKUS), **fields, quantity=chooser.randint(1, 3))
        workers[1 - number].quoter.catch_up()
        clock.advance(seconds=2)
    lines = [line for line in workers[0].log_lines() if line["shopper"]["customer_id"]]
    personal = [line for line in lines if line["personal"]]
    value = sum(line["quote"]["price"] * line["quantity"] for line in lines)
    discount = sum(
        (line["personal"]["public_price"] - line["quote"]["price"]) * line["quantity"]
        for line in personal
    )
    assert 0 < discount <= 0.02 * value
    assert len(personal) == 3  # only ann is price-sensitive
    withheld = {line["quote"]["reasons"][-1]["rule"] for line in lines}
    assert {"personal", "offer_budget", "shopper_cap"} <= withheld


def test_a_cart_that_was_left_lowers_the_price_of_its_sku_for_its_shopper_only(home):  # noqa: F811
    worker = open_worker(home, budget=1.0)
    before = worker.quote(customer_id="cid")
    worker.live.add([event("cart", START, customer_id="cid")], START)
    worker.clock.advance(minutes=60)
    after = worker.quote(customer_id="cid")
    assert after["price"] < before["price"] == worker.quote()["price"]
    assert "abandoned_cart" in after["reasons"][-1]["text"]
    assert after["disclosure"] == DISCLOSURE
    assert not worker.quote("bread", customer_id="cid")["personalised"]


@pytest.mark.parametrize("case", ["ordered", "no consent", "too early"])
def test_a_cart_has_no_effect_if_ordered_without_consent_or_too_early(home, case):  # noqa: F811
    worker = open_worker(home, budget=1.0)
    worker.live.add([event("cart", START, customer_id="cid")], START)
    if case == "ordered":
        worker.live.add([event("order", START, customer_id="cid", quantity=1)], START)
    worker.clock.advance(minutes=59 if case == "too early" else 90)
    quote = worker.quote(customer_id="cid", consent=case != "no consent")
    assert (quote["price"], quote["personalised"]) == (worker.quote()["price"], False)


def test_a_shopper_about_to_lapse_gets_a_lower_price(home):  # noqa: F811
    worker = open_worker(home, budget=1.0, lapsing_segments=["regular"])
    quote = worker.quote(customer_id="cid")
    assert quote["price"] < worker.quote()["price"]
    assert "lapsing" in quote["reasons"][-1]["text"]


def test_offers_with_a_purpose_or_withheld_are_decided_the_same_again(home):  # noqa: F811
    worker = open_worker(home, budget=1.0, max_offers=1, lapsing_segments=["regular"])
    for customer in ("ann", "cid"):
        worker.quotes(*({"sku": sku, "customer_id": customer} for sku in SKUS))
    keep_bundle(home)
    entries = worker.log_lines()
    assert {entry["terms"]["withheld"] for entry in entries} == {"", "shopper_cap"}
    assert {entry["terms"]["purpose"] for entry in entries} == {"", "lapsing"}
    for entry in entries:
        assert decide_again(entry, worker.settings).price == entry["quote"]["price"]


def test_a_line_of_an_earlier_version_is_decided_again_and_counts_no_discount(home):  # noqa: F811
    worker = open_worker(home, budget=1.0)
    worker.quote(customer_id="ann")
    keep_bundle(home)
    (entry,) = worker.log_lines()
    for key in ("personal", "worker"):
        del entry[key]
    for key in ("purpose", "withheld"):
        del entry["terms"][key]
    assert decide_again(entry, worker.settings).price == entry["quote"]["price"]
    (file,) = home.quote_log.iterdir()
    file.write_text(json.dumps(entry) + "\n")
    restarted = Worker(home, worker.clock, writer="2")
    restarted.quoter.catch_up()
    assert restarted.quoter.account.totals(START.date(), Personal()) == (0, 0)
    assert restarted.quote(customer_id="ann")["quote_id"] == entry["quote"]["quote_id"]


def keep_bundle(home):  # noqa: F811
    """Put the champion where `promote` keeps it for replays."""
    import shutil

    shutil.copytree(home.bundle, home.bundles / "verdict-1")


def test_the_public_group_of_an_experiment_gets_the_public_offer(home):  # noqa: F811
    set_limits(home, experiment={"public": 1.0})
    worker = Worker(home)
    quote = worker.quote(customer_id="ann")
    assert (quote["arm"], quote["personalised"]) == ("public", False)
    assert quote["price"] == worker.quote()["price"]


def test_live_workers_have_different_slots_and_a_replacement_takes_the_free_one(tmp_path):
    first, second = WorkerSlot(tmp_path, 2), WorkerSlot(tmp_path, 2)
    assert [first.part, second.part] == [WorkerPart(0, 2), WorkerPart(1, 2)]
    assert WorkerSlot(tmp_path, 2, patience=0.1).part.workers == 0
    first.close()
    assert WorkerSlot(tmp_path, 2).part == WorkerPart(0, 2)
