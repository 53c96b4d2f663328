"""A loop's new kernel objects may get the number of a descriptor closed under its handler.

An fdmon that came to be asked to watch its own epoll descriptor changed, or took out, the
member of its poll set by which it learns of all that epoll watches: nothing of it was
reported any more.
"""

import ctypes
import os
import sys
from ctypes import CFUNCTYPE, c_char_p, c_int, c_void_p

import pytest
from c_functions import c_function

import qemu_mainloop as q

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="epoll and io_uring"),
    pytest.mark.thread_unsafe(reason="about which numbers are free"),
]

COOLED = 100             # waits after which nothing idle is in the hot set


@pytest.fixture
def victims(pipe):
    """The lowest numbers there are, lower than those of a loop that is made next."""
    numbers = [os.dup(pipe[1]) for _ in range(4)]
    yield numbers
    for fd in numbers:
        try:
            os.close(fd)
        except OSError:
            pass


def close_all(numbers):
    for fd in numbers:
        os.close(fd)


class Watching:
    """A loop with a pipe that is all right, and handlers of the victims."""

    def __init__(self, loop, ends, victims, **handler):
        self.loop = loop
        self.ends = ends
        self.got = 0
        self.strays = []
        loop.set_fd_handler(ends[0], self.on_read)
        for fd in victims:
            loop.set_fd_handler(fd, **{how: lambda: self.strays.append(1) for how in handler})
        loop.wait(True)
        self.strays.clear()

    def on_read(self):
        self.got += len(os.read(self.ends[0], 1))

    def works(self):
        for n in range(1, 4):
            for _ in range(COOLED):
                self.loop.wait(True)
            os.write(self.ends[1], b"x")
            self.loop.wait(True)
            if self.got != n:
                return False
        return not self.strays


@pytest.mark.parametrize("how", ["read", "write"])
@pytest.mark.parametrize("removed", [False, True])
def test_in_a_forked_child(victims, fdmon, how, removed):
    with q.MainLoop(fdmon=fdmon) as loop:
        ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        watching = Watching(loop, ends, victims, **{how: True})
        pid = os.fork()
        if pid == 0:
            status = 99
            try:
                close_all(victims)
                loop.wait(True)
                if removed:
                    for fd in victims[1:]:            # the first is the notifier's
                        loop.set_fd_handler(fd)
                status = int(watching.works())
            finally:
                os._exit(status)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
        loop.set_fd_handler(ends[0])
        for fd in victims:
            loop.set_fd_handler(fd)
        close_all(ends)


def test_when_the_fdmon_is_changed(victims, fdmon):
    callback = CFUNCTYPE(None, c_void_p)
    set_handler = c_function("aio", "aio_set_fd_handler", c_int, c_void_p, c_int, callback,
                             callback, CFUNCTYPE(c_int, c_void_p), c_void_p)
    poll = c_function("aio", "aio_poll", c_int, c_void_p, ctypes.c_int)
    set_fdmon = c_function("aio", "aio_context_set_fdmon", c_int, c_void_p, c_char_p)
    none = callback()
    got = []
    strays = callback(lambda opaque: got.append("stray"))
    ctx = c_function("aio", "aio_context_new", c_void_p)()
    ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    reads = callback(lambda opaque: got.append(os.read(ends[0], 1)))
    for fd in victims:
        assert set_handler(ctx, fd, none, strays, CFUNCTYPE(c_int, c_void_p)(), None) == 0
    assert set_handler(ctx, ends[0], reads, none, CFUNCTYPE(c_int, c_void_p)(), None) == 0
    assert poll(ctx, 0) == 1
    close_all(victims)
    assert set_fdmon(ctx, fdmon.encode()) == 0
    got.clear()
    for _ in range(3):
        for _ in range(COOLED):
            poll(ctx, 0)
        os.write(ends[1], b"x")
        assert poll(ctx, 0) == 1
    assert got == [b"x"] * 3
    c_function("aio", "aio_context_unref", None, c_void_p)(ctx)
    close_all(ends)


def test_when_it_is_hosted(victims, fdmon):
    with q.MainLoop(fdmon=fdmon) as loop:
        ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        watching = Watching(loop, ends, victims, read=True)
        close_all(victims)
        loop.fileno()
        assert watching.works()
        loop.set_fd_handler(ends[0])
        close_all(ends)
