"""The desk in one process: a real bundle, a real log, real events, a clock of the test's own."""

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

    def wait(self, **ahead):
        self.now += timedelta(**ahead)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A home with a bundle and an online store, to be copied."""
    settings = Settings(home=tmp_path_factory.mktemp("trained"))
    settings.bundle.mkdir(parents=True)
    _bundle(settings.bundle)
    _online_store(settings)
    return settings


@pytest.fixture
def home(trained, tmp_path):
    shutil.copytree(trained.home, tmp_path, dirs_exist_ok=True)
    return Settings(home=tmp_path)


def limited(settings, folder=None, **limits):
    path = (folder or settings.bundle) / "bundle.json"
    about = json.loads(path.read_text())
    about["quote"] |= {"competitor_band": 0.0} | limits
    path.write_text(json.dumps(about))


TWICE = ("milk", "bread", "milk")


class Shop:
    """A desk, and what a test asks of it."""

    def __init__(self, settings, clock=None, writer="1", **more):
        self.clock = clock or Clock()
        self.settings = settings
        self.live = LiveFeatures(settings, clock=self.clock)
        self.journal = DailyLog(settings.quote_log, "quotes", writer)
        ring = load(settings, START - timedelta(hours=1))
        shoppers = ShopperStore(settings)
        shoppers.probe()  # the first look-up opens the store, which takes longer than any may
        self.desk = Quoter(
            Champion(settings.bundle, self.live.windows.values),
            Champion(settings.challenger, self.live.windows.values, unload_when_removed=True),
            shoppers,
            more.pop("journal", self.journal),
            lambda: ring,
            self.clock,
            KillSwitch(settings.kill_switch),
            windows=self.live.windows,
            **more,
        )

    def quotes(self, *asked):
        requests = [QuoteRequest(**one) for one in asked]
        return list(map(json.loads, asyncio.run(self.desk.quotes(requests))))

    def quote(self, sku="milk", **more):
        return self.quotes({"sku": sku, **more})[0]

    def rival(self, price, name="rival"):
        now, told = self.clock(), {"competitor": name, "price": price}
        self.live.add([Event(f"{name}-{now}", now, "competitor_price", "milk", **told)], now)

    def logged(self):
        files = self.settings.quote_log.iterdir()
        return [json.loads(line) for file in files for line in file.open()]


@pytest.fixture
def shop(home):
    limited(home)
    return Shop(home)


def test_a_shopper_is_told_the_same_until_it_expires_whatever_happens(shop):
    first = shop.quote(customer_id="ann")
    shop.rival(360)
    shop.clock.wait(seconds=899)
    assert shop.quote(customer_id="ann") == first
    shop.clock.wait(seconds=1)
    assert shop.quote(customer_id="ann")["price"] < first["price"]


def test_who_asks_twice_in_a_batch_is_told_the_same_and_logged_once(shop):
    first, bread, again = shop.quotes(*({"sku": sku, "customer_id": "ann"} for sku in TWICE))
    assert (again, first["quote_id"] == bread["quote_id"]) == (first, False)
    assert len(shop.logged()) == 2


def test_of_two_workers_quotes_the_earlier_stands_though_both_are_of_one_second(home):
    limited(home)
    clock = Clock()
    one, other = (Shop(home, clock, writer) for writer in "12")
    for name in map(str, range(20)):
        first = one.quote(customer_id=name)
        clock.wait(seconds=0.001)
        later = other.quote(customer_id=name)
        one.desk.keep_up(), other.desk.keep_up()
        assert one.quote(customer_id=name) == first == other.quote(customer_id=name) != later


def test_an_event_changes_the_next_quote_of_whoever_holds_none(shop):
    before = shop.quote()
    shop.rival(360)
    after = shop.quote()
    assert (before["price"] > after["price"], after["price"]) == (True, 359)
    assert "competitor_band" in {reason["rule"] for reason in after["reasons"]}


def test_what_is_sold_out_is_sold_at_its_list_price(shop):
    stock = Event("s1", START, "stock", "milk", on_hand=0)
    shop.live.add([stock], START)
    assert shop.quote()["reasons"][0]["rule"] == "sold_out"


def test_consent_withdrawn_in_a_request_counts_at_once(shop):
    assert shop.quote(customer_id="ann")["personalised"]
    assert not shop.quote(customer_id="ann", consent=False)["personalised"]


def test_the_kill_switch_puts_everything_at_list_price_and_lets_go_again(shop):
    usual = shop.quote(customer_id="ann")
    shop.settings.kill_switch.write_text("a wrong cost file\n")
    stopped = shop.quote(customer_id="ann")
    assert stopped["price"] == stopped["list_price"]
    assert stopped["reasons"][0]["text"] == (
        "kill_switch: a wrong cost file; the list price stands"
    )
    shop.settings.kill_switch.unlink()
    assert shop.quote(customer_id="ann") == usual


def test_a_worker_started_anew_tells_what_the_one_before_told(shop):
    told = shop.quote(customer_id="ann")
    shop.rival(360)
    again = Shop(shop.settings, shop.clock, writer="2")
    again.desk.keep_up()
    assert again.quote(customer_id="ann") == told


def test_the_control_arm_sells_at_the_list_price(home):
    limited(home, experiment={"control": 1.0})
    quote = Shop(home).quote()
    assert (quote["price"], quote["arm"], quote["propensity"]) == (500, "control", 1.0)


def test_strangers_side_by_side_see_one_price_while_it_is_explored(home):
    limited(home, experiment={"explore": 1.0})
    shop = Shop(home)
    assert len({shop.quote()["price"] for _ in range(20)}) == 1
    assert len({shop.quote(customer_id=f"c{n}")["price"] for n in range(60)}) > 2


def test_an_explored_quote_is_logged_with_the_chance_of_its_price(home):
    limited(home, experiment={"explore": 1.0})
    shop = Shop(home)
    quote, (line,) = shop.quote(), shop.logged()
    choice = dict(zip(line["choice"]["prices"], line["choice"]["chances"], strict=True))
    assert choice[quote["price"]] == quote["propensity"] < 1
    assert sum(choice.values()) == pytest.approx(1)


def test_what_lately_happened_is_logged_with_a_quote(shop):
    view = Event("v1", START, "view", "milk", customer_id="ann")
    shop.live.add([view], START)
    shop.quote(customer_id="ann"), shop.quote("bread")
    seen = {"views_hour": 1, "views_day": 1}
    assert [line["heard"] for line in shop.logged()] == [{"sku": seen, "shopper": seen}, None]


def challenged(home, **experiment):
    """A challenger that may not go as low as the champion."""
    shutil.copytree(home.bundle, home.challenger)
    limited(home, experiment=experiment)
    limited(home, home.challenger, max_markdown=0.04)
    return Shop(home)


def test_the_canary_arm_is_priced_by_the_challenger(home):
    shop = challenged(home, canary=1.0)
    quote = shop.quote()
    assert (quote["arm"], quote["price"]) == ("canary", 489)


def test_without_a_challenger_the_canary_s_share_is_the_champion_s(home):
    limited(home, experiment={"canary": 1.0})
    assert Shop(home).quote()["arm"] == "champion"


def test_a_shadow_prices_every_quote_and_serves_none(home):
    shop = challenged(home, shadow=True)
    quote, (line,) = shop.quote(), shop.logged()
    assert (line["shadow"], quote["arm"]) == (489, "champion")
    assert quote["price"] < 489


def test_a_challenger_that_is_taken_out_of_service_prices_no_more(home):
    shop = challenged(home, canary=1.0)
    shutil.rmtree(home.challenger)
    for one in (shop.desk.champion, shop.desk.challenger):
        one.refresh()
    assert shop.quote()["arm"] == "champion"


def test_workers_that_told_a_shopper_different_things_come_to_agree(home):
    limited(home)
    clock = Clock()
    one, other = (Shop(home, clock, writer) for writer in "ab")
    first = one.quote(customer_id="ann")
    clock.wait(seconds=1)
    other.rival(360)
    assert other.quote(customer_id="ann")["quote_id"] != first["quote_id"]
    for shop in (one, other):
        shop.desk.keep_up()
    assert one.quote(customer_id="ann") == other.quote(customer_id="ann") == first


def test_a_kill_switch_that_is_no_text_switches_all_the_same(shop):
    shop.settings.kill_switch.write_bytes(b"\xff\xfe")
    assert shop.quote()["reasons"][0]["rule"] == "kill_switch"


class Full:
    def append(self, lines, at):
        list(lines)
        raise OSError(28, "No space left on device")


def test_a_log_that_takes_nothing_is_counted_and_holds_up_no_quote(home):
    limited(home)
    lost = []
    shop = Shop(home, journal=Full(), unlogged=lost.append)
    assert shop.quote()["price"] < 500
    assert lost == [1]


def test_every_sku_of_a_batch_is_decided_as_it_is_alone(shop):
    skus = [sku for sku in BOOK["sku"] if sku != "cola"]
    batch = shop.quotes(*({"sku": sku} for sku in skus))
    assert [one["price"] for one in batch] == [shop.quote(sku)["price"] for sku in skus]
