"""Quotes in one process: a real bundle, real logs, real events, and a clock that the test sets."""

import asyncio
import json
import shutil
from datetime import UTC, datetime, timedelta

import pytest
from test_service import BOOK, _bundle, _online_store

from pricebook.config import Settings
from pricebook.events import Event
from serving.http.schemas import QuoteRequest
from serving.live.live_features import LiveFeatures
from serving.quotes.public_prices import PublicPrices
from serving.quotes.quoter import Quoter
from serving.quotes.signing import load
from serving.state.champion import Champion
from serving.state.daily_log import DailyLog
from serving.state.kill_switch import KillSwitch
from serving.state.online_store import ShopperStore

START = datetime(2026, 1, 5, 12, tzinfo=UTC)


class Clock:
    def __init__(self):
        self.now = START

    def __call__(self):
        return self.now

    def advance(self, **time):
        self.now += timedelta(**time)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A home with a bundle and an online store. Each test gets a copy."""
    settings = Settings(home=tmp_path_factory.mktemp("trained"))
    settings.bundle.mkdir(parents=True)
    _bundle(settings.bundle)
    _online_store(settings)
    return settings


@pytest.fixture
def home(trained, tmp_path):
    shutil.copytree(trained.home, tmp_path, dirs_exist_ok=True)
    return Settings(home=tmp_path)


def set_limits(settings, folder=None, **limits):
    """Change the limits in a bundle, by default that of the champion."""
    path = (folder or settings.bundle) / "bundle.json"
    manifest = json.loads(path.read_text())
    manifest["quote"] |= {"competitor_band": 0.0} | limits
    path.write_text(json.dumps(manifest))


class Worker:
    """A quoter with its live features, and short ways to ask for quotes."""

    def __init__(self, settings, clock=None, writer="1", **arguments):
        self.clock = clock or Clock()
        self.settings = settings
        self.live = LiveFeatures(settings, clock=self.clock)
        self.quote_log = DailyLog(settings.quote_log, "quotes", writer)
        key_ring = load(settings, START - timedelta(hours=1))
        shoppers = ShopperStore(settings)
        shoppers.probe()  # the first look-up opens the store, which exceeds the deadline of a quote
        self.public_prices = PublicPrices(settings.public_prices)
        self.public_prices.catch_up()
        values, public_prices = self.live.windows.values, self.public_prices
        self.quoter = Quoter(
            Champion(
                settings.bundle,
                values,
                price_list=settings.price_list,
                public_prices=public_prices,
            ),
            Champion(
                settings.challenger, values, unload_when_removed=True, public_prices=public_prices
            ),
            shoppers,
            arguments.pop("quote_log", self.quote_log),
            lambda: key_ring,
            self.clock,
            KillSwitch(settings.kill_switch),
            windows=self.live.windows,
            **arguments,
        )

    def quotes(self, *items):
        requests = [QuoteRequest(**item) for item in items]
        return list(map(json.loads, asyncio.run(self.quoter.quotes(requests))))

    def quote(self, sku="milk", **fields):
        return self.quotes({"sku": sku, **fields})[0]

    def competitor_price(self, price, name="rival"):
        """An event with the price of a competitor for milk."""
        now, fields = self.clock(), {"competitor": name, "price": price}
        self.live.add([Event(f"{name}-{now}", now, "competitor_price", "milk", **fields)], now)

    def log_lines(self):
        files = self.settings.quote_log.iterdir()
        return [json.loads(line) for file in files for line in file.open()]


@pytest.fixture
def worker(home):
    set_limits(home)
    return Worker(home)


def test_a_shopper_gets_the_same_quote_until_it_expires(worker):
    first = worker.quote(customer_id="ann")
    worker.competitor_price(360)
    worker.clock.advance(seconds=899)
    assert worker.quote(customer_id="ann") == first
    worker.clock.advance(seconds=1)
    assert worker.quote(customer_id="ann")["price"] < first["price"]


def test_a_request_repeated_in_a_batch_gets_the_same_quote_and_is_logged_once(worker):
    skus = ("milk", "bread", "milk")
    first, bread, last = worker.quotes(*({"sku": sku, "customer_id": "ann"} for sku in skus))
    assert last == first
    assert first["quote_id"] != bread["quote_id"]
    assert len(worker.log_lines()) == 2


def test_of_two_workers_quotes_the_earlier_is_kept_even_within_one_second(home):
    set_limits(home)
    clock = Clock()
    first, second = (Worker(home, clock, writer) for writer in "12")
    for name in map(str, range(20)):
        earlier = first.quote(customer_id=name)
        clock.advance(seconds=0.001)
        later = second.quote(customer_id=name)
        first.quoter.catch_up(), second.quoter.catch_up()
        assert first.quote(customer_id=name) == earlier == second.quote(customer_id=name) != later


def test_workers_that_quoted_a_shopper_different_prices_agree_on_the_earlier_one(home):
    set_limits(home)
    clock = Clock()
    first, second = (Worker(home, clock, writer) for writer in "ab")
    earlier = first.quote(customer_id="ann")
    clock.advance(seconds=1)
    second.competitor_price(360)
    assert second.quote(customer_id="ann")["quote_id"] != earlier["quote_id"]
    first.quoter.catch_up(), second.quoter.catch_up()
    assert first.quote(customer_id="ann") == second.quote(customer_id="ann") == earlier


def test_a_restarted_worker_keeps_the_quotes_issued_before(worker):
    before = worker.quote(customer_id="ann")
    worker.competitor_price(360)
    restarted = Worker(worker.settings, worker.clock, writer="2")
    restarted.quoter.catch_up()
    assert restarted.quote(customer_id="ann") == before


def test_an_event_changes_the_next_quote_of_an_anonymous_shopper(worker):
    before = worker.quote()
    worker.competitor_price(360)
    after = worker.quote()
    assert before["price"] > after["price"] == 359
    assert "competitor_band" in {reason["rule"] for reason in after["reasons"]}


def test_a_sku_without_stock_is_quoted_at_its_list_price(worker):
    stock = Event("s1", START, "stock", "milk", on_hand=0)
    worker.live.add([stock], START)
    assert worker.quote()["reasons"][0]["rule"] == "sold_out"


def test_consent_withdrawn_in_a_request_takes_effect_at_once(worker):
    assert worker.quote(customer_id="ann")["personalised"]
    assert not worker.quote(customer_id="ann", consent=False)["personalised"]


def test_the_kill_switch_sets_every_price_to_the_list_price_until_it_is_off(worker):
    usual = worker.quote(customer_id="ann")
    worker.settings.kill_switch.write_text("a wrong cost file\n")
    stopped = worker.quote(customer_id="ann")
    assert stopped["price"] == stopped["list_price"]
    text = "kill_switch: a wrong cost file; the list price applies"
    assert stopped["reasons"][0]["text"] == text
    worker.settings.kill_switch.unlink()
    assert worker.quote(customer_id="ann") == usual


def test_a_kill_switch_file_that_is_not_text_works_too(worker):
    worker.settings.kill_switch.write_bytes(b"\xff\xfe")
    assert worker.quote()["reasons"][0]["rule"] == "kill_switch"


def test_the_control_arm_gets_the_list_price(home):
    set_limits(home, experiment={"control": 1.0})
    quote = Worker(home).quote()
    assert (quote["price"], quote["arm"], quote["propensity"]) == (500, "control", 1.0)


def test_anonymous_shoppers_get_the_same_price_while_prices_are_explored(home):
    set_limits(home, experiment={"explore": 1.0})
    worker = Worker(home)
    assert len({worker.quote()["price"] for _ in range(20)}) == 1
    assert len({worker.quote(customer_id=f"c{n}")["price"] for n in range(60)}) > 2


def test_an_explored_quote_is_logged_with_the_probability_of_its_price(home):
    set_limits(home, experiment={"explore": 1.0})
    worker = Worker(home)
    quote, (line,) = worker.quote(), worker.log_lines()
    choice = dict(zip(line["choice"]["prices"], line["choice"]["chances"], strict=True))
    assert choice[quote["price"]] == quote["propensity"] < 1
    assert sum(choice.values()) == pytest.approx(1)


def test_live_features_are_logged_with_a_quote(worker):
    view = Event("v1", START, "view", "milk", customer_id="ann")
    worker.live.add([view], START)
    worker.quote(customer_id="ann"), worker.quote("bread")
    counts = {"views_hour": 1, "views_day": 1}
    expected = [{"sku": counts, "shopper": counts}, None]
    assert [line["heard"] for line in worker.log_lines()] == expected


def worker_with_challenger(home, **experiment):
    """A worker with a challenger whose lowest price is higher than the champion's."""
    shutil.copytree(home.bundle, home.challenger)
    set_limits(home, experiment=experiment)
    set_limits(home, home.challenger, max_markdown=0.04)
    return Worker(home)


