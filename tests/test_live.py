"""Live signals of workers: real files between them, a real online store behind them."""

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from pricebook.config import Settings
from pricebook.signals import Event
from serving.live.event_log import EventLog
from serving.live.live_features import LiveFeatures, Taken

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ids = count()


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """A home whose feature store knows its views, and nothing else."""
    from pipelines.feature_store import open_store

    settings = Settings(home=tmp_path_factory.mktemp("registered"))
    open_store(settings)
    return settings


@pytest.fixture
def home(tmp_path):
    return Settings(home=tmp_path)


@pytest.fixture
def stored(registered, home):
    """A home of one's own with such a feature store."""
    shutil.copytree(registered.state / "feast", home.state / "feast")
    return home


@pytest.fixture(autouse=True)
def no_rest(monkeypatch):
    """A push by hand is not put off."""
    monkeypatch.setattr("serving.live.push_queue.REST", 0)
    monkeypatch.setattr("serving.live.push_queue.RETRY", 0)


@pytest.fixture
def worker(request):
    """Makes workers of a home that are let go after the test."""

    def made(settings, clock=lambda: NOON, **given):
        live = LiveFeatures(settings, clock=clock, **given)
        request.addfinalizer(live.pushes.close)
        return live

    return made


def event(kind="view", ago=timedelta(), **fields):
    fields = {"event_id": f"e{next(ids)}", "sku": "milk"} | fields
    return Event(occurred_at=NOON - ago, kind=kind, **fields)


def stock(on_hand, **fields):
    return event("stock", on_hand=on_hand, **fields)


def wait(condition, patience=30):
    until = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < until, "it never came to be"
        time.sleep(0.005)


def online(settings, view, *features, **key):
    from pipelines.feature_store import open_store

    asked = [f"{view}:{name}" for name in features]
    found = open_store(settings).get_online_features(features=asked, entity_rows=[key]).to_dict()
    return [found[name][0] for name in features]


def heard(live, sku="milk"):
    return live.windows.sku(sku, "all", NOON.timestamp())


def log_file(settings):
    return settings.state / "events" / "events-2026-01-05.jsonl"


def test_what_is_taken_counts_at_once(home, worker):
    live = worker(home)
    view = event(customer_id="ann")
    rest = [view, event(ago=2 * DAY), event(ago=-DAY), stock(3)]
    assert live.take([view, *rest], NOON) == Taken(accepted=2, duplicate=1, late=1, early=1)
    assert live.take([view], NOON) == Taken(duplicate=1)
    seen = {"views_hour": 1, "views_day": 1}
    assert heard(live) == seen | {"on_hand": 3}
    assert live.windows.shopper("ann", NOON.timestamp()) == seen
    assert (heard(live, "cola"), live.windows.shopper("bob", NOON.timestamp())) == ({}, {})


def test_what_a_price_depends_on_is_told_with_a_version(home, worker):
    live = worker(home)
    assert live.windows.version("milk", "all") == 0
    live.take([stock(3), event("competitor_price", competitor="x", price=90)], NOON)
    assert (live.windows.on_hand("milk", "all"), live.windows.competitor_price("milk", "all")) == (
        3,
        90,
    )
    assert live.windows.version("milk", "all") > 0


def test_signals_age(home, worker):
    live = worker(home)
    live.take([event(), stock(3)], NOON)
    assert live.staleness(NOON + timedelta(seconds=5)) == {"view": 5, "stock": 5}


def test_two_workers_of_a_home_come_to_know_the_same(home, worker):
    one, other = worker(home), worker(home)
    one.start(), other.start()
    for n in range(20):
        (one, other)[n % 2].take([stock(n, ago=timedelta(seconds=n)), event()], NOON)
    expected = {"views_hour": 20, "views_day": 20, "on_hand": 0}
    wait(lambda: all(heard(live) == expected for live in (one, other)))
    one.stop(), other.stop()


def test_a_worker_that_starts_anew_has_lost_nothing(home, worker):
    worker(home).take([stock(3), event(customer_id="ann")], NOON)
    again = worker(home)
    again.catch_up()
    assert again.windows.on_hand("milk", "all") == 3
    assert again.windows.shopper("ann", NOON.timestamp())["views_day"] == 1


def test_yesterdays_log_counts_as_far_as_its_window(home, worker):
    before = worker(home, clock=lambda: NOON - DAY)
    old, kept = event(ago=DAY, event_id="old"), stock(3, ago=DAY / 2)
    before.take([old], NOON - DAY)
    before.take([kept], NOON - DAY / 2)
    again = worker(home)
    again.catch_up()
    assert heard(again) == {"on_hand": 3}


def test_a_last_value_expires_while_nothing_arrives(home, worker):
    now = [NOON]
    live = worker(home, clock=lambda: now[0])
    live.take([stock(3)], NOON)
    now[0] += DAY
    live.catch_up()
    assert (live.windows.on_hand("milk", "all"), live.windows.version("milk", "all")) == (None, 0)


def test_a_line_without_its_end_waits_for_it(home, worker):
    one, other = worker(home), worker(home)
    one.take([stock(3)], NOON)
    whole = log_file(home).read_bytes()
    log_file(home).write_bytes(whole[:-5])
    other.catch_up()
    assert other.windows.on_hand("milk", "all") is None
    log_file(home).write_bytes(whole)
    other.catch_up()
    assert (other.windows.on_hand("milk", "all"), other.unreadable) == (3, 0)


