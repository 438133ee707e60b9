"""The public prices of a service: recorded, shared by workers, and summarised by promote."""

import json
import shutil
from datetime import date, timedelta

import pandas as pd
import pytest
from test_quoter import START, Worker, home, set_limits, trained  # noqa: F401 (fixtures)
from typer.testing import CliRunner

from cli.main import app
from cli.servers import price_service
from ledger.public_prices import read_record
from pipelines.reports.public_prices import last_public_prices, rebuild, summarise
from pipelines.reports.replay import decide_again
from pricebook.files import read_json, write_json
from pricebook.pricing.prior_price import PriceHistory
from serving.quotes.offers import Offers


@pytest.fixture
def shop(home):  # noqa: F811
    """A home whose prices follow the cheapest competitor."""
    set_limits(home, max_markdown=0.5)
    return home


@pytest.fixture
def worker(shop):
    return Worker(shop)


def discount(quote):
    """The price, and the price that a discount is announced against."""
    return quote["price"], quote["discount_from"]


def priced(worker, competitor, **fields):
    """Price and discount of milk after a competitor changed its price."""
    worker.competitor_price(competitor)
    return discount(worker.quote(**fields))


def history(worker, sku="milk", zone="all"):
    return read_record(worker.settings.public_prices)[sku, zone].history


def change_book(settings, **columns):
    """Change columns of the price book in the champion's folder."""
    path = settings.bundle / "price_book.parquet"
    pd.read_parquet(path).assign(**columns).to_parquet(path)
    write_json(settings.bundle / "bundle.json", read_json(settings.bundle / "bundle.json"))


# From a quote to the next


def test_an_offer_kept_after_its_record_is_what_would_be_decided_again(worker):
    first = worker.quote(customer_id=None)
    worker.quoter.champion.offers._cache.clear()
    again = worker.quote(customer_id=None)
    assert {k: first[k] for k in ("price", "lowest_30d", "discount_from", "reasons")} == {
        k: again[k] for k in ("price", "lowest_30d", "discount_from", "reasons")
    }


def test_before_any_quote_the_prior_price_is_the_lowest_price_of_the_price_book(worker):
    assert priced(worker, 360) == (359, 480)


def test_before_any_quote_a_lower_list_price_is_the_prior_price(shop):
    change_book(shop, lowest_30d=600)
    assert priced(Worker(shop), 360) == (359, 500)


def test_the_prior_price_stays_the_same_while_the_reduction_continues(worker):
    priced(worker, 360)
    for _ in range(4):
        worker.clock.advance(days=20)
        assert priced(worker, 360) == (359, 480)


def test_a_public_offer_of_a_month_is_the_prior_price_of_the_next_reduction(worker):
    priced(worker, 380)
    worker.clock.advance(days=31)
    assert priced(worker, 360) == (359, 379)


def test_after_a_competitor_raised_its_price_the_lower_price_counts_for_30_days(worker):
    priced(worker, 360)
    worker.clock.advance(days=1)
    assert priced(worker, 400) == (399, None)
    worker.clock.advance(days=20)
    assert priced(worker, 380) == (379, None)
    worker.clock.advance(days=20)
    assert priced(worker, 360) == (359, 379)


def test_the_list_price_of_a_sku_that_is_sold_out_ends_its_reduction(worker):
    from pricebook.events import Event

    priced(worker, 360)
    worker.clock.advance(days=1)
    for hours, on_hand in enumerate((0, 5)):
        worker.clock.advance(hours=1)
        stock = Event(f"s{hours}", worker.clock(), "stock", "milk", on_hand=on_hand)
        worker.live.add([stock], worker.clock())
        price, announced = priced(worker, 360)
        assert (price, announced) == (359 if on_hand else 500, None)


def test_list_prices_while_the_kill_switch_is_on_end_a_reduction(worker):
    priced(worker, 360)
    worker.settings.kill_switch.write_text("a wrong cost file\n")
    worker.clock.advance(hours=1)
    assert priced(worker, 360) == (500, None)
    worker.settings.kill_switch.unlink()
    worker.clock.advance(hours=1)
    assert priced(worker, 360) == (359, None)


