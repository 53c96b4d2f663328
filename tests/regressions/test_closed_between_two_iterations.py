"""run() of a busy loop looks for signals between its iterations, where the loop could be closed:
the next iteration drove memory that was free.  Now it cannot be closed there, nor after a call
there that claimed the loop for itself and gave run()'s claim up with its own."""

import ctypes
import functools
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


@pytest.mark.posix_only(reason="there is no SIGUSR1")
@pytest.mark.parametrize("how", ["wait", "run", "fileno"])
def test_nor_after_a_call_there_that_claimed_it(how):
    loop = q.MainLoop()
    refused = []

    def close(*_args):
        if how == "wait":
            loop.wait(True)
        elif how == "run":
            loop.stop()
            loop.run()
        else:
            loop.fileno()
        loop.stop()
        with pytest.raises(RuntimeError, match=r"own wait"):
            loop.close()
        refused.append(1)

    before = signal.signal(signal.SIGUSR1, close)
    # A callable in C that does not look for signals: run() does, after the iteration.
    loop.bh_new(functools.partial(ctypes.CDLL(None)["raise"], signal.SIGUSR1)).schedule()
    try:
        loop.run()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert refused == [1]
    loop.close()
