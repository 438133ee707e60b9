"""PeriodicTask runs its task often while there is work, and less often without."""

import time

import pytest

from serving.state.background import SLOWDOWN, PeriodicTask


class Waits:
    """Stands in for the event that the thread waits on: records how long, and never sleeps."""

    def __init__(self, count):
        self.seconds, self._count = [], count

    def wait(self, seconds):
        self.seconds.append(seconds)
        return len(self.seconds) > self._count


def waits(task, count, *intervals):
    periodic, recorded = PeriodicTask(task, *intervals), Waits(count)
    periodic._stopping = recorded
    periodic.run()
    return recorded.seconds


def test_while_a_task_finds_work_its_interval_is_constant():
    assert waits(lambda: True, 3, 1.0, 9.0) == [1.0] * 4


def test_without_work_the_interval_grows_up_to_the_idle_interval():
    seconds = waits(lambda: False, 20, 1.0, 2.0)
    assert seconds[:3] == pytest.approx([1.0, SLOWDOWN, SLOWDOWN**2])
    assert seconds[-1] == 2.0


def test_work_resets_the_interval():
    results = iter([False, False, True, False])
    assert waits(lambda: next(results), 4, 1.0, 9.0)[3:] == pytest.approx([1.0, SLOWDOWN])


def test_without_an_idle_interval_the_interval_is_constant():
    assert waits(lambda: None, 3, 1.0) == [1.0] * 4


def test_a_task_that_raises_is_logged_and_runs_again(caplog):
    def fail():
        raise ValueError("a broken task")

    assert len(waits(fail, 2, 1.0)) == 3
    assert len(caplog.records) == 2


def test_stop_ends_a_wait_at_once():
    task = PeriodicTask(lambda: None, 60.0)
    task.start()
    began = time.monotonic()
    task.stop()
    task.join(timeout=10)
    assert not task.is_alive()
    assert time.monotonic() - began < 5