def test_list_prices_of_some_seconds_do_not_end_a_reduction(worker):
    priced(worker, 360)
    worker.settings.kill_switch.write_text("a mistake\n")
    worker.clock.advance(hours=1)
    priced(worker, 360)
    worker.settings.kill_switch.unlink()
    worker.clock.advance(seconds=30)
    assert priced(worker, 360) == (359, 480)


def test_zones_have_separate_histories(worker):
    north, south = ({"sku": "cola", "zone": zone} for zone in ("north", "south"))
    assert worker.quotes(north)[0]["lowest_30d"] == 150
    assert set(read_record(worker.settings.public_prices)) == {("cola", "north")}
    worker.clock.advance(days=40)
    assert worker.quotes(south)[0]["lowest_30d"] == 160
    assert history(worker, "cola", "south").spans[-1].start == worker.clock()
    assert history(worker, "cola", "north").spans[-1].start == START


def test_a_new_champion_changes_the_public_price_and_not_its_history(worker):
    priced(worker, 380)
    worker.clock.advance(days=40)
    change_book(worker.settings, list_price=350, lowest_30d=320)
    worker.quoter.champion.refresh()
    assert priced(worker, 500) == (350, 379)
    worker.clock.advance(days=40)
    change_book(worker.settings, list_price=500, lowest_30d=320)
    worker.quoter.champion.refresh()
    assert priced(worker, 400) == (399, None)


def test_a_new_sku_is_quoted_without_a_discount_for_30_days(shop):
    change_book(shop, sold_since=START.date() - timedelta(days=10))
    worker = Worker(shop)
    assert priced(worker, 410) == (409, None)
    worker.clock.advance(days=31)
    assert priced(worker, 360) == (359, 409)


def test_a_sku_that_was_never_sold_has_no_prior_price_at_its_first_quote(shop):
    change_book(shop, sold_since=pd.Series([None] * 6, dtype="object"))
    set_limits(shop, max_markdown=0.5, prior_price={"new_products": "shorter"})
    worker = Worker(shop)
    quote = worker.quote()
    assert (quote["lowest_30d"], quote["discount_from"]) == (None, None)
    worker.clock.advance(days=1)
    assert priced(worker, 320)[1] == quote["price"]


def test_no_discount_of_a_perishable_is_announced_if_the_shop_excludes_it(shop):
    set_limits(shop, max_markdown=0.5, prior_price={"perishables": {"DAIRY": None}})
    worker = Worker(shop)
    assert priced(worker, 360) == (359, None)
    assert worker.quote("bread")["lowest_30d"] == 400


def test_by_setting_a_reduction_that_grows_keeps_its_first_prior_price(shop):
    set_limits(shop, max_markdown=0.5, prior_price={"progressive": True})
    worker = Worker(shop)
    assert priced(worker, 380) == (379, 480)
    worker.clock.advance(days=5)
    assert priced(worker, 360) == (359, 480)


# Prices for some shoppers


def test_a_personal_offer_does_not_change_the_public_price(worker):
    own, public = worker.quote(customer_id="ann"), worker.quote()
    assert own["personalised"]
    assert history(worker).price == public["price"] > own["price"]
    assert worker.quote(customer_id="ann", consent=True)["discount_from"] == public["price"]


def test_an_explored_price_counts_if_an_anonymous_shopper_could_get_it_and_it_is_lower(shop):
    worker = Worker(shop)
    usual = worker.quote()["price"]
    set_limits(shop, max_markdown=0.5, experiment={"explore": 1.0})
    worker.quoter.champion.refresh()
    drawn = [worker.quote(customer_id=f"c{n}")["price"] for n in range(40)]
    assert min(drawn) < usual == history(worker).price
    for _ in range(20):
        worker.clock.advance(hours=1)
        drawn.append(worker.quote()["price"])
    assert history(worker).price == min(usual, *drawn[40:]) < usual


