"""QEMU's main loop for Python and Cython.

``main_loop()`` is the process's loop, ``MainLoop()`` one of your own; Cython code
``cimport``s ``qemu_mainloop.main_loop``, ``.timer`` and ``.aio``.
"""

import os as _os

try:
    from qemu_mainloop import _fdmon, aio, iohandler, timer  # noqa: F401
    from qemu_mainloop import main_loop as _main_loop  # noqa: F401
except ImportError as _error:
    if _os.path.exists(_os.path.join(_os.path.dirname(__file__), "main_loop.pyx")):
        raise ImportError(
            "this is the source tree of qemu_mainloop, which has no compiled modules: "
            "install it, and start Python in another directory or with -P"
        ) from _error
    raise
from qemu_mainloop._objects.bottom_half import BottomHalf
from qemu_mainloop._objects.iothread import IOThread
from qemu_mainloop._objects.iothread_lock import IothreadLock
from qemu_mainloop._objects.loop import MainLoop, fdmons, main_loop
from qemu_mainloop._objects.timer import (
    NANOSECONDS_PER_SECOND,
    SCALE_MS,
    SCALE_NS,
    SCALE_US,
    Clock,
    Timer,
    clock_enable,
    clock_get_ns,
    clock_set,
    clock_step,
)
from qemu_mainloop._version import __version__
from qemu_mainloop.header import (
    SIG_IPI,
    main_loop_init,
    main_loop_wait,
    qemu_add_child_watch,
    qemu_add_polling_cb,
    qemu_add_wait_object,
    qemu_bh_cancel,
    qemu_bh_delete,
    qemu_bh_new,
    qemu_bh_poll,
    qemu_bh_schedule,
    qemu_bh_schedule_idle,
    qemu_bh_update_timeout,
    qemu_del_polling_cb,
    qemu_del_wait_object,
    qemu_fd_register,
    qemu_init_main_loop,
    qemu_iohandler_fill,
    qemu_iohandler_poll,
    qemu_mutex_iothread_locked,
    qemu_mutex_lock_iothread,
    qemu_mutex_unlock_iothread,
    qemu_notify_event,
    qemu_set_fd_handler,
    qemu_set_fd_handler2,
)

__all__ = [
    "NANOSECONDS_PER_SECOND",
    "SCALE_MS",
    "SCALE_NS",
    "SCALE_US",
    "SIG_IPI",
    "BottomHalf",
    "Clock",
    "IOThread",
    "IothreadLock",
    "MainLoop",
    "Timer",
    "__version__",
    "clock_enable",
    "clock_get_ns",
    "clock_set",
    "clock_step",
    "fdmons",
    "get_cython_include",
    "get_include",
    "main_loop",
    "main_loop_init",
    "main_loop_wait",
    "qemu_add_child_watch",
    "qemu_add_polling_cb",
    "qemu_add_wait_object",
    "qemu_bh_cancel",
    "qemu_bh_delete",
    "qemu_bh_new",
    "qemu_bh_poll",
    "qemu_bh_schedule",
    "qemu_bh_schedule_idle",
    "qemu_bh_update_timeout",
    "qemu_del_polling_cb",
    "qemu_del_wait_object",
    "qemu_fd_register",
    "qemu_init_main_loop",
    "qemu_iohandler_fill",
    "qemu_iohandler_poll",
    "qemu_mutex_iothread_locked",
    "qemu_mutex_lock_iothread",
    "qemu_mutex_unlock_iothread",
    "qemu_notify_event",
    "qemu_set_fd_handler",
    "qemu_set_fd_handler2",
]


def get_include() -> str:
    """The directory of C headers, for a C compiler's ``-I``; today there are none."""
    return _os.path.dirname(__file__)


def get_cython_include() -> str:
    """The directory for ``cython -I``; needed only beside an editable install."""
    return _os.path.dirname(_os.path.dirname(__file__))
