"""run() of a busy loop looks for signals between its iterations, where the loop could be closed:
the next iteration drove memory that was free.  Now it cannot be closed there."""

import itertools
import signal

import pytest

import qemu_mainloop as q


def test_a_signal_handler_cannot_close_a_loop_that_never_sleeps():
    loop = q.MainLoop()
    # Without a line of Python, in which Python itself would run the signal handler.
    halves = []
    busy = loop.bh_new(map(q.BottomHalf.schedule, itertools.cycle(halves)).__next__)
    halves.append(busy)
    busy.schedule()

    refused = []

    def close(*_args):
        with pytest.raises(RuntimeError, match=r"own wait"):
            loop.close()
        refused.append(1)
        if len(refused) == 3:
            loop.stop()

    before = signal.signal(signal.SIGALRM, close)
    signal.setitimer(signal.ITIMER_REAL, 0.06, 0.06)
    try:
        loop.run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(refused) >= 3
    loop.close()
    with pytest.raises(RuntimeError, match="is closed"):
        loop.run()