def test_the_list_price_of_the_control_arm_does_not_end_a_reduction(shop):
    worker = Worker(shop)
    usual = worker.quote()["price"]
    set_limits(shop, max_markdown=0.5, experiment={"control": 1.0})
    worker.quoter.champion.refresh()
    assert (worker.quote()["price"], history(worker).price) == (500, usual)


# Workers, restarts and faults


def test_a_restarted_worker_knows_the_public_prices(worker):
    priced(worker, 380)
    worker.clock.advance(days=31)
    priced(worker, 360)
    worker.clock.advance(days=31)
    restarted = Worker(worker.settings, worker.clock, writer="2")
    assert priced(restarted, 360) == (359, 379)


def test_two_workers_have_the_same_history(shop):
    first = Worker(shop)
    second = Worker(shop, first.clock, writer="2")
    for competitor in (380, 360, 390, 340):
        for worker in (first, second):
            worker.clock.advance(days=1)
            quote = priced(worker, competitor)
            for other in (first, second):
                other.public_prices.catch_up()
                other.live.catch_up()
                assert discount(other.quote()) == quote
    place = ("milk", "all")
    assert first.public_prices.get(place) == second.public_prices.get(place)


def test_a_swap_that_one_worker_makes_later_starts_one_reduction(shop):
    first = Worker(shop)
    second = Worker(shop, first.clock, writer="2")
    usual = first.quote()["price"]
    first.clock.advance(days=40)
    change_book(shop, list_price=350)
    first.quoter.champion.refresh()
    prices = []
    for worker in (first, second) * 3:
        first.clock.advance(seconds=0.2)
        worker.public_prices.catch_up()
        prices.append(discount(worker.quote()))
    second.quoter.champion.refresh()
    second.public_prices.catch_up()
    assert prices == [(350, usual), (usual, None)] * 3
    assert discount(first.quote()) == discount(second.quote()) == (350, usual)


def test_a_price_that_could_not_be_recorded_is_recorded_at_the_next_quote(worker):
    folder = worker.settings.public_prices
    shutil.rmtree(folder)
    folder.write_text("not a folder")
    before = priced(worker, 360)
    folder.unlink()
    folder.mkdir()
    assert priced(worker, 360) == before == (359, 480)
    assert history(worker).price == 359


def test_a_damaged_line_of_the_record_is_skipped_and_logged(worker, caplog):
    priced(worker, 360)
    (path,) = worker.settings.public_prices.iterdir()
    path.write_bytes(b'{"sku": "milk"}\n{"sku\n' + path.read_bytes())
    restarted = Worker(worker.settings, worker.clock, writer="2")
    assert priced(restarted, 360) == (359, 480)
    assert caplog.text.count("A line of the record of public prices is damaged") == 2


def test_quotes_with_discounts_are_decided_the_same_again(worker):
    from pipelines.champion import put_in_service

    built = worker.settings.state / "built"
    shutil.copytree(worker.settings.bundle, built)
    put_in_service(built, worker.settings)
    for competitor in (380, 360, 400):
        priced(worker, competitor)
        priced(worker, competitor, customer_id="ann")
        worker.clock.advance(days=1)
    for entry in worker.log_lines():
        offer, quote = decide_again(entry, worker.settings), entry["quote"]
        again = (offer.price, offer.lowest_30d, offer.discount_from)
        assert again == (quote["price"], quote["lowest_30d"], quote["discount_from"])


def test_a_quote_is_decided_again_only_if_its_public_price_changed(worker, monkeypatch):
    decided = []
    decide = Offers._decide
    monkeypatch.setattr(
        Offers, "_decide", lambda self, keys, now: decided.append(keys) or decide(self, keys, now)
    )
    for _ in range(5):
        worker.quote()
        worker.quote("bread")
    assert len(decided) == 2


# The summary, the quote log and the price book


def traded(worker):
    """Quotes of some weeks: public, personal, of other skus, and at list price after a failure."""
    for number, competitor in enumerate((380, 360, 400, 400, 340)):
        priced(worker, competitor)
        priced(worker, competitor, customer_id="ann")
        worker.quote("bread")
        if number == 2:
            worker.settings.kill_switch.write_text("a test\n")
            priced(worker, competitor)
            worker.settings.kill_switch.unlink()
        worker.clock.advance(days=9)
    return worker


