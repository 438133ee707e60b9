"""Live features of several workers, with real files and a real online store."""

import os
import shutil
import time
from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from pricebook.config import Settings
from pricebook.events import Event
from serving.live.event_log import EventLog
from serving.live.live_features import EventCounts, LiveFeatures

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAY = timedelta(days=1)
ids = count()


@pytest.fixture(scope="module")
def registered(tmp_path_factory):
    """A home whose feature store has its views and no rows."""
    from pipelines.feature_store import open_store

    settings = Settings(home=tmp_path_factory.mktemp("registered"))
    open_store(settings)
    return settings


@pytest.fixture
def home(tmp_path):
    return Settings(home=tmp_path)


@pytest.fixture
def stored(registered, home):
    """A copy of it for one test."""
    shutil.copytree(registered.state / "feast", home.state / "feast")
    return home


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """Lets a test push several times in a row."""
    monkeypatch.setattr("serving.live.push_queue.PAUSE_FACTOR", 0)
    monkeypatch.setattr("serving.live.push_queue.RETRY_PAUSE", 0)


@pytest.fixture
def worker(request):
    """Creates workers of a home, and closes them after the test."""

    def create(settings, clock=lambda: NOON, **arguments):
        live = LiveFeatures(settings, clock=clock, **arguments)
        request.addfinalizer(live.push_queue.close)
        return live

    return create


def event(kind="view", ago=timedelta(), **fields):
    fields = {"event_id": f"e{next(ids)}", "sku": "milk"} | fields
    return Event(occurred_at=NOON - ago, kind=kind, **fields)


def stock(on_hand, **fields):
    return event("stock", on_hand=on_hand, **fields)


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"not within {seconds} seconds"
        time.sleep(0.005)


def online(settings, view, *names, **key):
    from pipelines.feature_store import open_store

    features = [f"{view}:{name}" for name in names]
    row = open_store(settings).get_online_features(features, entity_rows=[key]).to_dict()
    return [row[name][0] for name in names]


def features(live, sku="milk"):
    return live.windows.sku_features(sku, "all", NOON.timestamp())


def shopper_features(live, customer_id="ann"):
    return live.windows.shopper_features(customer_id, NOON.timestamp())


def on_hand(live, sku="milk"):
    return live.windows.values.on_hand(sku, "all")


def log_file(settings):
    return settings.state / "events" / "events-2026-01-05.jsonl"


def test_an_event_counts_at_once(home, worker):
    live = worker(home)
    view = event(customer_id="ann")
    rest = [view, event(ago=2 * DAY), event(ago=-DAY), stock(3)]
    assert live.add([view, *rest], NOON) == EventCounts(accepted=2, duplicate=1, late=1, early=1)
    assert live.add([view], NOON) == EventCounts(duplicate=1)
    counts = {"views_hour": 1, "views_day": 1}
    assert features(live) == counts | {"on_hand": 3}
    assert shopper_features(live) == counts
    assert (features(live, "cola"), shopper_features(live, "bob")) == ({}, {})


def test_the_values_that_a_price_depends_on_have_a_version(home, worker):
    live = worker(home)
    assert live.windows.values.version("milk", "all") == 0
    live.add([stock(3), event("competitor_price", competitor="x", price=90)], NOON)
    values = live.windows.values
    assert (values.on_hand("milk", "all"), values.competitor_price("milk", "all")) == (3, 90)
    assert values.version("milk", "all") > 0


def test_staleness_is_the_time_since_the_latest_event_of_a_kind(home, worker):
    live = worker(home)
    live.add([event(), stock(3)], NOON)
    assert live.staleness(NOON + timedelta(seconds=5)) == {"view": 5, "stock": 5}


def test_two_workers_of_a_home_have_the_same_features(home, worker):
    first, second = worker(home), worker(home)
    first.start(), second.start()
    for n in range(20):
        (first, second)[n % 2].add([stock(n, ago=timedelta(seconds=n)), event()], NOON)
    expected = {"views_hour": 20, "views_day": 20, "on_hand": 0}
    wait_until(lambda: all(features(live) == expected for live in (first, second)))
    first.stop(), second.stop()


def test_a_restarted_worker_reads_its_events_again(home, worker):
    worker(home).add([stock(3), event(customer_id="ann")], NOON)
    restarted = worker(home)
    restarted.catch_up()
    assert on_hand(restarted) == 3
    assert shopper_features(restarted)["views_day"] == 1


def test_events_in_yesterdays_log_count_if_they_are_within_the_day(home, worker):
    before = worker(home, clock=lambda: NOON - DAY)
    old, recent = event(ago=DAY, event_id="old"), stock(3, ago=DAY / 2)
    before.add([old], NOON - DAY)
    before.add([recent], NOON - DAY / 2)
    restarted = worker(home)
    restarted.catch_up()
    assert features(restarted) == {"on_hand": 3}


def test_a_value_expires_while_no_events_arrive(home, worker):
    now = [NOON]
    live = worker(home, clock=lambda: now[0])
    live.add([stock(3)], NOON)
    now[0] += DAY
    live.catch_up()
    assert (on_hand(live), live.windows.values.version("milk", "all")) == (None, 0)


