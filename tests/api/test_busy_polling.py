"""How long the loop polls busily before it sleeps: grown by what it would have caught."""

import os
import threading
import time

import pytest
from sleeping import start_when_asleep

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(60)
MS = 1_000_000
MAX_NS = 50 * MS
FIRST_NS = 4000
HOUR_NS = 3600 * 1000 * MS


@pytest.fixture
def wait_for():
    """wait_for(loop, ns): sleeps until a timer of so many nanoseconds has fired."""

    def run(loop, ns):
        fired = []
        timer = loop.timer_new(lambda: fired.append(1))
        timer.mod_ns(q.clock_get_ns() + ns)
        while not fired:
            loop.wait()

    return run


def test_it_grows_from_nothing_by_doubling(loop, wait_for):
    """A wait that is over within poll_max_ns would have been caught by polling for longer."""
    loop.poll_max_ns = MAX_NS
    wait_for(loop, 2 * MAX_NS)
    known = [loop.info()["poll_ns"]]
    assert known == [0]
    end = time.monotonic() + 30
    while known[-1] < 8 * FIRST_NS:
        assert time.monotonic() < end, known
        wait_for(loop, 2 * MS)
        known.append(loop.info()["poll_ns"])
    # A machine that is busy with others wakes the loop too late: it begins anew, from nothing.
    allowed = {0: {0, FIRST_NS}}
    for before, after in zip(known, known[1:], strict=False):
        assert after in allowed.get(before, {0, before, 2 * before}), known


def test_it_does_not_grow_beyond_what_is_allowed(loop, wait_for):
    loop.poll_max_ns = MAX_NS
    wait_for(loop, 2 * MAX_NS)
    loop.wait(True)
    known = 0
    end = time.monotonic() + 30
    while known != MAX_NS:
        assert time.monotonic() < end, known
        wait_for(loop, min(known + MS, MAX_NS - MS))
        known = loop.info()["poll_ns"]
        assert known <= MAX_NS


@pytest.mark.posix_only(reason="there a socket's news come some time after the call that made them")
def test_what_comes_to_memory_does_not_keep_a_descriptor_from_its_turn(loop, pipe):
    """The kernel is asked once more when a bottom half ends the polling."""
    called = []
    loop.poll_max_ns = HOUR_NS
    loop.set_fd_handler(pipe[0], lambda: called.append(os.read(pipe[0], 1)))
    bh = loop.bh_new(lambda: called.append("bottom half"))

    def both():
        os.write(pipe[1], b"x")
        bh.schedule()

    for _ in range(20):
        called.clear()
        thread = start_when_asleep(loop, both)
        while "bottom half" not in called:
            loop.wait()
        thread.join()
        assert b"x" in called


@pytest.mark.parametrize("what", ["timer", "registration", "report", "bottom half"])
def test_whatever_comes_ends_the_polling_of_an_iothread(what, pipe):
    """It is awake, and announces nothing: who changes something finds it and notifies."""
    came = threading.Semaphore(0)

    def callback():
        if what == "registration":
            thread.loop.set_fd_handler(pipe[0])
        came.release()                   # last: the next one may be registered at once

    def readable():
        os.read(pipe[0], 1)
        came.release()

    with q.IOThread("polls") as thread:
        thread.loop.poll_max_ns = HOUR_NS
        timer = thread.loop.timer_new(callback)
        bh = thread.loop.bh_new(callback)
        if what == "registration":
            os.write(pipe[1], b"x")
        elif what == "report":
            thread.loop.set_fd_handler(pipe[0], readable)
        for _ in range(200):
            if what == "timer":
                timer.mod_ns(q.clock_get_ns())
            elif what == "registration":
                thread.loop.set_fd_handler(pipe[0], callback)
            elif what == "report":
                os.write(pipe[1], b"x")
            else:
                bh.schedule()
            assert came.acquire(timeout=30)
