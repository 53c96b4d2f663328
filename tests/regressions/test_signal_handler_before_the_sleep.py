"""A Python signal handler that ran right before the sleep was overlooked by it.

What it armed came after the timeout was computed; and a nested wait() in it left the loop
asleep with nobody told so.
"""

import os
import signal

import pytest

import qemu_mainloop as q


@pytest.fixture
def on_signal():
    """Sets the handler of SIGUSR1 for the test."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda handler: signal.signal(signal.SIGUSR1, handler)
    signal.signal(signal.SIGUSR1, before)


@pytest.mark.timeout(20)
def test_timer_armed_by_a_signal_handler_fires(loop, on_signal):
    fired = []
    timer = loop.timer_new(lambda: fired.append(1))
    on_signal(lambda *args: timer.mod_ns(q.clock_get_ns() + 1_000_000))
    kick = loop.bh_new(lambda: os.kill(os.getpid(), signal.SIGUSR1))
    kick.schedule()
    assert loop.run_until(lambda: fired, timeout=10)


@pytest.mark.timeout(20)
def test_nested_wait_in_a_signal_handler_loses_no_wake_up(loop, on_signal):
    ran = []
    bh = loop.bh_new(lambda: ran.append(1))

    def handler(*args):
        loop.wait(True)
        bh.schedule()

    on_signal(handler)
    signal.raise_signal(signal.SIGUSR1)
    kick = loop.bh_new(lambda: os.kill(os.getpid(), signal.SIGUSR1))
    ran.clear()
    kick.schedule()
    assert loop.run_until(lambda: ran, timeout=10)
