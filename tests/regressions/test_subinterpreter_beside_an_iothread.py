"""Once a subinterpreter exists, PyGILState_Check() says yes to every thread: an IOThread then
called Python without the GIL."""

import subprocess
import sys

import pytest

PROGRAM = """
import threading
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import qemu_mainloop as q

interpreters.create()
done = threading.Event()
with q.IOThread("x") as io:
    for i in range(100):
        done.clear()
        bh = io.loop.bh_new(done.set)
        bh.schedule()
        assert done.wait(10)
print("ran")
"""


@pytest.mark.slow
def test_iothread_calls_python_with_the_gil():
    done = subprocess.run(
        [sys.executable, "-P", "-X", "faulthandler", "-c", PROGRAM],
        capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "ran\n"), done.stderr
