"""The stopped virtual clock moved by hand: what refuses it, what callbacks may do meanwhile."""


import pytest

import qemu_mainloop as q
from qemu_mainloop import Clock

pytestmark = pytest.mark.timeout(20)


@pytest.mark.parametrize("move", [q.clock_step, q.clock_set])
def test_running_clock_cannot_be_moved(virtual, move):
    """Row "virtual clock": running clock: -EBUSY."""
    q.clock_enable(Clock.VIRTUAL, True)
    with pytest.raises(RuntimeError, match="runs"):
        move(2**60)


@pytest.mark.parametrize("move", [q.clock_step, q.clock_set])
def test_virtual_timers_callback_cannot_move_the_clock(loop, virtual, base, move):
    """Row "virtual clock": from a virtual timer: -EBUSY."""
    refused = []

    def callback():
        with pytest.raises(RuntimeError):
            move(2**60)
        refused.append(1)

    timer = loop.timer_new(callback, Clock.VIRTUAL)
    timer.mod_ns(base + 1)
    assert q.clock_step(10) == base + 10
    assert refused == [1]


def test_step_backwards_is_refused(virtual, base):
    """Row "virtual clock": backwards: -EINVAL."""
    with pytest.raises(ValueError, match="backwards"):
        q.clock_step(-1)
    assert virtual() == base


def test_set_backwards_is_refused(virtual, base):
    """Row "virtual clock": backwards: -EINVAL."""
    q.clock_step(10)
    with pytest.raises(ValueError, match="backwards"):
        q.clock_set(base + 9)
    assert virtual() == base + 10


def test_exception_in_a_callback_is_raised_when_the_step_is_done(loop, noted, calls, virtual, base):
    def fail():
        raise LookupError("in a timer")

    timer = loop.timer_new(fail, Clock.VIRTUAL)
    timer.mod_ns(base + 1)
    noted("t", 2)
    with pytest.raises(LookupError, match="in a timer"):
        q.clock_step(10)
    assert calls == [("t", 2)]
    assert virtual() == base + 10


def test_callback_that_starts_the_clock_ends_the_step(loop, virtual, base):
    timer = loop.timer_new(lambda: q.clock_enable(Clock.VIRTUAL, True), Clock.VIRTUAL)
    timer.mod_ns(base + 1)
    assert base + 1 <= q.clock_step(10**15) < base + 10**15


def test_callback_that_makes_and_closes_loops_does_no_harm(loop, fdmon, noted, calls, base):
    """Row "virtual clock": the contexts of the thread may change while it is stepped."""

    def callback():
        with q.MainLoop(fdmon=fdmon) as inner:
            noted("inner", 2, inner)
        noted("own", 3)

    timer = loop.timer_new(callback, Clock.VIRTUAL)
    timer.mod_ns(base + 1)
    q.clock_step(10)
    assert calls == [("own", 3)]
