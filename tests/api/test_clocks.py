"""Clocks: the virtual one stopped, running, stepped; the host's set; the others held."""

import subprocess
import sys
import threading
import time

import pytest

import qemu_mainloop as q
from qemu_mainloop import Clock

pytestmark = pytest.mark.timeout(20)


def test_numbers_are_those_of_the_header():
    assert [int(clock) for clock in (Clock.REALTIME, Clock.VIRTUAL, Clock.HOST)] == [0, 1, 2]


def test_realtime_is_time_monotonic_and_host_is_time_time():
    assert 0 <= q.clock_get_ns(Clock.REALTIME) - time.monotonic_ns() + 10**9 < 2 * 10**9
    assert abs(q.clock_get_ns(Clock.HOST) - time.time_ns()) < 10**9


@pytest.mark.parametrize("use", [q.clock_get_ns, lambda clock: q.clock_enable(clock, True)])
def test_unknown_clock_is_a_value_error(use):
    for clock in (3, -1, "VIRTUAL"):
        with pytest.raises(ValueError, match="Clock"):
            use(clock)


def test_virtual_clock_of_a_new_process_is_stopped_at_zero():
    """Row "virtual clock": starts at 0, stopped."""
    script = "import qemu_mainloop as q; print(q.clock_get_ns(1), q.clock_get_ns(1))"
    out = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, check=True)
    assert out.stdout.split() == [b"0", b"0"]


def test_stopped_clock_holds_its_timers(loop, noted, iterations_in, calls):
    """Row "virtual clock": a stopped clock does not enter the wait (F6, F7)."""
    noted("t", 0)
    assert iterations_in(loop, 20) <= 3
    assert calls == []


def test_enabled_clock_runs_and_fires(loop, virtual):
    """Row "virtual clock": runs after qemu_clock_enable()."""
    before = virtual()
    fired = []
    timer = loop.timer_new(lambda: fired.append(virtual()), Clock.VIRTUAL)
    timer.mod_ns(before + 2_000_000)
    q.clock_enable(Clock.VIRTUAL, True)
    while not fired:
        loop.wait()
    assert fired[0] >= before + 2_000_000


def test_disabled_clock_goes_on_where_it_stopped(virtual):
    """Row "virtual clock": stops and goes on where it stopped."""
    q.clock_enable(Clock.VIRTUAL, True)
    q.clock_enable(Clock.VIRTUAL, False)
    stopped_at = virtual()
    end = time.monotonic_ns() + 2_000_000_0
    while time.monotonic_ns() < end:
        assert virtual() == stopped_at
    begin = time.monotonic_ns()
    q.clock_enable(Clock.VIRTUAL, True)
    assert stopped_at <= virtual() <= stopped_at + time.monotonic_ns() - begin


def test_enabling_twice_loses_no_time(virtual):
    q.clock_enable(Clock.VIRTUAL, True)
    first = virtual()
    q.clock_enable(Clock.VIRTUAL, True)
    assert virtual() >= first


def test_timer_left_over_by_a_callback_that_stops_the_clock_fires_later(loop, noted, calls):
    """Row "virtual clock": disabled in the phase, nothing more of it runs."""
    stopper = loop.timer_new(lambda: q.clock_enable(Clock.VIRTUAL, False), Clock.VIRTUAL)
    stopper.mod_ns(0)
    noted("t", 0)
    q.clock_enable(Clock.VIRTUAL, True)
    loop.wait(True)
    assert calls == []
    q.clock_enable(Clock.VIRTUAL, True)
    loop.wait(True)
    assert len(calls) == 1


@pytest.mark.parametrize("clock", [Clock.REALTIME, Clock.HOST])
def test_other_clocks_hold_their_timers_while_they_are_disabled(loop, clock):
    fired = []
    timer = loop.timer_new(lambda: fired.append(1), clock)
    timer.mod_ns(0)
    q.clock_enable(clock, False)
    try:
        loop.wait(True)
        assert fired == []
        assert q.clock_get_ns(clock) > 0
    finally:
        q.clock_enable(clock, True)
    loop.wait(True)
    assert fired == [1]


def test_enabling_wakes_a_loop_that_sleeps_in_another_thread(virtual):
    """Row "virtual clock": its timers count again for a loop that sleeps."""
    fired = threading.Event()
    with q.IOThread("sleeper") as io:
        timer = io.loop.timer_new(fired.set, Clock.VIRTUAL)
        timer.mod_ns(0)
        q.clock_enable(Clock.VIRTUAL, True)
        assert fired.wait(10)
        del timer


def test_disabling_waits_for_a_callback_in_another_thread(virtual):
    """Row "virtual clock": disabling waits for callbacks running in other threads (F1)."""
    running, release = threading.Event(), threading.Event()
    order = []

    def callback():
        running.set()
        release.wait(10)
        order.append("callback")

    def disable():
        q.clock_enable(Clock.VIRTUAL, False)
        order.append("disabled")

    with q.IOThread("runner") as io:
        timer = io.loop.timer_new(callback, Clock.VIRTUAL)
        timer.mod_ns(0)
        q.clock_enable(Clock.VIRTUAL, True)
        assert running.wait(10)
        thread = threading.Thread(target=disable)
        thread.start()
        thread.join(0.05)
        assert thread.is_alive()
        release.set()
        thread.join(10)
        assert order == ["callback", "disabled"]
        del timer


def test_disabling_in_its_own_callback_does_not_wait_for_itself(loop, noted, virtual, calls):
    """Row "virtual clock": for callbacks running in *other* threads."""
    timer = loop.timer_new(lambda: q.clock_enable(Clock.VIRTUAL, False), Clock.VIRTUAL)
    timer.mod_ns(0)
    q.clock_enable(Clock.VIRTUAL, True)
    loop.wait(True)
    assert not timer.pending
