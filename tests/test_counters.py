"""The service's own metrics: what a worker tells, and what /metrics makes of several."""

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from pricebook.config import REPO_ROOT, Settings

TELLS = """
import os, signal
from serving.metrics import Counters
counters = Counters()
{told}
os.kill(os.getpid(), signal.SIGKILL)
"""
WATCHES = """
import time
from datetime import UTC, datetime
from pricebook.config import Settings
from pricebook.signals import Event
from serving.http.handlers import Handlers
answers = Handlers.from_home(Settings(), packed=None)
now = datetime.now(UTC)
answers.live.take([Event("e1", now, "stock", "milk", on_hand=3)], now)
while not answers.live.pushes.failures:
    time.sleep(0.01)
answers._tell()
answers.close()
"""


@pytest.fixture
def run(tmp_path):
    """Runs a worker in a process of its own; gives what /metrics then tells, by name."""

    def ran(code, **env):
        env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} | env
        subprocess.run([sys.executable, "-c", code], cwd=REPO_ROOT, env=env, check=False)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(tmp_path))
        return {s.name: s.value for metric in registry.collect() for s in metric.samples}

    return ran


def test_a_worker_that_was_killed_is_no_longer_heard_but_what_it_counted_stays(run):
    run(TELLS.format(told="counters.heard({'view': 1.0}, 0), counters.pushed(9, 2)"))
    told = run(TELLS.format(told="counters.heard({'view': 5.0}, 1), counters.pushed(4, 1)"))
    assert told["pricebook_signal_age_seconds"] == 5
    assert (told["pricebook_unreadable_events"], told["pricebook_pushes_waiting"]) == (1, 4)
    assert told["pricebook_push_failures_total"] == 3


def test_failures_told_twice_count_once(run):
    told = run(TELLS.format(told="counters.pushed(1, 2), counters.pushed(1, 3)"))
    assert told["pricebook_push_failures_total"] == 3


def test_the_watch_tells_of_lines_and_figures_that_are_stuck(run, tmp_path):
    events = Settings(home=tmp_path).state / "events"
    events.mkdir(parents=True)
    (events / f"events-{datetime.now(UTC).date()}.jsonl").write_text("no event\n")
    told = run(WATCHES, PRICEBOOK_HOME=str(tmp_path))
    assert (told["pricebook_unreadable_events"], told["pricebook_pushes_waiting"]) == (1, 1)
    assert told["pricebook_push_failures_total"] >= 1
