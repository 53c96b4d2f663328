"""A wait has the signals held back until it sleeps: with a long poll_max_ns, in a process without
threads, Ctrl-C had to wait until the busy polling was over."""

import subprocess
import sys

import pytest

PROGRAM = """
import signal, sys, time
import qemu_mainloop as q

def fail(*_):
    raise KeyboardInterrupt

def schedule(*_):
    bh.schedule()

def arm(*_):
    timer.mod_ns(0)

def be_idle(*_):
    bh.schedule_idle()

loop = q.MainLoop(fdmon=sys.argv[1])
loop.poll_max_ns = 3600 * 10**9
ran = []
bh = loop.bh_new(lambda: (ran.append(1), loop.stop()))
timer = loop.timer_new(bh.schedule)
signal.signal(signal.SIGALRM, vars()[sys.argv[3]])
signal.setitimer(signal.ITIMER_REAL, 0.05)
try:
    if sys.argv[2] == "wait":
        while not ran:
            loop.wait()
    elif sys.argv[2] == "run":
        loop.run()
    else:
        loop.run_until(lambda: ran)
    print("ran")
except KeyboardInterrupt:
    print("Ctrl-C")
"""


@pytest.mark.posix_only(reason="there is no setitimer()")
@pytest.mark.parametrize("how", ["wait", "run", "run_until"])
@pytest.mark.parametrize("handler", ["fail", "schedule", "arm", "be_idle"])
def test_it_ends_the_polling(fdmon, how, handler):
    done = subprocess.run(
        [sys.executable, "-P", "-c", PROGRAM, fdmon, how, handler],
        capture_output=True, text=True, timeout=30)
    assert done.stdout == ("Ctrl-C\n" if handler == "fail" else "ran\n"), done.stderr
