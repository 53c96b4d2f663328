"""Timers: when they fire, in which order, how often in an iteration."""

import os
import threading
import time

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)

MS = 1_000_000
FAR = 3600 * q.NANOSECONDS_PER_SECOND


def now():
    return q.clock_get_ns()


@pytest.mark.parametrize("clock", [q.Clock.REALTIME, q.Clock.HOST])
@pytest.mark.parametrize("ns", [1, 1_000, 100_000, 1_500_000, 12_345_678])
def test_blocking_wait_fires_it_never_early(loop, clock, ns):
    """Row "blocking wait": until a timer; nanosecond deadlines, never early."""
    fired = []
    timer = loop.timer_new(lambda: fired.append(q.clock_get_ns(clock)), clock=clock)
    deadline = q.clock_get_ns(clock) + ns
    timer.mod_ns(deadline)
    while not fired:
        assert loop.wait() == 0
    assert fired[0] >= deadline


def test_first_iteration_knows_a_timer_armed_before_it(loop, new, calls):
    """A15."""
    new("t").mod_ns(now() + 5 * MS)
    while not calls:
        loop.wait()
    assert calls == ["t"]


def test_it_fires_once(loop, new, calls):
    timer = new("t")
    timer.mod_ns(0)
    assert [loop.wait(True) for _ in range(3)] == [0, 0, 0]
    assert calls == ["t"]
    assert not timer.pending


def test_unarmed_one_does_not_fire(loop, new, calls):
    timer = new("t")
    loop.wait(True)
    assert (calls, timer.pending, timer.expire_time_ns) == ([], False, -1)


def test_future_one_does_not_fire_in_a_non_blocking_iteration(loop, new, calls):
    timer = new("t")
    timer.mod_ns(now() + FAR)
    loop.wait(True)
    assert calls == []
    assert timer.pending


def test_negative_time_counts_as_zero(loop, new, calls):
    """Row "timers": negative times count as 0."""
    timer = new("t")
    timer.mod_ns(-5)
    assert timer.expire_time_ns == 0
    assert timer.pending
    loop.wait(True)
    assert calls == ["t"]


@pytest.mark.parametrize("clock", list(q.Clock))
def test_the_end_of_time_is_never(loop, new, calls, iterations_in, clock):
    timer = new("t", clock=clock)
    timer.mod_ns(2**63 - 1)
    assert iterations_in(loop, 20) <= 3
    assert timer.pending
    assert calls == []


@pytest.mark.parametrize("when", [2**63 - 1, 2**63 // q.SCALE_MS + 1, 2**70])
def test_scale_multiplication_saturates(new, when):
    """Row "timers": scale multiplication saturates (F4)."""
    timer = new("t")
    timer.mod(when)
    assert timer.expire_time_ns == 2**63 - 1


def test_scale_is_milliseconds_unless_told_otherwise(new):
    timer = new("t")
    timer.mod(5)
    assert timer.expire_time_ns == 5_000_000
    timer.mod(5, scale=q.SCALE_US)
    assert timer.expire_time_ns == 5_000
    timer.mod(5, scale=q.SCALE_NS)
    assert timer.expire_time_ns == 5


def test_scale_below_one_is_a_value_error(new):
    with pytest.raises(ValueError, match="scale"):
        new("t").mod(1, scale=0)


def test_arming_again_moves_it(loop, new, calls):
    timer = new("t")
    timer.mod_ns(0)
    timer.mod_ns(now() + FAR)
    loop.wait(True)
    assert calls == []
    timer.mod_ns(now())
    loop.wait(True)
    assert calls == ["t"]


def test_anticipate_only_moves_it_forward(new):
    timer = new("t")
    seen = []
    for when in (1000, 2000, 1000, 500):
        timer.mod_anticipate_ns(when)
        seen.append(timer.expire_time_ns)
    assert seen == [1000, 1000, 1000, 500]


def test_deleted_one_does_not_fire_and_may_be_armed_again(loop, new, calls):
    timer = new("t")
    timer.mod_ns(0)
    timer.delete()
    timer.delete()
    assert not timer.pending
    loop.wait(True)
    assert calls == []
    timer.mod_ns(0)
    loop.wait(True)
    assert calls == ["t"]


def test_periodic_one_costs_at_most_two_iterations_a_tick(loop):
    """A16."""
    ticks = []

    def tick():
        ticks.append(now())
        timer.mod_ns(ticks[-1] + MS)

    timer = loop.timer_new(tick)
    timer.mod_ns(now() + MS)
    assert loop.run_until(lambda: len(ticks) == 20, timeout=10)
    assert loop.info()["iterations"] <= 40
    timer.delete()


def test_one_armed_by_another_thread_wakes_a_sleeping_loop(loop, new, calls):
    """Row "blocking wait": until a timer, also one that came during the wait."""
    new("late").mod_ns(now() + FAR)
    soon = new("soon")

    def other():
        while loop.info()["sleeps"] == 0:
            os.sched_yield()
        soon.mod_ns(now() + 1000)

    thread = threading.Thread(target=other)
    thread.start()
    begin = time.monotonic()
    while not calls:
        loop.wait()
    assert time.monotonic() - begin < 10
    assert calls == ["soon"]
    thread.join()
