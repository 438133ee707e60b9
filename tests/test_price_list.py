"""Before the first champion: list prices from the price list, and why, in every quote."""

import shutil

import pytest
from test_quoter import START, Worker
from test_service import BOOK, _bundle, _online_store, write_list_prices

from pipelines.reports.replay import decide_again
from pricebook.config import Settings
from pricebook.files import write_json
from pricebook.pricing.quote import UNDECIDED
from serving.http.errors import RequestError
from serving.http.schemas import ForecastRequest, QuoteReply
from serving.quotes.forecasts import forecast


@pytest.fixture(scope="module")
def champion(tmp_path_factory):
    """The folder of a bundle with models."""
    folder = tmp_path_factory.mktemp("champion")
    _bundle(folder)
    return folder


@pytest.fixture(scope="module")
def refreshed(tmp_path_factory):
    """A home with a price list and an online store, and without a champion."""
    settings = Settings(home=tmp_path_factory.mktemp("refreshed"))
    _online_store(settings)
    write_list_prices(settings)
    return settings


@pytest.fixture
def home(refreshed, tmp_path):
    shutil.copytree(refreshed.home, tmp_path, dirs_exist_ok=True)
    return Settings(home=tmp_path)


@pytest.fixture
def worker(home):
    return Worker(home)


def promote(champion, worker):
    shutil.copytree(champion, worker.settings.bundle)
    worker.quoter.champion.refresh()


def reason(worker):
    (first, *_) = worker.quote()["reasons"]
    return first["text"]


def test_every_quote_is_at_list_price_and_says_why(worker):
    skus = [sku for sku in BOOK["sku"] if sku != "cola"]
    quotes = worker.quotes(*({"sku": sku} for sku in skus))
    assert [quote["price"] for quote in quotes] == [500, 400, 700, 900]
    text = "no_champion: no champion has been promoted; the list price applies"
    assert {quote["reasons"][0]["text"] for quote in quotes} == {text}


def test_a_quote_names_no_model_and_fits_the_schema(worker):
    quote = QuoteReply.model_validate(worker.quote())
    assert (quote.model_name, quote.model_version) == ("none", "0")


def test_no_offer_is_personal_and_no_discount_is_announced(home):
    write_list_prices(home, BOOK.assign(lowest_30d=600))  # above the list price
    quote = Worker(home).quote(customer_id="ann", consent=True)
    assert (quote["personalised"], quote["disclosure"], quote["discount_from"]) == (
        False,
        None,
        None,
    )


def test_the_prices_of_the_first_champion_apply_at_once(worker, champion):
    assert worker.quote(customer_id="dan")["price"] == 500
    promote(champion, worker)
    assert worker.quote(customer_id="dan")["price"] < 500


def test_a_restarted_worker_locks_no_list_price(worker, champion):
    worker.quote(customer_id="dan")
    promote(champion, worker)
    restarted = Worker(worker.settings, worker.clock, writer="2")
    restarted.quoter.catch_up()
    assert restarted.quote(customer_id="dan")["price"] < 500


def test_without_an_online_store_too(home):
    (home.state / "feast" / "online.db").unlink()
    assert "no champion has been promoted" in reason(Worker(home))


def test_a_newer_price_list_is_served_from_then_on(worker):
    write_list_prices(worker.settings, BOOK.assign(list_price=BOOK["list_price"] + 10))
    assert worker.quote()["price"] == 500
    assert worker.quoter.champion.refresh()
    assert worker.quote()["price"] == 510


def test_a_price_list_never_replaces_a_champion(worker, champion):
    promote(champion, worker)
    before = worker.quote()
    write_list_prices(worker.settings, BOOK.assign(list_price=BOOK["list_price"] + 10))
    assert not worker.quoter.champion.refresh()
    assert worker.quote()["price"] == before["price"] < 500


def test_the_bundle_inside_the_bento_is_preferred_to_the_price_list(home, champion):
    from serving.state.champion import Champion

    values = Worker(home).live.windows.values
    packed = Champion(home.bundle, values, packed_bundle=champion, price_list=home.price_list)
    assert packed.has_models


def test_a_champion_that_cannot_be_served_is_named_as_the_reason(worker, champion):
    shutil.copytree(champion, worker.settings.bundle)
    (worker.settings.bundle / "response.tflite").unlink()
    worker.quoter.champion.refresh()
    assert reason(worker) == "no_champion: the champion cannot be served; the list price applies"
    shutil.copy(champion / "response.tflite", worker.settings.bundle)
    (worker.settings.bundle / "bundle.json").touch()  # a promotion writes a new file
    worker.quoter.champion.refresh()
    assert worker.quote()["price"] < 500


VERDICT = {"passed": False, "champion": {}, "refusals": ["forecast_bias: is 0.17.", "x_y: is 2."]}


@pytest.mark.parametrize(
    ("verdict", "why"),
    [
        (VERDICT, "the gate refused the first models (forecast_bias, x_y)"),
        (VERDICT | {"champion": {"demand": "1"}}, "no champion has been promoted"),
        (VERDICT | {"passed": True}, "no champion has been promoted"),
    ],
)
def test_a_refused_first_pair_is_the_reason(home, verdict, why):
    write_json(home.report("gate"), verdict)
    write_list_prices(home)
    assert reason(Worker(home)) == f"no_champion: {why}; the list price applies"


def test_the_kill_switch_is_the_first_reason(worker):
    worker.settings.kill_switch.write_text("a wrong price file\n")
    assert reason(worker) == "kill_switch: a wrong price file; the list price applies"


def test_a_forecast_is_an_error_that_says_what_to_run(worker):
    with pytest.raises(RequestError, match=r"no demand model yet.*`pricebook promote`") as refused:
        forecast(worker.quoter.champion.offers.bundle, ForecastRequest(sku="milk"))
    assert (refused.value.status, refused.value.body["error"]) == (503, "no_demand_model")


def test_a_quote_is_not_decided_again_because_no_model_decided_it(worker):
    worker.quote()
    (line,) = worker.log_lines()
    assert line["quote"]["reasons"][0]["rule"] in UNDECIDED
    assert decide_again(line, worker.settings) is None


def test_skus_in_zones_have_the_list_prices_of_the_zones(worker):
    quotes = worker.quotes(*({"sku": "cola", "zone": zone} for zone in ("north", "south")))
    assert [quote["price"] for quote in quotes] == [150, 160]
    assert all(quote["issued_at"] == START.isoformat().replace("+00:00", "Z") for quote in quotes)
