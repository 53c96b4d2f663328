"""A bottom half that came while the main thread polled memory was found, and never run.

Nobody writes the notifier for a loop that is awake, so the kernel had nothing to report
and wait() of a process with threads slept, or polled, again: for ever.  And an idle one was
taken for one to run at once.
"""

import os
import threading

import pytest

import qemu_mainloop as q

SECOND = 1_000_000_000


@pytest.fixture
def polling_loop(loop):
    loop.poll_max_ns = SECOND
    return loop


def when_it_sleeps(loop, call):
    """A thread that calls once the loop has begun its next sleep, which begins with polling."""
    sleeps = loop.info()["sleeps"]

    def run():
        while loop.info()["sleeps"] == sleeps:
            os.sched_yield()
        call()

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@pytest.mark.timeout(20)
@pytest.mark.parametrize("how", ["schedule", "schedule_idle"])
@pytest.mark.parametrize("run", [False, True], ids=["wait", "run"])
def test_a_bottom_half_ends_the_polling(polling_loop, how, run):
    ran = []

    def callback():
        ran.append(1)
        polling_loop.stop()

    bh = polling_loop.bh_new(callback)
    for i in range(5):
        thread = when_it_sleeps(polling_loop, getattr(bh, how))
        if run:
            polling_loop.run()
        while len(ran) <= i:
            polling_loop.wait()
        thread.join()
    assert len(ran) == 5


@pytest.mark.timeout(20)
def test_an_idle_one_keeps_its_pace(polling_loop):
    """It is work within 10 ms, also for a loop that polls."""
    ran = []

    def callback():
        ran.append(q.clock_get_ns())
        bh.schedule_idle()

    bh = polling_loop.bh_new(callback)
    bh.schedule_idle()
    while len(ran) < 6:
        polling_loop.wait()
    assert ran[5] - ran[0] >= 5 * 10_000_000