def test_the_challenger_prices_the_canary_arm(home):
    quote = worker_with_challenger(home, canary=1.0).quote()
    assert (quote["arm"], quote["price"]) == ("canary", 489)


def test_without_a_challenger_the_champion_gets_the_share_of_the_canary_arm(home):
    set_limits(home, experiment={"canary": 1.0})
    assert Worker(home).quote()["arm"] == "champion"


def test_a_shadow_price_is_logged_and_never_quoted(home):
    worker = worker_with_challenger(home, shadow=True)
    quote, (line,) = worker.quote(), worker.log_lines()
    assert (line["shadow"], quote["arm"]) == (489, "champion")
    assert quote["price"] < 489


def test_a_challenger_that_is_removed_prices_no_more_quotes(home):
    worker = worker_with_challenger(home, canary=1.0)
    shutil.rmtree(home.challenger)
    for bundle_in_service in (worker.quoter.champion, worker.quoter.challenger):
        bundle_in_service.refresh()
    assert worker.quote()["arm"] == "champion"


class FullDisk:
    """Stands in for a quote log whose disk is full."""

    def append(self, lines, at):
        list(lines)
        raise OSError(28, "No space left on device")


def test_quotes_that_cannot_be_logged_are_counted_and_sent(home):
    set_limits(home)
    unlogged = []
    worker = Worker(home, quote_log=FullDisk(), count_unlogged=unlogged.append)
    assert worker.quote()["price"] < 500
    assert unlogged == [1]


def test_a_batch_gets_the_same_prices_as_single_requests(worker):
    skus = [sku for sku in BOOK["sku"] if sku != "cola"]
    batch = worker.quotes(*({"sku": sku} for sku in skus))
    assert [quote["price"] for quote in batch] == [worker.quote(sku)["price"] for sku in skus]
