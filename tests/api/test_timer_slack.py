"""The kernel's allowance for waking a thread late, which QEMU's loop takes off as well."""

import ctypes
import threading

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.posix_only(reason="a thread of Linux has a timer slack")
PR_SET_TIMERSLACK, PR_GET_TIMERSLACK = 29, 30
DEFAULT_NS = 50_000


def slack_ns():
    return ctypes.CDLL(None).prctl(PR_GET_TIMERSLACK, *[ctypes.c_ulong(0)] * 4)


def after(fdmon, chosen_ns, waits):
    """A new thread's slack, once it has waited in a loop."""
    seen = []

    def run():
        ctypes.CDLL(None).prctl(PR_SET_TIMERSLACK, *map(ctypes.c_ulong, (chosen_ns, 0, 0, 0)))
        with q.MainLoop(fdmon=fdmon) as loop:
            fired = []
            loop.timer_new(lambda: fired.append(1)).mod_ns(q.clock_get_ns() + 1_000_000)
            while waits and not fired:
                loop.wait()
        seen.append(slack_ns())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return seen[0]


def test_a_thread_that_sleeps_for_a_timer_wakes_in_time(fdmon):
    assert after(fdmon, DEFAULT_NS, waits=True) == 1


def test_one_that_was_chosen_stays(fdmon):
    assert after(fdmon, 123_456, waits=True) == 123_456


def test_a_loop_that_does_not_sleep_changes_nothing(fdmon):
    assert after(fdmon, DEFAULT_NS, waits=False) == DEFAULT_NS
