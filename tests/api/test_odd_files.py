"""Files that poll in ways of their own: regular ones, devices, terminals, high numbers."""

import fcntl
import os
import resource
import socket
import tempfile

import pytest

import qemu_mainloop as q

pytestmark = [pytest.mark.timeout(20),
              pytest.mark.posix_only(reason="sockets alone have fd handlers")]


@pytest.fixture(params=["regular file", "/dev/null"])
def always_ready(request):
    """A descriptor that select() calls ready always and that epoll refuses."""
    if request.param == "/dev/null":
        fd = os.open("/dev/null", os.O_RDWR)
    else:
        with tempfile.TemporaryFile() as f:
            fd = os.dup(f.fileno())
    yield fd
    os.close(fd)


def test_always_ready_file_calls_read_in_every_iteration(loop, always_ready):
    """Row "regular file, /dev/null": always ready, as with select (D6)."""
    calls = []
    loop.set_fd_handler(always_ready, read=lambda: calls.append("read"))
    assert [loop.wait(), loop.wait(), loop.wait(True)] == [1, 1, 1]
    assert calls == ["read"] * 3


def test_always_ready_file_calls_read_then_write(loop, always_ready):
    """Row "regular file, /dev/null": ready for both (D6)."""
    calls = []
    loop.set_fd_handler(always_ready, lambda: calls.append("r"), lambda: calls.append("w"))
    assert loop.wait() == 1
    assert calls == ["r", "w"]


def test_removed_always_ready_file_is_silent(loop, always_ready):
    calls = []
    loop.set_fd_handler(always_ready, read=lambda: calls.append("read"))
    loop.wait()
    loop.set_fd_handler(always_ready)
    assert loop.wait(True) == 0
    assert calls == ["read"]


def test_always_ready_file_does_not_starve_a_pipe(loop, always_ready, pipe):
    """Row "when a change takes effect": what the kernel refuses is served by poll(2)."""
    calls = []
    loop.set_fd_handler(always_ready, read=lambda: calls.append("file"))
    loop.set_fd_handler(pipe[0], read=lambda: calls.append("pipe"))
    assert loop.wait() == 1
    os.write(pipe[1], b"x")
    assert loop.wait() == 2
    assert sorted(calls) == ["file", "file", "pipe"]


def test_pipe_wakes_a_loop_that_also_watches_a_gated_file(loop, always_ready, pipe):
    """Row "regular file, /dev/null": not watched while can_read says no."""
    calls = []
    loop.set_fd_handler(always_ready, read=lambda: calls.append("file"), can_read=lambda: False)
    loop.set_fd_handler(pipe[0], read=lambda: calls.append(os.read(pipe[0], 1)))
    assert loop.wait(True) == 0
    os.write(pipe[1], b"x")
    assert loop.wait() == 1
    assert calls == [b"x"]


def test_closed_always_ready_file_makes_no_call(loop):
    """D6: closed while registered, of the kind that epoll refuses."""
    calls, ticks = [], []
    fd = os.open("/dev/null", os.O_RDWR)
    loop.set_fd_handler(fd, read=lambda: calls.append("stray"))
    loop.wait(True)
    calls.clear()
    os.close(fd)
    timer = loop.timer_new(lambda: ticks.append(1))
    timer.mod_ns(q.clock_get_ns() + 50_000_000)
    before = loop.info()["iterations"]
    assert loop.run_until(lambda: ticks, timeout=10)
    assert calls == []
    assert loop.info()["iterations"] - before < 40
    assert loop.info()["closed_descriptors"] == 1


