"""Who is measured.  A new contestant is one more entry here, and the file it names."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("BENCH_BUILD") or os.path.normpath(
    os.path.join(HERE, "..", "..", "build", "bench"))
C_HOST = os.path.join(BUILD, "host")
ECHO_CLIENT = os.path.join(BUILD, "echo_client")
PY_HOST = os.path.join(HERE, "c", "pyhost.py")
PY_BENCH = os.path.join(HERE, "python", "pybench.py")

FD = {"C1", "C2", "C2e", "C3", "C3e", "C4", "C8"}
DEFERRAL = {"C5a", "C5b", "C6pp", "C6tp"}
ALL = FD | DEFERRAL | {"C7", "C7w"}
GATES = {"C9"}                       # only QEMU's loop has them

# The modules whose capsules loops/qemu_mainloop.c takes its functions from.
OURS = ("qemu_mainloop.main_loop", "qemu_mainloop.aio", "qemu_mainloop.timer")

# glibc gives blocks above 128 KiB pages of their own, until it has seen one freed: a loop with
# a 256 KiB receive buffer may pay for that on each message.
BIG_MALLOC = ["env", "MALLOC_MMAP_THRESHOLD_=4194304", "MALLOC_TRIM_THRESHOLD_=16777216"]


def so(name):
    return os.path.join(BUILD, f"{name}.so")


def c_loop(name, variant="", groups=ALL):
    return {"argv": [C_HOST, *(["-v", variant] if variant else []), so(name)], "groups": groups}


def cython_loop(modules, name, variant="", groups=ALL):
    """A package whose C functions come through __pyx_capi__."""
    argv = [sys.executable, PY_HOST]
    for module in modules:
        argv += ["-m", module]
    argv += ["-v", variant] if variant else []
    return {"argv": [*argv, so(name)], "groups": groups}


# The baselines come first; their names start with "bare".
CONTESTANTS = {
    "bare-epoll": c_loop("epoll"),
    "bare-epoll-spin": c_loop("epoll", "spin", groups={"C6pp", "C6tp"}),
    "bare-poll": c_loop("poll", groups=FD),
    "bare-select": c_loop("select", groups=FD),
    "bare-uring-multi": c_loop("uring", "multi", groups=FD),
    "bare-uring-oneshot": c_loop("uring", "oneshot", groups=FD),
    "libev": c_loop("libev"),
    "libev-idle": c_loop("libev", "idle", groups={"C5a"}),
    "libuv": c_loop("libuv"),
    "libevent": c_loop("libevent"),
    "glib": c_loop("glib"),
    "glib-ready": c_loop("glib", "ready", groups=DEFERRAL),
    "sd-event": c_loop("sdevent"),
    # a probe of what is possible, see c/loops/proto.c
    "proto-both": c_loop("proto", "both", groups=FD | DEFERRAL),
    "proto-both-spin": c_loop("proto", "both-spin", groups=FD | DEFERRAL),
    # the package under test
    "qemu_mainloop": cython_loop(OURS, "qemu_mainloop", groups=ALL | GATES),
    "qemu_mainloop-epoll": cython_loop(OURS, "qemu_mainloop", "epoll", groups=ALL | GATES),
    "qemu_mainloop-poll": cython_loop(OURS, "qemu_mainloop", "poll", groups=FD | GATES),
    "qemu_mainloop-io_uring": cython_loop(OURS, "qemu_mainloop", "io_uring", groups=FD | GATES),
    "qemu_mainloop-spin": cython_loop(OURS, "qemu_mainloop", "spin", groups=DEFERRAL),
}

# name: (module of python/loops, without the underscore, and what its make() is told)
PY_CONTESTANTS = {
    "bare-python": ("bare", ""),
    "asyncio": ("asyncio", ""),
    "uvloop": ("uvloop", ""),
    "rloop": ("rloop", ""),
    "gevent": ("gevent", ""),
    "trio": ("trio", ""),
    "pyuv": ("pyuv", ""),
    "qemu_mainloop": ("qemu_mainloop", ""),
    # makes a bottom half for each callback, where the one above schedules one again
    "qemu_mainloop-new": ("qemu_mainloop", "new"),
}
PY_ONLY_IN = {"qemu_mainloop-new": {"P1", "P2"}}


def is_ours(name):
    return name.startswith("qemu_mainloop")


def is_probe(name):
    return name.startswith("proto")
