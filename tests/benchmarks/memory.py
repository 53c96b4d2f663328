#!/usr/bin/env python3
"""Bytes of memory for each fd handler, bottom half and timer, of C's and of Python's.

Run it with the Python that has the package.  It counts what malloc() has given out, with
Python's own objects among it (PYTHONMALLOC=malloc); what the kernel has for a descriptor is not
in it.  The callback is the same for all, and not counted.
"""

import ctypes
import os
import resource
import socket
import sys

COUNT = 4000

libc = ctypes.CDLL(None)
api = ctypes.pythonapi
api.PyCapsule_GetName.restype = ctypes.c_char_p
api.PyCapsule_GetName.argtypes = [ctypes.py_object]
api.PyCapsule_GetPointer.restype = ctypes.c_void_p
api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
POINTER = ctypes.c_void_p


class Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in (
        "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks",
        "fordblks", "keepcost")]


libc.mallinfo2.restype = Mallinfo


def used():
    info = libc.mallinfo2()
    return info.uordblks + info.hblkhd


def c_function(module, name, result, *arguments):
    """A function of the package's C API."""
    capsule = module.__pyx_capi__[name]
    pointer = api.PyCapsule_GetPointer(capsule, api.PyCapsule_GetName(capsule))
    return ctypes.CFUNCTYPE(result, *arguments)(pointer)


def each(make, numbers=range(COUNT)):
    """Bytes that each call of make(number) leaves behind."""
    kept = [None] * len(numbers)
    make(numbers[-1])                    # whatever the first one needs
    before = used()
    for i, number in enumerate(numbers[:-1]):
        kept[i] = make(number)
    return (used() - before) / (len(numbers) - 1)


def in_c(fds):
    from qemu_mainloop import aio

    new = c_function(aio, "aio_context_new", POINTER)
    handler = c_function(aio, "aio_set_fd_handler", ctypes.c_int, POINTER, ctypes.c_int, POINTER,
                         POINTER, POINTER, POINTER)
    bh_new = c_function(aio, "aio_bh_new", POINTER, POINTER, POINTER, POINTER)
    timer_new = c_function(aio, "aio_timer_new", POINTER, POINTER, ctypes.c_int, ctypes.c_int,
                           POINTER, POINTER)
    nothing = ctypes.cast(libc.free, POINTER)        # never called
    ctx = new()
    return (each(lambda fd: handler(ctx, fd, nothing, None, None, None), fds),
            each(lambda _: bh_new(ctx, nothing, None)),
            each(lambda _: timer_new(ctx, 0, 1, nothing, None)))


def in_python(fds):
    import qemu_mainloop

    def nothing():
        pass

    def scheduled(_):
        bh = loop.bh_new(nothing)
        bh.schedule()
        return bh

    def armed(number):
        timer = loop.timer_new(nothing)
        timer.mod_ns(2**62 + number)
        return timer

    loop = qemu_mainloop.MainLoop()
    return (each(lambda fd: loop.set_fd_handler(fd, nothing), fds), each(scheduled), each(armed))


def main():
    if os.environ.get("PYTHONMALLOC") != "malloc":
        os.execve(sys.executable, [sys.executable, *sys.argv],
                  {**os.environ, "PYTHONMALLOC": "malloc"})
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    one = socket.socket()
    fds = [os.dup(one.fileno()) for _ in range(COUNT)]
    print("| bytes | fd handler | bottom half | timer |\n|---|---:|---:|---:|")
    for what, figures in (("C", in_c(fds)), ("Python, scheduled or armed", in_python(fds))):
        print(f"| {what} | " + " | ".join(f"{n:.0f}" for n in figures) + " |")


if __name__ == "__main__":
    main()
