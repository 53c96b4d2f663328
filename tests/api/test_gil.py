"""How often the GIL is taken, and that others get it."""

import functools
import os
import sys
import threading

import pytest

import qemu_mainloop as q

has_gil = getattr(sys, "_is_gil_enabled", lambda: True)()
needs_gil = pytest.mark.skipif(not has_gil, reason="there is no GIL in this build")


def note_all_kinds(loop, pipe, note):
    """Ten descriptors' worth of callbacks of every kind, all due in one iteration."""
    loop.set_fd_handler(pipe[1], None, note)
    objects = [loop.timer_new(note) for _ in range(10)]
    for timer in objects:
        timer.mod(0)
    for _ in range(10):
        objects.append(loop.bh_new(note))
        objects[-1].schedule()
    return objects


def test_a_run_of_python_callbacks_takes_the_gil_once(loop, pipe):
    """Section 3: once for a run of Python callbacks, across the phases."""
    taken = []
    kept = note_all_kinds(loop, pipe, lambda: taken.append(loop.info()["gil_taken"]))
    loop.wait()
    assert len(taken) == len(kept) + 1
    assert len(set(taken)) == 1


def test_a_blocking_iteration_takes_the_gil_at_most_once(loop, pipe):
    """Section 3: let go before the wait, taken at the first callback."""
    before = loop.info()["gil_taken"]
    kept = note_all_kinds(loop, pipe, lambda: None)
    loop.wait()
    assert kept
    assert loop.info()["gil_taken"] - before <= 1


def test_an_iteration_that_need_not_sleep_keeps_the_gil(loop, pipe):
    """Section 3: what is ready already is found with the GIL in hand, but for one time in 17."""
    loop.set_fd_handler(pipe[1], None, lambda: None)
    before = loop.info()
    for _ in range(170):
        assert loop.wait() == 1
    after = loop.info()
    assert 10 <= after["sleeps"] - before["sleeps"] <= 12
    assert after["gil_taken"] - before["gil_taken"] <= 12


def test_a_loop_that_has_to_sleep_soon_stops_looking_first(loop, pipe):
    """Looks in vain get rarer: at most one in 64 sleeps, in the end."""
    loop.set_fd_handler(pipe[0], lambda: os.read(pipe[0], 1))
    found = 0
    for i in range(400):
        timer = loop.timer_new(lambda: os.write(pipe[1], b"x"))
        timer.mod(0)
        loop.wait()              # a look in vain, or none: the timer is due
        assert not timer.pending
        before = loop.info()["sleeps"]
        assert loop.wait() == 1
        found += i >= 200 and loop.info()["sleeps"] == before
    assert found <= 200 // 16


def test_an_iothread_takes_the_gil_once_for_a_run(pipe):
    """Section 2.3: only when a Python callback is due there, and once for all of them."""
    taken = []
    with q.IOThread() as io, q.MainLoop() as here:
        bhs = [io.loop.bh_new(lambda: taken.append(io.loop.info()["gil_taken"])) for _ in range(50)]
        bhs.append(io.loop.bh_new(here.notify))
        first = io.loop.bh_new(lambda: [bh.schedule() for bh in bhs])
        first.schedule()
        assert here.run_until(lambda: len(taken) == 50, timeout=10)
    assert len(set(taken)) == 1


def test_an_iothread_without_python_callbacks_never_takes_the_gil():
    """Section 2.3: notifications alone are no reason to take it."""
    with q.IOThread() as io:
        before = io.loop.info()
        while io.loop.info()["iterations"] < before["iterations"] + 20:
            io.loop.notify()
            os.sched_yield()
        assert io.loop.info()["gil_taken"] == before["gil_taken"]


def test_the_counter_of_python_callbacks_counts_them(loop, pipe):
    """Section 3, info(): what the other figure is to be compared with."""
    before = loop.info()["python_callbacks"]
    kept = note_all_kinds(loop, pipe, lambda: None)
    loop.wait()
    assert loop.info()["python_callbacks"] - before == len(kept) + 1


def test_other_threads_run_while_the_loop_sleeps(loop):
    """Section 3: the GIL is never held while waiting."""
    before = loop.info()["sleeps"]

    def work():
        while loop.info()["sleeps"] == before:
            os.sched_yield()
        sum(range(100_000))
        loop.stop()

    thread = threading.Thread(target=work)
    thread.start()
    loop.run()
    thread.join()


@needs_gil
def test_other_threads_run_during_a_run_of_callables_written_in_c(loop):
    """Section 3: let go at the latest every sys.getswitchinterval(), though no bytecode runs."""
    count = 128
    slow = functools.partial(sum, range(200_000))  # some milliseconds, the GIL held throughout
    bhs = [loop.bh_new(slow) for _ in range(count)]
    before = loop.info()["python_callbacks"]
    seen, begun, ended = set(), threading.Event(), threading.Event()

    def look():
        begun.set()
        while not ended.is_set():
            seen.add(loop.info()["python_callbacks"] - before)

    thread = threading.Thread(target=look)
    thread.start()
    begun.wait()
    for bh in bhs:
        bh.schedule()
    loop.wait()
    ended.set()
    thread.join()
    # On Windows turns are given by waits that are as long as the system's tick, or longer.
    assert len(seen - {0, count}) >= (3 if sys.platform == "win32" else 10)


@needs_gil
def test_other_threads_run_while_a_bottom_half_schedules_itself(loop):
    """Section 3: let go in every blocking iteration, which the self-scheduling one makes."""
    bh = loop.bh_new(lambda: bh.schedule())
    bh.schedule()
    done = threading.Event()
    thread = threading.Thread(target=done.set)
    thread.start()
    assert loop.run_until(done.is_set, timeout=10)
    thread.join()
    bh.delete()