def test_a_line_cut_short_spoils_no_other(home, worker):
    one, other = worker(home), worker(home)
    one.take([stock(3)], NOON)
    os.truncate(log_file(home), log_file(home).stat().st_size - 5)
    one.take([stock(4, sku="cola")], NOON)
    other.catch_up()
    assert (other.windows.on_hand("milk", "all"), other.windows.on_hand("cola", "all")) == (None, 4)
    assert other.unreadable == 1


def test_what_the_disk_refuses_does_not_count_and_may_be_sent_again(home, worker):
    live, view = worker(home), event()
    log_file(home).symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        live.take([view], NOON)
    assert heard(live) == {}
    log_file(home).unlink()
    assert live.take([view], NOON) == Taken(accepted=1)


def test_an_order_with_a_quote_is_handed_on_once_by_the_worker_that_took_it(home, worker):
    told = []
    one, other = (worker(home, bought=lambda orders, now: told.append(orders)) for _ in range(2))
    order = event("order", quantity=2, quote_id="q1")
    one.take([order, event("order", quantity=1), order], NOON)
    other.catch_up()
    other.take([order], NOON)
    worker(home).catch_up()
    assert told == [[order]]


def test_events_are_read_as_they_were_written(home):
    log = EventLog(home.state / "events")
    written = [event("competitor_price", competitor="é", price=9, public=False), stock(0, zone="n")]
    log.append(written, NOON)
    assert list(log.unread(NOON.date())) == written
    assert list(log.unread(NOON.date())) == []
    assert list(EventLog(log.folder).unread(NOON.date() + DAY)) == []


def test_figures_are_pushed_to_the_online_store(stored, worker):
    live = worker(stored)
    live.pushes.push()
    live.take([event(customer_id="ann"), stock(3)], NOON)
    live.pushes.push()
    names = ("views_hour", "carts_day", "on_hand", "competitor_price", "sku_live_at")
    found = online(stored, "sku_live", *names, sku="milk", zone="all")
    assert found == [1, 0, 3, None, NOON]
    assert online(stored, "shopper_live", "views_day", customer_id="ann") == [1]
    assert (live.pushes.pushed, live.pushes.waiting, live.pushes.failures) == (2, 0, 0)


def test_threads_push_what_any_worker_took(stored, worker):
    one, other = worker(stored), worker(stored)
    one.start(), other.start()
    wait(lambda: one.pushes.leads or other.pushes.leads)
    one.take([stock(3, sku="milk")], NOON), other.take([stock(4, sku="cola")], NOON)
    wait(lambda: one.pushes.pushed + other.pushes.pushed == 2)
    one.stop(), other.stop()
    assert min(one.pushes.pushed, other.pushes.pushed) == 0
    for sku, on_hand in (("milk", 3), ("cola", 4)):
        assert online(stored, "sku_live", "on_hand", sku=sku, zone="all") == [on_hand]


def test_another_worker_pushes_everything_once_the_one_that_pushed_is_gone(stored, worker):
    one, other = worker(stored), worker(stored)
    one.pushes.push()
    one.take([stock(3)], NOON)
    other.catch_up()
    other.pushes.push()
    assert not other.pushes.leads
    one.pushes.close()
    other.pushes.push()
    assert online(stored, "sku_live", "on_hand", sku="milk", zone="all") == [3]


def gone(store):
    (store / "online.db").rename(store / "elsewhere.db")


def corrupt(store):
    shutil.copy(store / "online.db", store / "elsewhere.db")
    (store / "online.db").unlink()
    (store / "online.db").write_bytes(b"no database" * 1000)


@pytest.mark.parametrize(
    ("fail", "why"), [(gone, "the online store is gone"), (corrupt, "cannot be read")]
)
def test_figures_wait_for_a_store_that_fails_and_events_do_not(fail, why, stored, worker):
    live, store = worker(stored), stored.state / "feast"
    live.pushes.push()
    fail(store)
    assert live.take([stock(3)], NOON) == Taken(accepted=1)
    live.pushes.push()
    assert why in live.pushes.problem
    assert (live.pushes.failures, live.pushes.waiting, live.windows.on_hand("milk", "all")) == (
        1,
        1,
        3,
    )
    (store / "elsewhere.db").rename(store / "online.db")
    live.pushes.push()
    assert (live.pushes.problem, live.pushes.waiting) == ("", 0)
    assert online(stored, "sku_live", "on_hand", sku="milk", zone="all") == [3]


def test_a_store_without_live_views_is_said(stored, worker):
    from pipelines.feature_store import open_store

    store = open_store(stored)
    for view in ("sku_live", "shopper_live"):
        store.delete_feature_view(view)
    live = worker(stored)
    live.take([stock(3)], NOON)
    live.pushes.push()
    assert "run `pricebook materialize`" in live.pushes.problem


def test_materializing_registers_the_live_views_where_they_are_missing(stored):
    from pipelines.feature_store import open_store

    open_store(stored).delete_feature_view("sku_live")
    assert "sku_live" in {view.name for view in open_store(stored).list_feature_views()}
