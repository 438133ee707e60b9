"""The service's clock never goes back."""

from hypothesis import given
from hypothesis import strategies as st

from serving.clock import NANO, MonotonicClock


class Machine:
    """A wall clock that can be set, and a monotonic counter that cannot."""

    def __init__(self):
        self.count, self.offset = 0, 1_000_000 * NANO

    def clock(self):
        return MonotonicClock(lambda: self.count + self.offset, lambda: self.count)


def test_it_returns_the_time_of_the_wall_clock():
    machine = Machine()
    clock = machine.clock()
    machine.count += 5 * NANO
    assert clock().timestamp() == 1_000_005


def test_when_the_wall_clock_is_set_back_time_goes_on():
    machine = Machine()
    clock = machine.clock()
    before = clock()
    machine.offset -= 3600 * NANO
    machine.count += 5 * NANO
    assert (clock() - before).total_seconds() == 5


def test_when_the_wall_clock_is_set_forward_it_follows():
    machine = Machine()
    clock = machine.clock()
    machine.offset += 3600 * NANO
    assert clock().timestamp() == 1_003_600


@given(st.lists(st.tuples(st.integers(0, 10 * NANO), st.integers(-(10**15), 10**15))))
def test_it_never_goes_back_however_the_wall_clock_is_set(steps):
    machine = Machine()
    clock = machine.clock()
    times = [clock()]
    for elapsed, change in steps:
        machine.count += elapsed
        machine.offset = max(0, min(machine.offset + change, 2**61))
        times.append(clock())
    assert times == sorted(times)


def test_a_pause_between_its_two_reads_does_not_put_it_ahead():
    machine, pauses = Machine(), iter([0, 0, 5, 5])

    def after_a_pause(read):
        machine.count += next(pauses, 0) * NANO
        return read()

    clock = MonotonicClock(
        lambda: after_a_pause(lambda: machine.count + machine.offset),
        lambda: after_a_pause(lambda: machine.count),
    )
    clock()
    assert clock().timestamp() <= (machine.count + machine.offset) / NANO