def test_an_incomplete_line_is_read_once_it_is_complete(home, worker):
    first, second = worker(home), worker(home)
    first.add([stock(3)], NOON)
    complete = log_file(home).read_bytes()
    log_file(home).write_bytes(complete[:-5])
    second.catch_up()
    assert on_hand(second) is None
    log_file(home).write_bytes(complete)
    second.catch_up()
    assert (on_hand(second), second.unreadable) == (3, 0)


def test_a_truncated_line_affects_no_other_line(home, worker):
    first, second = worker(home), worker(home)
    first.add([stock(3)], NOON)
    os.truncate(log_file(home), log_file(home).stat().st_size - 5)
    first.add([stock(4, sku="cola")], NOON)
    second.catch_up()
    assert (on_hand(second), on_hand(second, "cola")) == (None, 4)
    assert second.unreadable == 1


def test_events_that_the_disk_refuses_do_not_count_and_can_be_sent_again(home, worker):
    live, view = worker(home), event()
    log_file(home).symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        live.add([view], NOON)
    assert features(live) == {}
    log_file(home).unlink()
    assert live.add([view], NOON) == EventCounts(accepted=1)


def test_an_order_with_a_quote_is_passed_on_once_by_the_worker_that_received_it(home, worker):
    passed_on = []
    first, second = (
        worker(home, on_orders=lambda orders, now: passed_on.append(orders)) for _ in range(2)
    )
    order = event("order", quantity=2, quote_id="q1")
    first.add([order, event("order", quantity=1), order], NOON)
    second.catch_up()
    second.add([order], NOON)
    worker(home).catch_up()
    assert passed_on == [[order]]


def test_the_event_log_returns_the_events_that_were_written(home):
    log = EventLog(home.state / "events")
    written = [event("competitor_price", competitor="é", price=9, public=False), stock(0, zone="n")]
    log.append(written, NOON)
    assert list(log.unread(NOON.date())) == written
    assert list(log.unread(NOON.date())) == []
    assert list(EventLog(log.folder).unread(NOON.date() + DAY)) == []


def test_features_are_pushed_to_the_online_store(stored, worker):
    live = worker(stored)
    live.push_queue.push()
    live.add([event(customer_id="ann"), stock(3)], NOON)
    live.push_queue.push()
    names = ("views_hour", "carts_day", "on_hand", "competitor_price", "sku_live_at")
    row = online(stored, "sku_live", *names, sku="milk", zone="all")
    assert row == [1, 0, 3, None, NOON]
    assert online(stored, "shopper_live", "views_day", customer_id="ann") == [1]
    assert (live.push_queue.pushed, live.push_queue.waiting, live.push_queue.failures) == (2, 0, 0)


def test_one_worker_pushes_the_features_of_all(stored, worker):
    first, second = worker(stored), worker(stored)
    first.start(), second.start()
    wait_until(lambda: first.push_queue.is_leader or second.push_queue.is_leader)
    first.add([stock(3, sku="milk")], NOON), second.add([stock(4, sku="cola")], NOON)
    wait_until(lambda: first.push_queue.pushed + second.push_queue.pushed == 2)
    first.stop(), second.stop()
    assert min(first.push_queue.pushed, second.push_queue.pushed) == 0
    for sku, on_hand in (("milk", 3), ("cola", 4)):
        assert online(stored, "sku_live", "on_hand", sku=sku, zone="all") == [on_hand]


def test_another_worker_pushes_everything_after_the_first_has_gone(stored, worker):
    first, second = worker(stored), worker(stored)
    first.push_queue.push()
    first.add([stock(3)], NOON)
    second.catch_up()
    second.push_queue.push()
    assert not second.push_queue.is_leader
    first.push_queue.close()
    second.push_queue.push()
    assert online(stored, "sku_live", "on_hand", sku="milk", zone="all") == [3]


def remove(store):
    (store / "online.db").rename(store / "elsewhere.db")


def corrupt(store):
    shutil.copy(store / "online.db", store / "elsewhere.db")
    (store / "online.db").unlink()
    (store / "online.db").write_bytes(b"no database" * 1000)


@pytest.mark.parametrize(
    ("fail", "problem"), [(remove, "the online store is gone"), (corrupt, "cannot be read")]
)
def test_features_wait_while_the_store_fails_and_events_still_count(fail, problem, stored, worker):
    live, store = worker(stored), stored.state / "feast"
    live.push_queue.push()
    fail(store)
    assert live.add([stock(3)], NOON) == EventCounts(accepted=1)
    live.push_queue.push()
    assert problem in live.push_queue.problem
    assert (live.push_queue.failures, live.push_queue.waiting, on_hand(live)) == (1, 1, 3)
    (store / "elsewhere.db").rename(store / "online.db")
    live.push_queue.push()
    assert (live.push_queue.problem, live.push_queue.waiting) == ("", 0)
    assert online(stored, "sku_live", "on_hand", sku="milk", zone="all") == [3]


def test_a_store_without_live_views_is_reported(stored, worker):
    from pipelines.feature_store import open_store

    store = open_store(stored)
    for view in ("sku_live", "shopper_live"):
        store.delete_feature_view(view)
    live = worker(stored)
    live.add([stock(3)], NOON)
    live.push_queue.push()
    assert "run `pricebook materialize`" in live.push_queue.problem


def test_materialize_adds_missing_live_views(stored):
    from pipelines.feature_store import open_store

    open_store(stored).delete_feature_view("sku_live")
    assert "sku_live" in {view.name for view in open_store(stored).list_feature_views()}
