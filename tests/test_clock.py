"""The service's clock never goes back."""

from hypothesis import given
from hypothesis import strategies as st

from serving.clock import NANO, MonotonicClock


class Machine:
    """A wall clock anybody may set, and a counter nobody may."""

    def __init__(self):
        self.counted, self.set_by = 0, 1_000_000 * NANO

    def clock(self):
        return MonotonicClock(lambda: self.counted + self.set_by, lambda: self.counted)


def test_it_tells_the_wall_s_time():
    machine = Machine()
    clock = machine.clock()
    machine.counted += 5 * NANO
    assert clock().timestamp() == 1_000_005


def test_a_clock_set_back_goes_on_from_where_it_was():
    machine = Machine()
    clock = machine.clock()
    before = clock()
    machine.set_by -= 3600 * NANO
    machine.counted += 5 * NANO
    assert (clock() - before).total_seconds() == 5


def test_a_clock_set_forward_is_followed():
    machine = Machine()
    clock = machine.clock()
    machine.set_by += 3600 * NANO
    assert clock().timestamp() == 1_003_600


@given(st.lists(st.tuples(st.integers(0, 10 * NANO), st.integers(-(10**15), 10**15))))
def test_whatever_is_done_to_the_wall_s_clock_time_goes_on(steps):
    machine = Machine()
    clock = machine.clock()
    told = [clock()]
    for passed, moved in steps:
        machine.counted += passed
        machine.set_by = max(0, min(machine.set_by + moved, 2**61))
        told.append(clock())
    assert told == sorted(told)


def test_a_pause_between_its_two_looks_does_not_put_it_ahead():
    machine, pauses = Machine(), iter([0, 0, 5, 5])

    def after_a_pause(told):
        machine.counted += next(pauses, 0) * NANO
        return told()

    clock = MonotonicClock(
        lambda: after_a_pause(lambda: machine.counted + machine.set_by),
        lambda: after_a_pause(lambda: machine.counted),
    )
    clock()
    assert clock().timestamp() <= (machine.counted + machine.set_by) / NANO
