"""A callback's exception whose traceback there was no memory for, as for anything else for a
while, was taken off by code that read the traceback all the same."""

import subprocess
import sys

import pytest

pytest.importorskip("_testcapi")

# Callables in C: no frame of Python's gives the exception a traceback earlier.
PROGRAM = """
import functools, os, sys
import _testcapi
import qemu_mainloop as q

loop = q.MainLoop()
reader, writer = os.pipe()
fails = functools.partial(int, "x")
bh = loop.bh_new(fails)
timer = loop.timer_new(fails)

def bottom_half():
    bh.schedule()

def a_timer():
    timer.mod_ns(0)

def can_read():
    loop.set_fd_handler(reader, fails, can_read=fails)

def polling_callback():
    loop._add_polling_callback(print, "")

vars()[sys.argv[1]]()
_testcapi.set_nomemory(0, 0)
try:
    loop.wait(True)
except MemoryError:
    _testcapi.remove_mem_hooks()
    print("MemoryError")
"""


@pytest.mark.parametrize("what", ["bottom_half", "a_timer", "can_read", "polling_callback"])
def test_it_is_raised_by_wait(what):
    done = subprocess.run(
        [sys.executable, "-P", "-X", "faulthandler", "-c", PROGRAM, what],
        capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "MemoryError\n"), done.stderr
