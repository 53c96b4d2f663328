"""No signal mask is changed: not by wait(), not by the names of the header."""

import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.posix_only(reason="there are no signal masks")


def mask():
    """The signals that this thread blocks."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, [])


@pytest.mark.parametrize("blocked", [set(), {signal.SIGUSR2}])
def test_wait_leaves_the_signal_mask_as_it_was(loop, blocked):
    """Section 3: the wait takes the mask for the sleep alone; callbacks see the caller's."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, blocked)
    try:
        before = mask()
        seen = []
        timer = loop.timer_new(lambda: seen.append(mask()))
        timer.mod_ns(time.monotonic_ns() + 1_000_000)
        assert loop.run_until(lambda: seen, timeout=10)
        assert seen == [before]
        assert mask() == before
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)


def test_python_names_change_no_mask_and_no_disposition():
    """Section 3: main_loop() and the q.qemu_* names change no signal mask; row child watch."""
    program = """
import os, signal
state = lambda: (signal.pthread_sigmask(signal.SIG_BLOCK, []),
                 [open("/proc/self/status").read().split(name)[1].split()[0]
                  for name in ("SigBlk:", "SigIgn:", "SigCgt:")])
before = state()
import qemu_mainloop as q
assert q.qemu_init_main_loop() == 0
loop = q.main_loop()
pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 0"], os.environ)
done = []
loop.add_child_watch(pid, lambda pid, code: done.append(code))
assert loop.run_until(lambda: done, timeout=10)
q.main_loop_wait(True)
with loop.lock:
    q.qemu_notify_event()
assert state() == before, (before, state())
"""
    subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=60)
