"""fd handlers: who is called, when, how often, and what comes back from wait()."""

import os

import pytest

pytestmark = pytest.mark.timeout(20)


def test_readable_descriptor_calls_read(loop, pipe):
    calls = []
    loop.set_fd_handler(pipe[0], read=lambda: calls.append(os.read(pipe[0], 10)))
    os.write(pipe[1], b"x")
    assert loop.wait() == 1
    assert calls == [b"x"]


def test_silent_descriptor_calls_nobody(loop, pipe):
    """An event that was never set: a non-blocking wait finds nothing."""
    calls = []
    loop.set_fd_handler(pipe[0], read=lambda: calls.append("read"))
    assert [loop.wait(True) for _ in range(3)] == [0, 0, 0]
    assert calls == []


def test_writable_descriptor_calls_write(loop, pipe):
    calls = []
    loop.set_fd_handler(pipe[1], write=lambda: calls.append("write"))
    assert loop.wait() == 1
    assert calls == ["write"]


def test_full_pipe_does_not_call_write_until_it_is_read(loop, pipe):
    calls = []
    with pytest.raises(BlockingIOError):
        while True:
            os.write(pipe[1], bytes(65536))
    loop.set_fd_handler(pipe[1], write=lambda: calls.append("write"))
    assert loop.wait(True) == 0
    with pytest.raises(BlockingIOError):
        while os.read(pipe[0], 1 << 20):
            pass
    assert loop.wait() == 1
    assert calls == ["write"]


def test_read_runs_before_write_and_both_count_once(loop, sockets):
    """Row "fd handler": read first; row "main_loop_wait returns": read and write count once."""
    a, b = sockets
    calls = []
    loop.set_fd_handler(a, lambda: calls.append("read"), lambda: calls.append("write"))
    b.send(b"x")
    assert loop.wait() == 1
    assert calls == ["read", "write"]


def test_write_does_not_run_when_read_removed_the_handler(loop, sockets):
    """Row "changed during dispatch": a removed handler does not run."""
    a, b = sockets
    calls = []

    def read():
        calls.append("read")
        loop.set_fd_handler(a)

    loop.set_fd_handler(a, read, lambda: calls.append("write"))
    b.send(b"x")
    assert loop.wait() == 1
    assert calls == ["read"]


def test_undrained_descriptor_is_reported_again(loop, pipe):
    """Row "fd handler": level-triggered."""
    calls = []
    loop.set_fd_handler(pipe[0], read=lambda: calls.append("read"))
    os.write(pipe[1], b"x")
    assert [loop.wait(), loop.wait(), loop.wait(True)] == [1, 1, 1]
    assert len(calls) == 3


def test_setting_again_replaces_both_callbacks(loop, sockets):
    """Row "fd handler": one per descriptor; setting replaces."""
    a, b = sockets
    calls = []
    loop.set_fd_handler(a, read=lambda: calls.append("old read"))
    loop.set_fd_handler(a, write=lambda: calls.append("new write"))
    b.send(b"x")
    assert loop.wait(True) == 1
    assert calls == ["new write"]
    assert loop.info()["handlers"] == 1


def test_handler_replaced_between_waits_hears_of_what_was_ready(loop, pipe):
    """Row "when a change takes effect": a replacement is applied before the next wait."""
    calls = []
    os.write(pipe[1], b"x")
    loop.set_fd_handler(pipe[0], read=lambda: calls.append("old"))
    loop.wait(True)
    for i in range(10):
        loop.set_fd_handler(pipe[0], read=lambda i=i: calls.append(i))
    assert loop.wait(True) == 1
    assert calls == ["old", 9]


def test_removed_handler_is_not_called(loop, pipe):
    calls = []
    loop.set_fd_handler(pipe[0], read=lambda: calls.append("read"))
    os.write(pipe[1], b"x")
    loop.set_fd_handler(pipe[0])
    assert loop.wait(True) == 0
    assert calls == []
    assert loop.info()["handlers"] == 0


def test_removing_what_was_never_registered_is_no_error(loop, pipe):
    """B7: an unknown descriptor, one beyond the table, one that is not open."""
    loop.set_fd_handler(pipe[0])
    loop.set_fd_handler(pipe[0], None, None)
    loop.set_fd_handler(1_000_000)
    assert loop.wait(True) == 0


def test_each_of_two_ready_descriptors_is_called_and_counted(loop, sockets):
    """Row "main_loop_wait returns": the number of descriptors whose callbacks were due."""
    calls = []
    for end in sockets:
        loop.set_fd_handler(end, write=lambda end=end: calls.append(end))
    assert loop.wait() == 2
    assert sorted(map(id, calls)) == sorted(map(id, sockets))


@pytest.mark.posix_only(reason="events have no fd handlers; tests/windows has many of each kind")
def test_one_of_a_hundred_descriptors_is_the_only_one_called(loop):
    """More descriptors than any threshold of QEMU's between poll and epoll."""
    fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(100)]
    try:
        calls = []
        for fd in fds:
            loop.set_fd_handler(fd, read=lambda fd=fd: calls.append((fd, os.eventfd_read(fd))))
        os.eventfd_write(fds[57], 1)
        assert loop.wait() == 1
        assert calls == [(fds[57], 1)]
        assert loop.wait(True) == 0
    finally:
        for fd in fds:
            loop.set_fd_handler(fd)
            os.close(fd)


def test_callback_that_sets_its_event_again_runs_once_an_iteration(loop, pipe):
    calls = []

    def read():
        os.read(pipe[0], 10)
        calls.append("read")
        if len(calls) < 10:
            os.write(pipe[1], b"x")

    loop.set_fd_handler(pipe[0], read=read)
    os.write(pipe[1], b"x")
    for n in range(1, 11):
        assert loop.wait(True) == 1
        assert len(calls) == n
    assert loop.wait(True) == 0
