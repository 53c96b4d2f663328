"""Callbacks that disable each other's clock.

Disabling a clock waits for its callbacks in other threads, so two callbacks of one clock, in
two threads, that both disabled it waited for each other for ever; and so did a ring of more.
Now the one that comes last goes on, and the others wait for it as they should.
"""

import subprocess
import sys

import pytest

PROGRAM = """
import faulthandler, sys, threading
import qemu_mainloop as q
from qemu_mainloop import Clock

faulthandler.dump_traceback_later(20, exit=True)
plan = {plan}
together = threading.Barrier(len(plan))
done = threading.Semaphore(0)

def callback(mine, other):
    together.wait()                  # all of them run: now the ring closes
    q.clock_enable(other, False)
    done.release()

q.clock_enable(Clock.VIRTUAL, True)
threads = [q.IOThread() for _ in plan]
timers = []
for thread, (mine, other) in zip(threads, plan):
    timers.append(thread.loop.timer_new(lambda m=mine, o=other: callback(m, o), mine))
    timers[-1].mod_ns(0)
for thread in threads:
    done.acquire()
for thread in threads:
    thread.stop()
"""


@pytest.mark.parametrize("plan", [
    ["VIRTUAL VIRTUAL", "VIRTUAL VIRTUAL"],
    ["REALTIME VIRTUAL", "VIRTUAL REALTIME"],
    ["REALTIME VIRTUAL", "VIRTUAL HOST", "HOST REALTIME"],
    ["HOST HOST"] * 5,
], ids=["one clock", "two clocks", "three clocks", "five callbacks"])
def test_all_of_them_return(plan):
    pairs = ", ".join("(Clock.{}, Clock.{})".format(*pair.split()) for pair in plan)
    program = PROGRAM.replace("{plan}", f"[{pairs}]")
    subprocess.run([sys.executable, "-P", "-c", program], check=True, timeout=60)
