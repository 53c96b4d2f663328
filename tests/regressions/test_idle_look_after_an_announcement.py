"""main_loop_wait() in C of a loop that a foreign select() had announced as asleep looked at
memory alone and left it so: what failed afterwards woke the next wait for nothing.
"""

import ctypes
import importlib

import pytest

import qemu_mainloop as q

# The attribute of that name is the function.
header = importlib.import_module("qemu_mainloop.main_loop")


def c_function(name, result, *arguments):
    """A function of the public C API."""
    capsule = header.__pyx_capi__[name]
    name_of = ctypes.pythonapi.PyCapsule_GetName
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of = ctypes.pythonapi.PyCapsule_GetPointer
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]
    return ctypes.CFUNCTYPE(result, *arguments)(pointer_of(capsule, name_of(capsule)))


main_loop_wait = c_function("main_loop_wait", ctypes.c_int, ctypes.c_int)


def test_an_idle_look_ends_the_announcement(main_loop):
    for _ in range(600):                     # until the kernel need not be asked
        main_loop_wait(1)
    q.qemu_bh_update_timeout(1000)
    main_loop_wait(1)
    with pytest.raises(OSError):
        main_loop.set_fd_handler(987654, print)
    timer = main_loop.timer_new(lambda: None)
    timer.mod_ns(q.clock_get_ns() + 1_000_000)
    main_loop_wait(0)
    assert not timer.pending
