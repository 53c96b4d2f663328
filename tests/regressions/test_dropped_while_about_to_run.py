"""What a thread of the loop's was about to call was cancelled and dropped meanwhile.

The core had the object's address as opaque, borrowed, so the call that waited for the GIL
went to freed memory.  Now the core owns a cell that knows whether the object is there.
"""

import subprocess
import sys

import pytest

PRELUDE = """
import os, signal, sys, time
import qemu_mainloop as q

sys.setswitchinterval(0.5)      # the IOThread waits for the GIL while we go on
io = q.IOThread("x")
ran = []

def until(condition, seconds=1):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        pass

for i in range(5):
"""

BODIES = {
    "bottom half": """
    bh = io.loop.bh_new(lambda: ran.append(1))
    bh.schedule()
    until(lambda: not bh.scheduled)
    bh.schedule()
    bh.cancel()
    del bh
""",
    "timer": """
    timer = io.loop.timer_new(lambda: ran.append(1))
    timer.mod_ns(0)
    until(lambda: not timer.pending)
    timer.mod_ns(1 << 62)
    timer.delete()
    del timer
""",
    "signal": """
    io.loop.add_signal_handler(signal.SIGUSR1, lambda: ran.append(1))
    os.kill(os.getpid(), signal.SIGUSR1)
    until(lambda: False, 0.01)
    io.loop.remove_signal_handler(signal.SIGUSR1)
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", BODIES)
def test_what_is_about_to_run_may_be_dropped(what):
    program = PRELUDE + BODIES[what] + "io.stop()\nprint('survived')\n"
    done = subprocess.run(
        [sys.executable, "-P", "-X", "faulthandler", "-c", program],
        capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "survived\n"), done.stderr
