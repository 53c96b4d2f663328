"""One iteration: the order of its phases, what wait() returns, notifications, blocking."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import qemu_mainloop as q
from qemu_mainloop import Clock

pytestmark = pytest.mark.timeout(20)


def sleeps(loop):
    return loop.info()["sleeps"]


def test_phases_are_descriptors_then_timers_then_bottom_halves(loop, pipe, virtual, calls):
    """Row "order in an iteration": timers by clock: virtual, realtime, host."""
    timers = []
    loop.bh_new(lambda: calls.append("bottom half")).schedule()
    for clock in (Clock.HOST, Clock.REALTIME, Clock.VIRTUAL):
        timers.append(loop.timer_new(lambda clock=clock: calls.append(clock.name), clock))
        timers[-1].mod_ns(0)
    loop.set_fd_handler(pipe[1], write=lambda: calls.append("descriptor"))
    q.clock_enable(Clock.VIRTUAL, True)
    assert loop.wait() == 1
    assert calls == ["descriptor", "VIRTUAL", "REALTIME", "HOST", "bottom half"]


def test_later_phases_of_the_same_iteration_run_what_earlier_ones_asked_for(loop, pipe, calls):
    """Row "order in an iteration": a descriptor arms a timer that schedules a bottom half."""
    bh = loop.bh_new(lambda: calls.append("bottom half"))
    timer = loop.timer_new(lambda: (calls.append("timer"), bh.schedule()))
    loop.set_fd_handler(pipe[1], write=lambda: (calls.append("descriptor"), timer.mod_ns(0)))
    assert loop.wait() == 1
    assert calls == ["descriptor", "timer", "bottom half"]


def test_earlier_phases_wait_for_the_next_iteration(loop, pipe, calls):
    """Row "order in an iteration": what a bottom half makes ready or due comes next time."""
    timer = loop.timer_new(lambda: calls.append("timer"))
    loop.set_fd_handler(pipe[0], read=lambda: calls.append(os.read(pipe[0], 1)))
    loop.bh_new(lambda: (os.write(pipe[1], b"x"), timer.mod_ns(0))).schedule()
    assert loop.wait() == 0
    assert calls == []
    assert loop.wait() == 1
    assert calls == [b"x", "timer"]


def test_timers_and_bottom_halves_run_also_when_no_descriptor_is_ready(loop, pipe, calls):
    loop.set_fd_handler(pipe[0], read=print)
    timer = loop.timer_new(lambda: calls.append("timer"))
    timer.mod_ns(0)
    loop.bh_new(lambda: calls.append("bottom half")).schedule()
    assert loop.wait() == 0
    assert calls == ["timer", "bottom half"]


def test_exited_child_counts_nothing(loop, calls):
    """Row "main_loop_wait returns": children count 0."""
    child = subprocess.Popen([sys.executable, "-I", "-c", ""])
    loop.add_child_watch(child.pid, lambda pid, code: calls.append(code))
    while not calls:
        assert loop.wait() == 0
    assert calls == [0]
    child.returncode = 0


@pytest.mark.posix_only(reason="there are no interval timers")
def test_signal_completes_the_iteration_and_counts_nothing(loop, calls):
    """Row "main_loop_wait returns": EINTR is not an error, signals count 0."""
    before = signal.signal(signal.SIGALRM, lambda *args: calls.append("handler"))
    loop.bh_new(lambda: signal.setitimer(signal.ITIMER_REAL, 0.02)).schedule()
    try:
        while not calls:
            assert loop.wait() == 0
    finally:
        signal.signal(signal.SIGALRM, before)
    assert calls == ["handler"]


def test_non_blocking_wait_never_sleeps(loop, pipe):
    """Row "non-blocking wait"."""
    loop.set_fd_handler(pipe[0], read=print)
    for _ in range(100):
        assert loop.wait(nonblocking=True) == 0
    assert sleeps(loop) == 0


def test_non_blocking_wait_reports_what_happened_just_before(loop, pipe, calls):
    """Row "non-blocking wait": all that happened before it in this thread, also when idle."""
    loop.set_fd_handler(pipe[0], read=lambda: calls.append(os.read(pipe[0], 1)))
    for idle in (0, 1, 5, 50, 500):
        for _ in range(idle):
            assert loop.wait(True) == 0
        os.write(pipe[1], b"x")
        assert loop.wait(True) == 1
    assert len(calls) == 5


def test_non_blocking_wait_sees_soon_what_another_thread_did(loop, pipe, calls):
    """Row "non-blocking wait": what another thread did, after a while of repeated calls."""
    loop.set_fd_handler(pipe[0], read=lambda: calls.append(os.read(pipe[0], 1)))
    for _ in range(50):
        loop.wait(True)
    thread = threading.Thread(target=os.write, args=(pipe[1], b"x"))
    thread.start()
    thread.join()
    end = time.monotonic_ns() + 5 * 10**9
    while not calls and time.monotonic_ns() < end:
        loop.wait(True)
    assert calls == [b"x"]


@pytest.mark.posix_only(reason="sockets alone have fd handlers; tests/windows has many")
def test_non_blocking_wait_reports_more_descriptors_than_one_call_holds(loop):
    """Row "non-blocking wait": reports all that happened before it in this thread."""
    fds = []
    try:
        for _ in range(1500):
            fds.append(os.eventfd(1))
            loop.set_fd_handler(fds[-1], read=lambda: None)
        assert loop.wait(True) == 1500
        assert loop.wait(True) == 1500
    except OSError:
        pytest.skip("not enough descriptors are to be had")
    finally:
        for fd in fds:
            loop.set_fd_handler(fd)
            os.close(fd)
