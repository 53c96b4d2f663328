"""A forked child's kernel objects are made by one of its threads, whoever comes first.

fileno() made them without the claim: beside an iteration's they were made, and the inherited
ones closed, twice; the first set's descriptors leaked.
"""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="takes the place of eventfd"),
    pytest.mark.interposes("takes the place of eventfd"),
]

# The iteration's thread stays in the middle of it until the other one has been there.
HOLD = """
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <sched.h>

    volatile int hold, entered, go;

    int eventfd(unsigned value, int flags)
    {
        static int (*next)(unsigned, int);

        if (!next) {
            *(void **)&next = dlsym(RTLD_NEXT, "eventfd");
        }
        if (hold && !entered) {
            entered = 1;
            while (!go) {
                sched_yield();
            }
        }
        return next(value, flags);
    }
"""

SCRIPT = """
    import ctypes, errno, os, sys, threading
    import qemu_mainloop as q

    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]

    def function(name, result, *arguments):
        capsule = sys.modules["qemu_mainloop.aio"].__pyx_capi__[name]
        address = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
        return ctypes.CFUNCTYPE(result, *arguments)(address)

    fileno = function("aio_context_fileno", ctypes.c_int, ctypes.c_void_p)
    poll = function("aio_poll", ctypes.c_int, ctypes.c_void_p, ctypes.c_int)
    ctx = function("aio_context_new", ctypes.c_void_p)()
    assert fileno(ctx) >= 0
    flag = lambda name: ctypes.c_int.in_dll(ctypes.CDLL(sys.argv[1]), name)
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            before = len(os.listdir("/proc/self/fd"))
            flag("hold").value = 1
            thread = threading.Thread(target=poll, args=(ctx, 0))
            thread.start()
            while not flag("entered").value:
                os.sched_yield()
            assert fileno(ctx) == -errno.EBUSY
            flag("go").value = 1
            thread.join()
            assert fileno(ctx) >= 0
            assert len(os.listdir("/proc/self/fd")) == before
            status = 0
        finally:
            flag("go").value = 1
            os._exit(status)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


def test_one_makes_them(tmp_path):
    library = tmp_path / "hold.so"
    (tmp_path / "hold.c").write_text(textwrap.dedent(HOLD))
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-shared", "-fPIC", "-o", library,
                    tmp_path / "hold.c", "-ldl"], check=True)
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(SCRIPT), library],
        capture_output=True, text=True, env={**os.environ, "LD_PRELOAD": str(library)}, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
