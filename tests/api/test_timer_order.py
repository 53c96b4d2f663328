"""Timers: which fires first, how often in an iteration, what a callback may do to others."""

import random

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)

MS = 1_000_000
FAR = 3600 * q.NANOSECONDS_PER_SECOND


def now():
    return q.clock_get_ns()


def test_overdue_one_waits_for_an_iteration(loop, new, calls):
    """Time that passes without the loop being driven fires nothing by itself."""
    deadline = now() + 1000
    new("t").mod_ns(deadline)
    while now() <= deadline:
        pass
    assert calls == []
    loop.wait(True)
    assert calls == ["t"]


def test_equal_deadlines_fire_in_arming_order(loop, new, calls):
    """Row "timers": equal deadlines in arming order; arming again goes to the back."""
    timers = {name: new(name) for name in "abcde"}
    for name in "badce":
        timers[name].mod_ns(1000)
    timers["b"].mod_ns(1000)
    loop.wait(True)
    assert "".join(calls) == "adceb"


def test_different_deadlines_fire_in_order_of_time(loop, new, calls):
    timers = [(when, new(when)) for when in range(500)]
    random.Random(2).shuffle(timers)
    for when, timer in timers:
        timer.mod_ns(when)
    loop.wait(True)
    assert calls == list(range(500))


def test_one_that_arms_itself_as_due_runs_once_an_iteration(loop, calls):
    """Row "timers": each at most once an iteration, as due again in the next (C17)."""
    timer = loop.timer_new(lambda: (calls.append(1), timer.mod_ns(0)))
    timer.mod_ns(0)
    for n in range(1, 6):
        loop.wait()
        assert len(calls) == n
    timer.delete()


def test_one_armed_as_due_by_another_runs_in_the_next_iteration(loop, new, calls):
    """Row "timers": one armed as due by a callback runs in the next (C17)."""
    second = new("second")
    first = loop.timer_new(lambda: (calls.append("first"), second.mod_ns(0)))
    first.mod_ns(now())
    loop.wait(True)
    assert calls == ["first"]
    loop.wait()
    assert calls == ["first", "second"]


@pytest.mark.parametrize("how", ["deleted", "moved"])
def test_due_one_that_an_earlier_one_takes_back_does_not_fire(loop, new, calls, how):
    """Row "delete / cancel", of timers: from anywhere."""
    second = new("second")

    def callback():
        calls.append("first")
        second.delete() if how == "deleted" else second.mod_ns(now() + FAR)

    first = loop.timer_new(callback)
    first.mod_ns(1)
    second.mod_ns(2)
    loop.wait(True)
    loop.wait(True)
    assert calls == ["first"]
    assert second.pending == (how == "moved")


def test_it_is_not_pending_in_its_own_callback(loop):
    seen = []
    timer = loop.timer_new(lambda: seen.append((timer.pending, timer.expire_time_ns)))
    timer.mod_ns(0)
    assert timer.pending
    loop.wait(True)
    assert seen == [(False, -1)]
