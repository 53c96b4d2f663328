"""Bottom halves: idle ones, other threads, the names of main-loop.h."""

import os
import threading
import time

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)


def test_idle_one_lets_a_blocking_wait_sleep_and_then_runs(loop):
    """Row "blocking wait": until an idle bottom half (10 ms)."""
    calls = []
    loop.bh_new(lambda: calls.append(1)).schedule_idle()
    begin = time.monotonic()
    assert loop.wait() == 0
    assert calls == [1]
    assert loop.info()["sleeps"] == 1
    assert 0.009 <= time.monotonic() - begin < 5


def test_idle_one_runs_in_a_non_blocking_iteration(loop):
    calls = []
    loop.bh_new(lambda: calls.append(1)).schedule_idle()
    loop.wait(True)
    assert calls == [1]


def test_idle_one_that_schedules_itself_does_not_spin(loop, iterations_in):
    """C3: 10 ms apart."""
    calls = []
    bh = loop.bh_new(lambda: (calls.append(1), bh.schedule_idle()))
    bh.schedule_idle()
    assert iterations_in(loop, 100) <= 20
    assert 1 <= len(calls) <= 12
    bh.delete()


@pytest.mark.parametrize("order", ["idle last", "idle first", "idle around"])
def test_schedule_is_stronger_than_schedule_idle(loop, order):
    """Row "schedule + schedule_idle in any order": it runs at once."""
    calls = []
    bh = loop.bh_new(lambda: calls.append(1))
    if order != "idle last":
        bh.schedule_idle()
    bh.schedule()
    if order != "idle first":
        bh.schedule_idle()
    loop.wait()
    assert calls == [1]
    assert loop.info()["sleeps"] == 0


def test_idle_one_from_another_thread_wakes_a_sleeping_loop(loop):
    """Row "schedule + schedule_idle": from another thread it wakes the loop."""
    calls = []
    bh = loop.bh_new(lambda: calls.append(1))

    def other():
        while loop.info()["sleeps"] == 0:
            os.sched_yield()
        bh.schedule_idle()

    thread = threading.Thread(target=other)
    thread.start()
    begin = time.monotonic()
    assert loop.run_until(lambda: calls, timeout=15)
    assert time.monotonic() - begin < 5
    thread.join()


def test_one_from_another_thread_wakes_a_sleeping_loop(loop):
    """Row "blocking wait": until an event."""
    calls = []
    bh = loop.bh_new(lambda: calls.append(1))

    def other():
        while loop.info()["sleeps"] == 0:
            os.sched_yield()
        bh.schedule()

    thread = threading.Thread(target=other)
    thread.start()
    begin = time.monotonic()
    while not calls:
        assert loop.wait() == 0
    assert time.monotonic() - begin < 5
    thread.join()


def test_header_names_pass_opaque_and_say_whether_something_ran(main_loop):
    """The header's qemu_bh_new() and qemu_bh_poll(): an idle one is no progress."""
    seen = []
    bh = q.qemu_bh_new(seen.append, "opaque")
    q.qemu_bh_schedule_idle(bh)
    assert q.qemu_bh_poll() == 0
    q.qemu_bh_schedule(bh)
    assert q.qemu_bh_poll() == 1
    assert q.qemu_bh_poll() == 0
    assert seen == ["opaque", "opaque"]
    q.qemu_bh_delete(bh)


def test_header_bh_poll_runs_one_that_schedules_itself_once(main_loop):
    """Row "scheduled inside a bottom half", without an iteration around it."""
    calls = []
    bh = q.qemu_bh_new(lambda o: (calls.append(o), q.qemu_bh_schedule(bh)), 1)
    q.qemu_bh_schedule(bh)
    assert [q.qemu_bh_poll() for _ in range(3)] == [1, 1, 1]
    assert calls == [1, 1, 1]
    q.qemu_bh_delete(bh)


@pytest.mark.parametrize(("timeout", "idle", "now"), [(0xFFFFFFFF, 10, 0), (5, 5, 0), (0, 0, 0)])
def test_header_update_timeout_lowers_never_raises(main_loop, timeout, idle, now):
    bh = q.qemu_bh_new(lambda o: None, None)
    assert q.qemu_bh_update_timeout(timeout) == timeout
    q.qemu_bh_schedule_idle(bh)
    assert q.qemu_bh_update_timeout(timeout) == idle
    q.qemu_bh_schedule(bh)
    assert q.qemu_bh_update_timeout(timeout) == now
    q.qemu_bh_cancel(bh)
    assert q.qemu_bh_update_timeout(timeout) == timeout
    q.qemu_bh_delete(bh)
