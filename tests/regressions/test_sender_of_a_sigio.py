"""A SIGIO that a process sent, by kill() or sigqueue(), told its handler no sender.

The fields of one that the kernel sends for a descriptor were filled in for every SIGIO.
"""

import json
import os
import subprocess
import sys

import pytest

PROGRAM = """
import ctypes, importlib, json, os, sys
header = importlib.import_module("qemu_mainloop.main_loop")

def function(name, result, *arguments):
    capsule = header.__pyx_capi__[name]
    get_name = ctypes.pythonapi.PyCapsule_GetName
    get_name.restype, get_name.argtypes = ctypes.c_char_p, [ctypes.py_object]
    get = ctypes.pythonapi.PyCapsule_GetPointer
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.CFUNCTYPE(result, *arguments)(get(capsule, get_name(capsule)))

class Action(ctypes.Structure):          # glibc's struct sigaction
    _fields_ = [("handler", ctypes.c_void_p), ("mask", ctypes.c_ubyte * 128),
                ("flags", ctypes.c_int), ("restorer", ctypes.c_void_p)]

SA_SIGINFO = 4
told = []

@ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.POINTER(ctypes.c_int), ctypes.c_void_p)
def handler(signo, info, context):
    told.append((info[0], info[4], info[5]))       # si_signo, si_pid, si_uid

signo = int(sys.argv[1])
assert function("qemu_init_main_loop", ctypes.c_int)() == 0
action = Action(ctypes.cast(handler, ctypes.c_void_p).value, flags=SA_SIGINFO)
ctypes.CDLL(None).sigaction(signo, ctypes.byref(action), None)
os.kill(os.getpid(), signo)
function("main_loop_wait", ctypes.c_int, ctypes.c_int)(1)
print(json.dumps([told, os.getpid(), os.getuid()]))
"""


@pytest.mark.parametrize("signo", [14, 7, 29], ids=["SIGALRM", "SIGBUS", "SIGIO"])
def test_the_handler_is_told_who_sent_it(signo):
    done = subprocess.run([sys.executable, "-P", "-c", PROGRAM, str(signo)], text=True,
                          capture_output=True, timeout=60, env=os.environ)
    assert done.returncode == 0, done.stderr
    told, pid, uid = json.loads(done.stdout)
    assert told == [[signo, pid, uid]]
