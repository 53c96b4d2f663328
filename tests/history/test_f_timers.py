"""Timers and clocks: bugs F1 to F12 of docs/reliability.md."""

import pytest

import qemu_mainloop as q
from qemu_mainloop import Clock

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]


@pytest.fixture
def base():
    """The stopped virtual clock's time."""
    return q.clock_step(0)


def test_f2_timers_are_armed_and_deleted_by_several_threads(race):
    """And fire in an IOThread; each arming is waited for."""
    race("alarms")


def test_f3_a_timer_for_this_very_instant_is_due(loop, base):
    seen = []
    timer = loop.timer_new(lambda: seen.append(q.clock_get_ns(Clock.VIRTUAL)), Clock.VIRTUAL)
    timer.mod_ns(base + 100)
    q.clock_set(base + 99)
    assert seen == []
    q.clock_set(base + 100)
    assert seen == [base + 100]


def test_f9_a_far_timer_costs_no_wake_up(loop):
    """No tick: of two timers, only the near one ends a sleep."""
    fired = []
    far = loop.timer_new(lambda: None)
    far.mod_ns(q.clock_get_ns() + 3600 * 10**9)
    near = loop.timer_new(lambda: fired.append(1))
    before = loop.info()["iterations"]
    near.mod_ns(q.clock_get_ns() + 100_000_000)
    while not fired:
        loop.wait()
    assert loop.info()["iterations"] - before <= 2
    far.delete()


def test_f10_one_function_in_every_role_is_never_inside_itself(loop, sockets):
    """Bottom half, timer and fd handler at once, each of which sets off the others."""
    depth, calls = [0], []

    def callback():
        depth[0] += 1
        calls.append(depth[0])
        if len(calls) < 30:
            bh.schedule()
            timer.mod_ns(0)
            sockets[1].send(b"x")
        depth[0] -= 1

    bh = loop.bh_new(callback)
    timer = loop.timer_new(callback)
    loop.set_fd_handler(sockets[0], lambda: (sockets[0].recv(100), callback()))
    bh.schedule()
    while len(calls) < 30:
        loop.wait()
    assert set(calls) == {1}
    timer.delete()