def test_a_worker_that_starts_from_the_summary_has_the_same_history(worker):
    record = read_record(traded(worker).settings.public_prices)
    summarise(worker.settings)
    through = date.fromisoformat(
        read_json(worker.settings.public_prices / "summary.json")["through"][:10]
    )
    for path in worker.settings.public_prices.glob("changes-*"):
        if date.fromisoformat(path.stem[8:]) <= through:
            path.write_text("this day is not read again\n")
    assert read_record(worker.settings.public_prices) == record
    restarted = Worker(worker.settings, worker.clock, writer="2")
    assert restarted.public_prices.get(("milk", "all")) == record["milk", "all"]


def test_the_record_can_be_built_again_from_the_quote_log(worker):
    record = read_record(traded(worker).settings.public_prices)
    shutil.rmtree(worker.settings.public_prices)
    assert rebuild(worker.settings) == record == read_record(worker.settings.public_prices)


def test_the_record_of_two_workers_can_be_built_again_from_their_logs(shop):
    first = Worker(shop)
    second = Worker(shop, first.clock, writer="0")
    for number, competitor in enumerate((380, 360, 390)):
        first.clock.advance(hours=1)
        priced((first, second)[number % 2], competitor)
        first.public_prices.catch_up(), second.public_prices.catch_up()
    record = read_record(shop.public_prices)
    shutil.rmtree(shop.public_prices)
    assert rebuild(shop) == record


def test_the_last_public_price_of_a_sku_is_the_last_that_was_decided(worker):
    priced(worker, 360)
    worker.clock.advance(days=1)
    worker.settings.kill_switch.write_text("a test\n")
    priced(worker, 360)
    assert history(worker).price == 500
    book = pd.DataFrame({"sku": ["bread", "milk"], "zone": ["all", None]})
    assert last_public_prices(book, worker.settings).tolist() == [pd.NA, 359]


def test_a_home_of_an_earlier_version_gets_its_record_when_the_service_starts(worker):
    priced(worker, 360)
    record = read_record(worker.settings.public_prices)
    shutil.rmtree(worker.settings.public_prices)
    price_service.plan(worker.settings).prepare(worker.settings.state)
    assert read_record(worker.settings.public_prices) == record
    book = pd.DataFrame({"sku": ["milk"], "zone": ["all"]})
    assert last_public_prices(book, worker.settings).tolist() == [359]


def test_a_record_is_built_again_on_request_and_keeps_what_was_quoted_since(worker):
    priced(worker, 360)
    variables = {"PRICEBOOK_HOME": str(worker.settings.home)}
    run = CliRunner().invoke(app, ["quotes", "rebuild"], env=variables)
    assert "1 skus have public prices." in run.output
    worker.clock.advance(days=40)
    priced(worker, 340)
    restarted = Worker(worker.settings, worker.clock, writer="2")
    assert priced(restarted, 340) == (339, 359)


def test_without_quotes_there_are_no_public_prices(shop):
    book = pd.DataFrame({"sku": ["milk"], "zone": ["all"]})
    assert last_public_prices(book, shop).isna().all()
    summarise(shop)
    assert read_record(shop.public_prices) == {}


def test_a_damaged_summary_is_logged_and_the_record_read_instead(worker, caplog):
    priced(worker, 360)
    (worker.settings.public_prices / "summary.json").write_text(json.dumps({"through": 1}))
    restarted = Worker(worker.settings, worker.clock, writer="2")
    assert priced(restarted, 360) == (359, 480)
    assert "summary.json is damaged" in caplog.text


def test_an_unrecorded_history_is_the_one_of_the_price_book(worker):
    bundle = worker.quoter.champion.offers.bundle
    row = bundle.row("milk", None)
    assert bundle.earlier_prices(row).price == 480
    assert isinstance(bundle.earlier_prices(row), PriceHistory)
