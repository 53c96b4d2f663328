"""run() of a busy loop looks for signals between its iterations, where the loop could be closed:
the next iteration drove memory that was free."""

import itertools
import signal

import pytest

import qemu_mainloop as q


def test_a_signal_handler_closes_a_loop_that_never_sleeps():
    loop = q.MainLoop()
    # Without a line of Python, in which Python itself would run the signal handler.
    halves = []
    busy = loop.bh_new(map(q.BottomHalf.schedule, itertools.cycle(halves)).__next__)
    halves.append(busy)
    busy.schedule()

    def close(*_args):
        try:
            loop.close()
        except RuntimeError as e:
            assert "own wait" in str(e)
        else:
            signal.setitimer(signal.ITIMER_REAL, 0)

    before = signal.signal(signal.SIGALRM, close)
    signal.setitimer(signal.ITIMER_REAL, 0.06, 0.06)
    try:
        with pytest.raises(RuntimeError, match="is closed"):
            loop.run()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