@pytest.mark.parametrize("order", ["file then pipe", "pipe then file"])
def test_number_that_changes_its_kind_of_file_works_at_once(loop, pipe, order):
    """D6: a number reused across what epoll serves and what it refuses."""
    calls = []
    null = os.open("/dev/null", os.O_RDWR)
    number = fcntl.fcntl(null, fcntl.F_DUPFD_CLOEXEC, 100)
    files = [null, pipe[0]] if order == "file then pipe" else [pipe[0], null]
    try:
        os.write(pipe[1], b"x")
        for name, fd in zip("12", files, strict=True):
            os.dup2(fd, number, inheritable=False)
            loop.set_fd_handler(number, read=lambda name=name: calls.append(name))
            assert loop.wait(True) == 1
        assert calls == ["1", "2"]
    finally:
        loop.set_fd_handler(number)
        os.close(number)
        os.close(null)
    assert loop.wait(True) == 0


@pytest.mark.parametrize("number", [1023, 1024, 4000])
def test_high_number_is_served(loop, pipe, number):
    """D1: beyond an fd_set."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard <= number:
        pytest.skip(f"no descriptor {number} is to be had")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number + 1), hard))
    calls = []
    fd = fcntl.fcntl(pipe[0], fcntl.F_DUPFD_CLOEXEC, number)
    try:
        assert fd == number
        loop.set_fd_handler(fd, read=lambda: calls.append(os.read(fd, 10)))
        assert loop.wait(True) == 0
        os.write(pipe[1], b"x")
        assert loop.wait() == 1
        assert calls == [b"x"]
        loop.set_fd_handler(fd)
    finally:
        os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_high_number_is_left_out_of_an_fd_set(main_loop, pipe):
    """D1: qemu_iohandler_fill() never writes out of bounds."""
    try:
        fd = fcntl.fcntl(pipe[0], fcntl.F_DUPFD_CLOEXEC, 1024)
    except OSError:
        pytest.skip("no descriptor 1024 is to be had")
    try:
        main_loop.set_fd_handler(fd, read=print)
        reads, writes = set(), set()
        highest = q.qemu_iohandler_fill(reads, writes, set())
        assert highest < 1024
        assert fd not in reads | writes
        q.qemu_iohandler_poll(reads & {fd}, writes & {fd}, set(), 0)
        main_loop.set_fd_handler(fd)
    finally:
        os.close(fd)


def test_listening_socket_is_readable_when_somebody_connects(loop):
    address = f"\0qemu-mainloop-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(address)
        server.listen()
        calls = []
        loop.set_fd_handler(server, read=lambda: calls.append(server.accept()[0]))
        assert loop.wait(True) == 0
        client.connect(address)
        assert loop.wait() == 1
        calls[0].close()
        loop.set_fd_handler(server)


def test_loop_watches_another_loops_descriptor(loop, fdmon):
    """A loop is a file like any other: its fileno() polls readable when it wants an iteration."""
    calls = []
    with q.MainLoop(fdmon=fdmon) as inner:
        loop.set_fd_handler(inner, read=lambda: calls.append(inner.wait(True)))
        assert loop.run_until(lambda: not loop.wait(True), timeout=5)
        calls.clear()
        inner.bh_new(lambda: calls.append("bottom half")).schedule()
        assert loop.wait() == 1
        assert calls == ["bottom half", 0]
        loop.set_fd_handler(inner)


@pytest.mark.skipif(not hasattr(os, "O_PATH"), reason="there is no O_PATH")
def test_a_place_in_the_file_system_is_refused(main_loop, pipe):
    """It cannot be waited for: poll(2) says what it says of a closed one."""
    fd = os.open("/dev/null", os.O_PATH)
    try:
        with pytest.raises(OSError, match="Bad file descriptor"):
            main_loop.set_fd_handler(fd, read=print)
        with pytest.raises(OSError, match="Bad file descriptor"):
            q.qemu_add_wait_object(fd, print, None)
        # Nor is what has taken the number of a handler's descriptor that handler's.
        main_loop.set_fd_handler(pipe[0], read=print)
        os.dup2(fd, pipe[0])
        assert main_loop.wait(True) == 0
    finally:
        os.close(fd)
