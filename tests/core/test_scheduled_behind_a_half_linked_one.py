"""A bottom half behind one that was half linked when the loop looked was overlooked.

The loop took up the chain that it could not follow last time, and did not look at what had
been pushed since.  If all of the chain was cancelled meanwhile it slept, although one was
scheduled: nobody had written the notifier, the loop being awake when it was.
"""

import pytest


@pytest.fixture
def queue(probe_bh):
    queue = probe_bh.Queue()
    yield queue
    queue.close()


@pytest.mark.parametrize("fate", ["cancelled", "idle", "deleted"])
def test_the_newer_one_counts_before_the_sleep(queue, probe_bh, fate):
    ran = []
    stalled = queue.new(lambda: ran.append("stalled"))
    newer = queue.new(lambda: ran.append("newer"))
    stalled.change_state(probe_bh.IDLE if fate == "idle" else probe_bh.NOW)
    stalled.half_push()
    assert queue.timeout_ns() == probe_bh.LINK_WAIT_NS
    newer.schedule()                                 # the loop is awake: nothing is written
    stalled.finish_push()
    if fate == "cancelled":
        stalled.cancel()
    elif fate == "deleted":
        stalled.delete()
    queue.fall_asleep()
    assert queue.timeout_ns() == 0
    queue.wake_up()
    assert queue.run()
    assert ran == (["stalled", "newer"] if fate == "idle" else ["newer"])
