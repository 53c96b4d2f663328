"""The main loop's signals end its wait, also when earlier ones have been taken."""

import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, os, signal, sys
import qemu_mainloop

names = sys.modules["qemu_mainloop.main_loop"]
pointer = ctypes.pythonapi.PyCapsule_GetPointer
pointer.restype, pointer.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
name = ctypes.pythonapi.PyCapsule_GetName
name.restype, name.argtypes = ctypes.c_char_p, [ctypes.py_object]

def function(which, *types):
    capsule = names.__pyx_capi__[which]
    return ctypes.CFUNCTYPE(*types)(pointer(capsule, name(capsule)))

init = function("qemu_init_main_loop", ctypes.c_int)
wait = function("main_loop_wait", ctypes.c_int, ctypes.c_int)
signo = getattr(signal, sys.argv[1])
came = []
signal.signal(signo, lambda *args: came.append(1))
assert init() == 0
for _ in range(10):
    wait(1)                              # whatever there was to begin with is taken
for count in range(1, 4):
    assert len(came) == count - 1
    os.kill(os.getpid(), signo)          # blocked, so it waits for the loop
    wait(0)
    assert len(came) == count, came
print("done")
"""


@pytest.mark.parametrize("signo", ["SIGALRM", "SIGIO", "SIGBUS"])
def test_each_ends_a_wait(signo):
    """Row "signals"."""
    done = subprocess.run([sys.executable, "-P", "-c", PROGRAM, signo], capture_output=True,
                          text=True, timeout=60)
    assert done.stdout == "done\n", done.stderr
