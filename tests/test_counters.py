"""The service's own metrics: what a worker writes, and what /metrics makes of several workers."""

import os
import subprocess
import sys
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.multiprocess import MultiProcessCollector

from pricebook.config import REPO_ROOT, Settings

KILLED_WORKER = """
import os, signal
from serving.metrics import ServiceMetrics
metrics = ServiceMetrics()
{calls}
os.kill(os.getpid(), signal.SIGKILL)
"""
WORKER_WITHOUT_ONLINE_STORE = """
import time
from datetime import UTC, datetime
from pricebook.config import Settings
from pricebook.events import Event
from serving.http.handlers import Handlers
handlers = Handlers.from_home(Settings(), packed_bundle=None)
now = datetime.now(UTC)
handlers.live.add([Event("e1", now, "stock", "milk", on_hand=3)], now)
while not handlers.live.push_queue.failures:
    time.sleep(0.01)
handlers._update_metrics()
handlers.close()
"""


@pytest.fixture
def run_worker(tmp_path):
    """Runs a worker in a process of its own; returns what /metrics shows then, by name."""

    def run(code, **env):
        env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path)} | env
        subprocess.run([sys.executable, "-c", code], cwd=REPO_ROOT, env=env, check=False)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, path=str(tmp_path))
        return {s.name: s.value for metric in registry.collect() for s in metric.samples}

    return run


def test_gauges_of_a_killed_worker_are_replaced_and_its_counts_are_kept(run_worker):
    calls = "metrics.set_events({'view': 1.0}, 0), metrics.set_pushes(9, 2)"
    run_worker(KILLED_WORKER.format(calls=calls))
    calls = "metrics.set_events({'view': 5.0}, 1), metrics.set_pushes(4, 1)"
    values = run_worker(KILLED_WORKER.format(calls=calls))
    assert values["pricebook_signal_age_seconds"] == 5
    assert values["pricebook_unreadable_events"] == 1
    assert values["pricebook_pushes_waiting"] == 4
    assert values["pricebook_push_failures_total"] == 3


def test_a_total_of_failures_that_is_reported_again_counts_once(run_worker):
    calls = "metrics.set_pushes(1, 2), metrics.set_pushes(1, 3)"
    values = run_worker(KILLED_WORKER.format(calls=calls))
    assert values["pricebook_push_failures_total"] == 3


def test_unreadable_events_and_waiting_pushes_are_reported(run_worker, tmp_path):
    events = Settings(home=tmp_path).state / "events"
    events.mkdir(parents=True)
    (events / f"events-{datetime.now(UTC).date()}.jsonl").write_text("no event\n")
    values = run_worker(WORKER_WITHOUT_ONLINE_STORE, PRICEBOOK_HOME=str(tmp_path))
    assert values["pricebook_unreadable_events"] == 1
    assert values["pricebook_pushes_waiting"] == 1
    assert values["pricebook_push_failures_total"] >= 1
