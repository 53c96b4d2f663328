"""main-loop.h's own names for Python, on the process's main loop.

Argument order and meaning are the header's; each callback receives ``opaque``.
Errors are exceptions, as everywhere in Python.  No name here changes a signal mask,
and the iothread lock is held only inside ``main_loop_wait()`` and between
``qemu_mutex_lock_iothread()`` and ``qemu_mutex_unlock_iothread()``.
"""

import signal as _signal

from qemu_mainloop._objects import header_calls as _calls
from qemu_mainloop._objects.bottom_half import BottomHalf as _BottomHalf
from qemu_mainloop._objects.loop import main_loop as _main_loop

SIG_IPI = int(getattr(_signal, "SIGUSR1", 0))


def _bind(func, opaque, name):
    """func(opaque) as a callable without arguments; None stays None."""
    if func is None:
        return None
    if not callable(func):
        raise TypeError(f"{name} must be callable, not {type(func).__name__}")
    return lambda: func(opaque)


def _bottom_half(bh):
    if not isinstance(bh, _BottomHalf):
        raise TypeError(f"bh is a BottomHalf, not {type(bh).__name__}")
    return bh


def qemu_init_main_loop():
    """Make the main loop, if it is not there.

    Raises:
        OSError: there are no descriptors left.
    """
    _main_loop()
    return 0


main_loop_init = qemu_init_main_loop


def main_loop_wait(nonblocking):
    """Run one iteration; how many descriptors had a callback due.

    Raises:
        RuntimeError: another thread polls the main loop.
        Exception: the first one that a callback raised.
    """
    return _main_loop().wait(bool(nonblocking))


def qemu_notify_event():
    """Make the current or the next blocking wait return, once."""
    _main_loop().notify()


def qemu_set_fd_handler2(fd, fd_read_poll, fd_read, fd_write, opaque):
    """Set what is called when fd can be read or written; both None removes it.

    Raises:
        ValueError: the descriptor is negative.
        OSError: it is not open, or is a wait object.
        TypeError: fd is no descriptor, or a callback is not callable.
    """
    can_read = _bind(fd_read_poll, opaque, "fd_read_poll")
    _main_loop().set_fd_handler(
        fd,
        _bind(fd_read, opaque, "fd_read"),
        _bind(fd_write, opaque, "fd_write"),
        can_read=can_read if fd_read is not None else None,
    )
    return 0


def qemu_set_fd_handler(fd, fd_read, fd_write, opaque):
    """``qemu_set_fd_handler2()`` without ``fd_read_poll``; raises what that does."""
    return qemu_set_fd_handler2(fd, None, fd_read, fd_write, opaque)


def qemu_bh_new(cb, opaque):
    """A ``BottomHalf`` of the main loop that calls ``cb(opaque)``.

    Raises:
        TypeError: cb is not callable.
    """
    if cb is None:
        raise TypeError("cb must be callable, not NoneType")
    return _main_loop().bh_new(_bind(cb, opaque, "cb"))


def qemu_bh_schedule(bh):
    """Run it in this or the next bottom-half phase.

    Raises:
        RuntimeError: it is deleted.
        TypeError: bh is no BottomHalf.
    """
    _bottom_half(bh).schedule()


def qemu_bh_schedule_idle(bh):
    """Run it within 10 ms.

    Raises:
        RuntimeError: it is deleted.
        TypeError: bh is no BottomHalf.
    """
    _bottom_half(bh).schedule_idle()


def qemu_bh_cancel(bh):
    """Take the schedule back.

    Raises:
        RuntimeError: it is deleted.
        TypeError: bh is no BottomHalf.
    """
    _bottom_half(bh).cancel()


def qemu_bh_delete(bh):
    """Cancel it and give it up; a second call does nothing.

    Raises:
        TypeError: bh is no BottomHalf.
    """
    _bottom_half(bh).delete()


def qemu_bh_poll():
    """Run the scheduled bottom halves; 1 if one that was not idle ran.

    Raises:
        RuntimeError: another thread polls the main loop.
        Exception: the first one that a callback raised.
    """
    return _calls.bh_poll(_main_loop())


def qemu_bh_update_timeout(timeout):
    """The timeout (milliseconds), lowered to 0 or 10 if a bottom half is scheduled.

    Raises:
        ValueError: it is negative, or does not fit 32 bits.
        TypeError: it is no integer.
    """
    _main_loop()
    return _calls.bh_update_timeout(timeout)


def qemu_add_child_watch(pid):
    """Reap the child when it has exited.

    Raises:
        ValueError: pid is not positive, or too large, or is watched already.
        ChildProcessError: it is not a child of this process.
        OSError: there are no descriptors left, or no child processes on this system.
        TypeError: pid is no number.
    """
    _main_loop().add_child_watch(pid)
    return 0


def qemu_mutex_lock_iothread():
    """Take the iothread lock.

    Raises:
        RuntimeError: this thread holds it already.
    """
    _main_loop().lock.acquire()


def qemu_mutex_unlock_iothread():
    """Give the iothread lock back.

    Raises:
        RuntimeError: this thread does not hold it.
    """
    _main_loop().lock.release()


def qemu_mutex_iothread_locked():
    """Does this thread hold the iothread lock?"""
    return _calls.lock_is_mine()


def qemu_add_polling_cb(func, opaque):
    """Call ``func(opaque)`` once an iteration; true makes it not block.

    Raises:
        TypeError: func is not callable.
    """
    _main_loop()._add_polling_callback(func, opaque)
    return 0


def qemu_del_polling_cb(func, opaque):
    """Remove the first polling callback with that function and opaque, if any."""
    _main_loop()._remove_polling_callback(func, opaque)


def qemu_add_wait_object(handle, func, opaque):
    """Call ``func(opaque)`` when the handle is signalled.

    Raises:
        FileExistsError: there is one for it already.
        ValueError: the handle is negative.
        OSError: it is not open, or has an fd handler.
        TypeError: it is no descriptor, or func is not callable.
    """
    if not callable(func):
        raise TypeError(f"func must be callable, not {type(func).__name__}")
    _main_loop()._add_wait_object(handle, lambda: func(opaque))
    return 0


def qemu_del_wait_object(handle, func, opaque):
    """Remove the wait object of that handle, if there is one.

    Raises:
        ValueError: the handle is negative.
        TypeError: it is no descriptor.
    """
    _main_loop()._remove_wait_object(handle)


def qemu_fd_register(fd):
    """Nothing is to be done: a socket wakes the loop as it is.

    Raises:
        ValueError: the descriptor is negative.
        TypeError: it is no descriptor.
    """
    _calls.fd_register(fd)


def qemu_iohandler_fill(readfds, writefds, xfds):
    """Add the watched descriptors to the sets; the highest one, -1 if none.

    For a ``select()`` loop of somebody else's.

    Raises:
        TypeError: one of them is no set.
        Exception: the first one that an ``fd_read_poll`` raised.
    """
    _main_loop()
    return _calls.iohandler_fill(readfds, writefds, xfds)


def qemu_iohandler_poll(readfds, writefds, xfds, rc):
    """Run the callbacks of what ``select()`` left in the sets, if rc is positive.

    Raises:
        ValueError: a descriptor is negative, or does not fit an ``fd_set``.
        TypeError: one is no descriptor, or rc no integer.
        Exception: the first one that a callback raised.
    """
    _main_loop()
    _calls.iohandler_poll(readfds, writefds, xfds, rc)
