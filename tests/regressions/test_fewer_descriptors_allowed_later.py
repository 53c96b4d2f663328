"""A program that lowers RLIMIT_NOFILE, as a sandbox does, can wait for what it has open.

poll(2) refuses more members than that, and so did every wait with a hot set, and for some
seconds after a ring was closed that with epoll alone.
"""

import errno
import os
import resource
import sys
import tempfile

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="about epoll and io_uring")

FDMONS = [name for name in q.fdmons() if name != "poll"]


def serve(loop, limit):
    pipes = [os.pipe2(os.O_NONBLOCK) for _ in range(20)]
    got = []
    for reader, _ in pipes:
        loop.set_fd_handler(reader, lambda fd=reader: got.append(os.read(fd, 1)))
    timer = loop.timer_new(lambda: got.append(b"timer"))
    loop.wait(True)
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    for n in range(1, 100):                           # hot again, if that could be
        os.write(pipes[n % 3][1], b"x")
        assert loop.run_until(lambda: len(got) == n, timeout=10)  # noqa: B023
    got.clear()
    timer.mod_ns(q.clock_get_ns() + 1_000_000)        # a sleep that ends by itself
    assert loop.run_until(lambda: got, timeout=10)
    loop.set_fd_handler(pipes[0][0], None, lambda: got.append(b"writable"))
    loop.set_fd_handler(pipes[1][0])
    os.write(pipes[2][1], b"x")
    loop.wait(True)
    return got == [b"timer", b"x"]


def refuse(loop):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    got = []
    with tempfile.TemporaryFile() as file:
        loop.set_fd_handler(file, lambda: got.append("file"))
        loop.wait(True)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        numbers = set()
        for _ in range(5):                            # the first may end as by a signal
            try:
                loop.wait(True)
            except OSError as error:
                numbers.add(error.errno)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        got.clear()
        loop.wait(True)
        loop.set_fd_handler(file)
    return numbers == {errno.EINVAL} and got == ["file"]


def in_child(fdmon, check):
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            with q.MainLoop(fdmon=fdmon) as loop:
                status = int(check(loop))
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("fdmon", FDMONS)
@pytest.mark.parametrize("limit", [0, 5])
def test_what_is_open_is_served(fdmon, limit):
    assert in_child(fdmon, lambda loop: serve(loop, limit)) == 1


@pytest.mark.parametrize("fdmon", ["adaptive", "poll"])
def test_what_epoll_refuses_is_refused_and_served_again_later(fdmon):
    assert in_child(fdmon, refuse) == 1
