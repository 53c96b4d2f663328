"""Of two threads that add the same wait object one is told that it is there already.

Both had looked, and found none, before either entered its own: the second took the place of
the first, whose function was never called.
"""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="takes the place of glibc's calloc"),
    pytest.mark.interposes("takes the place of calloc"),
]

# The first memory that the core asks for once there is something to call is what the
# registration needs: the other thread's comes then.
BETWEEN = """
    #include <stddef.h>

    extern void *__libc_calloc(size_t n, size_t size);
    int (*other)(void *handle, void (*func)(void *), void *opaque);
    void *handle;
    int others_result = 1;

    static void nothing(void *opaque)
    {
        (void)opaque;
    }

    void *calloc(size_t n, size_t size)
    {
        int (*call)(void *, void (*)(void *), void *) = other;

        if (call) {
            other = NULL;
            others_result = call(handle, nothing, NULL);
        }
        return __libc_calloc(n, size);
    }
"""

SCRIPT = """
    import ctypes, errno, os, sys
    import qemu_mainloop as q

    capsule = sys.modules["qemu_mainloop.main_loop"].__pyx_capi__["qemu_add_wait_object"]
    api = ctypes.pythonapi
    api.PyCapsule_GetName.restype = ctypes.c_char_p
    api.PyCapsule_GetName.argtypes = [ctypes.py_object]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    address = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    add = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, callback, ctypes.c_void_p)(address)

    q.main_loop()
    handle = os.eventfd(0)
    mine = callback(lambda opaque: None)
    between = ctypes.CDLL(sys.argv[1])
    ctypes.c_void_p.in_dll(between, "handle").value = handle
    ctypes.c_void_p.in_dll(between, "other").value = address
    results = [add(handle, mine, None), ctypes.c_int.in_dll(between, "others_result").value]
    assert sorted(results) == [-errno.EEXIST, 0], results
"""


def test_one_is_refused(tmp_path):
    library = tmp_path / "between.so"
    (tmp_path / "between.c").write_text(textwrap.dedent(BETWEEN))
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-fno-builtin", "-shared", "-fPIC", "-o",
                    library, tmp_path / "between.c"], check=True)
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(SCRIPT), library],
        capture_output=True, text=True, env={**os.environ, "LD_PRELOAD": str(library)}, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
