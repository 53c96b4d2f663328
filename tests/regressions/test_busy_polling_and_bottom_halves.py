"""A bottom half that came while the main thread polled memory was found, and never run.

Nobody writes the notifier for a loop that is awake, so the kernel had nothing to report
and wait() of a process with threads slept, or polled, again: for ever.  And an idle one was
taken for one to run at once.
"""


import pytest
from sleeping import start_when_asleep

import qemu_mainloop as q

SECOND = 1_000_000_000


@pytest.fixture
def polling_loop(loop):
    loop.poll_max_ns = SECOND
    return loop


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
        thread = start_when_asleep(polling_loop, getattr(bh, how))
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
