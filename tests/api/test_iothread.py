"""IOThreads."""

import os
import signal
import subprocess
import sys
import threading

import pytest

import qemu_mainloop as q


@pytest.fixture
def here():
    """A loop of the test's own thread, to wait in."""
    with q.MainLoop() as loop:
        yield loop


def arrange_descriptor(io, pipe, callback):
    def once():
        io.loop.set_fd_handler(pipe[1])
        callback()

    io.loop.set_fd_handler(pipe[1], None, once)


def arrange_timer(io, pipe, callback):
    io.loop.timer_new(callback).mod(0)


def arrange_bottom_half(io, pipe, callback):
    io.loop.bh_new(callback).schedule()


def arrange_idle_bottom_half(io, pipe, callback):
    io.loop.bh_new(callback).schedule_idle()


ARRANGEMENTS = [arrange_descriptor, arrange_timer, arrange_bottom_half, arrange_idle_bottom_half]


@pytest.mark.parametrize("arrange", ARRANGEMENTS)
def test_every_callback_runs_in_its_thread(here, pipe, arrange):
    """Section 2.3: a context run by a native thread of its own."""
    threads = []
    with q.IOThread() as io:
        arrange(io, pipe, lambda: (threads.append(threading.get_native_id()), here.notify()))
        assert here.run_until(lambda: threads, timeout=10)
    assert threads[0] != threading.get_native_id()


def test_two_iothreads_are_two_threads(here):
    """Section 2.3: each one has its own."""
    threads = set()

    def note():
        threads.add(threading.get_native_id())
        here.notify()

    with q.IOThread() as one, q.IOThread() as other:
        for io in (one, other):
            arrange_bottom_half(io, None, note)
        assert here.run_until(lambda: len(threads) == 2, timeout=10)


@pytest.mark.posix_only(reason="there are no signal masks")
def test_it_blocks_all_signals(here):
    """Section 3: a process's signals are for the threads that were there before."""
    masks = []

    def note():
        masks.append(signal.pthread_sigmask(signal.SIG_BLOCK, []))
        here.notify()

    with q.IOThread() as io:
        arrange_bottom_half(io, None, note)
        assert here.run_until(lambda: masks, timeout=10)
    assert {signal.SIGINT, signal.SIGTERM, signal.SIGCHLD, signal.SIGUSR1} <= masks[0]


def test_it_has_the_name_it_was_given():
    """Section 3: IOThread(name)."""
    with q.IOThread("disk0") as io:
        assert io.name == "disk0"
        assert "disk0" in repr(io)


def test_stopping_from_its_own_thread_is_a_runtime_error(here):
    """Section 2.3, iothread_stop from its own thread; it names the object and goes on."""
    errors = []

    def stop():
        try:
            io.stop()
        except RuntimeError as error:
            errors.append(str(error))
        here.notify()

    with q.IOThread("disk0") as io:
        for expected in (1, 2):
            arrange_bottom_half(io, None, stop)
            assert here.run_until(lambda n=expected: len(errors) == n, timeout=10)
    assert "IOThread 'disk0'" in errors[0]


def test_stop_may_be_called_twice():
    """Section 3, lifetimes: as stop() and close() of a loop."""
    io = q.IOThread()
    io.stop()
    io.stop()


def test_a_second_stop_does_not_wait_for_the_thread_that_came_after():
    """The system gives the name of a thread that was waited for to the next one."""
    io = q.IOThread()
    io.stop()
    with q.IOThread() as other:
        io.stop()
        answered = []
        other.loop.bh_new(lambda: answered.append(1)).schedule()
        while not answered:
            os.sched_yield()


def test_stop_by_two_threads_at_once_ends_it():
    """Section 2.3: stop() waits for the thread, whoever calls it."""
    io = q.IOThread()
    threads = [threading.Thread(target=io.stop) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_stop_right_after_it_was_made_ends_it():
    """Bugs A7 and A8: the stop races with the thread's first sleep."""
    for _ in range(200):
        q.IOThread().stop()


def test_stop_ends_a_thread_that_never_sleeps():
    """Section 3: after its iteration, though a bottom half schedules itself for ever."""
    with q.IOThread() as io:
        bh = io.loop.bh_new(lambda: bh.schedule())
        bh.schedule()


def test_nothing_runs_after_stop():
    """Section 2.3: stop() has waited for the thread."""
    ran = []
    with q.IOThread() as io:
        loop = io.loop
    bh = loop.bh_new(lambda: ran.append(1))
    bh.schedule()
    assert ran == []
    assert loop.wait(True) == 0
    assert ran == [1]


def test_its_loop_is_not_for_others_to_poll(here):
    """Section 3: a loop polled by another thread: RuntimeError that names the loop."""
    ready = []
    with q.IOThread() as io:
        arrange_bottom_half(io, None, lambda: (ready.append(1), here.notify()))
        assert here.run_until(lambda: ready, timeout=10)
        before = io.loop.info()["sleeps"]
        io.loop.notify()
        while io.loop.info()["sleeps"] == before:
            os.sched_yield()
        with pytest.raises(RuntimeError, match="polled by another thread") as caught:
            io.loop.wait(True)
        assert repr(io.loop) in str(caught.value)


def test_many_come_and_go():
    """Section 3: nothing of them is left; the leak guard counts descriptors and threads."""
    for _ in range(10):
        threads = [q.IOThread(f"io{i}") for i in range(10)]
        for io in threads:
            io.loop.bh_new(lambda: None).schedule()
        for io in threads:
            io.stop()


@pytest.mark.parametrize("busy", [False, True])
def test_one_left_running_does_not_disturb_the_interpreters_end(busy):
    """Section 3: IOThreads left running are stopped before the interpreter goes."""
    program = f"""
import threading
import qemu_mainloop as q
io = q.IOThread()
ran = threading.Event()
def callback():
    ran.set()
    if {busy}:
        bh.schedule()
bh = io.loop.bh_new(callback)
bh.schedule()
assert ran.wait(10)
"""
    run = subprocess.run(
        [sys.executable, "-P", "-c", program], timeout=60, capture_output=True, check=False
    )
    assert (run.returncode, run.stderr) == (0, b"")
