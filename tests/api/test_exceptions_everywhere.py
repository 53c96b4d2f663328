"""An exception reaches the caller of wait() whatever kind of callback raised it."""

import os
import signal

import pytest

import qemu_mainloop as q


class Failure(Exception):
    """What a callback of these tests raises."""


def fail(error):
    """A callback that raises error."""

    def callback(*_):
        raise error

    return callback


def arrange_read(loop, pipe, callback):
    loop.set_fd_handler(pipe[0], callback)
    os.write(pipe[1], b"x")


def arrange_write(loop, pipe, callback):
    loop.set_fd_handler(pipe[1], None, callback)


def arrange_can_read(loop, pipe, callback):
    loop.set_fd_handler(pipe[0], lambda: None, can_read=callback)


def arrange_timer(loop, pipe, callback):
    loop.timer_new(callback).mod_ns(0)


def arrange_bottom_half(loop, pipe, callback):
    loop.bh_new(callback).schedule()


def arrange_child(loop, pipe, callback):
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 0"], os.environ)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    loop.add_child_watch(pid, callback)


def arrange_signal(loop, pipe, callback):
    loop.add_signal_handler(signal.SIGUSR2, callback)
    signal.raise_signal(signal.SIGUSR2)


ARRANGEMENTS = [
    arrange_read,
    arrange_write,
    arrange_can_read,
    arrange_timer,
    arrange_bottom_half,
    arrange_child,
    arrange_signal,
]


@pytest.mark.parametrize("arrange", ARRANGEMENTS)
def test_wait_raises_what_any_kind_of_callback_raises(loop, pipe, arrange):
    """Section 3, "an exception in a callback": descriptors, timers, children, signals."""
    arrange(loop, pipe, fail(Failure("here")))
    with pytest.raises(Failure, match="here"):
        loop.wait()


def test_wait_raises_what_a_polling_callback_raises(main_loop):
    """Section 3, for what only the header has."""
    callback = fail(Failure("polling"))
    q.qemu_add_polling_cb(callback, None)
    try:
        with pytest.raises(Failure, match="polling"):
            main_loop.wait()
    finally:
        q.qemu_del_polling_cb(callback, None)
