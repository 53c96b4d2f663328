"""The context of an IOThread is there as long as the IOThread, also after its loop was closed:
clock_step() called the timers that the loop had kept, which were freed memory."""

import gc

import pytest

import qemu_mainloop as q


@pytest.mark.thread_unsafe(reason="the virtual clock")
def test_clock_step_after_the_loop_was_closed():
    q.clock_enable(q.Clock.VIRTUAL, False)
    now = q.clock_get_ns(q.Clock.VIRTUAL)
    thread = q.IOThread()
    loop = thread.loop
    thread.stop()
    loop.wait(True)                      # so that clock_step() runs its timers in this thread
    ran = []
    for n in range(10):
        loop.timer_new(lambda: ran.append(1), q.Clock.VIRTUAL).mod_ns(now + 10 + n)
    loop.close()
    gc.collect()
    others = [bytearray(b"\xff" * 96) for _ in range(100)]   # where they were
    assert q.clock_step(100) == now + 100
    assert ran == [] and len(others) == 100
