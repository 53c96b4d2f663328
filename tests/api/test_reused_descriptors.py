"""Numbers used again after their descriptor was closed under its handler."""

import errno
import os

import pytest

pytestmark = [pytest.mark.timeout(20),
              pytest.mark.posix_only(reason="a handle gets the number that the system likes")]

MOST_STRAY_CALLS = 8


def dup_to(fd, number):
    """Make number a name of fd's file, as a program that opens another file gets it."""
    os.dup2(fd, number, inheritable=False)


def test_number_registered_anew_works_at_once(loop, closed_number, other_pipe, iterations_in):
    """Row "descriptor closed while registered": a later registration works at once (D6)."""
    number, calls = closed_number
    news = []
    dup_to(other_pipe[0], number)
    try:
        loop.set_fd_handler(number, read=lambda: news.append(os.read(number, 10)))
        calls.clear()
        os.write(other_pipe[1], b"new")
        loop.wait(True)
        assert news == [b"new"]
        assert iterations_in(loop, 50) < 40
        assert calls == []
        assert news == [b"new"]
    finally:
        loop.set_fd_handler(number)
        os.close(number)


def test_number_registered_anew_after_the_loop_noticed_works_at_once(
        loop, closed_number, other_pipe, iterations_in):
    """Row "descriptor closed while registered": a later registration works at once (D6)."""
    number, _ = closed_number
    news = []
    iterations_in(loop, 20)
    dup_to(other_pipe[0], number)
    try:
        loop.set_fd_handler(number, read=lambda: news.append(os.read(number, 10)))
        os.write(other_pipe[1], b"new")
        loop.wait(True)
        assert news == [b"new"]
        assert loop.info()["closed_descriptors"] == 0
    finally:
        loop.set_fd_handler(number)
        os.close(number)


def test_number_removed_then_reused_works_at_once(loop, closed_number, other_pipe):
    """Row "descriptor closed while registered": removed late, its number another file's (D6)."""
    number, calls = closed_number
    news = []
    loop.set_fd_handler(number)
    dup_to(other_pipe[0], number)
    try:
        loop.set_fd_handler(number, read=lambda: news.append(os.read(number, 10)))
        os.write(other_pipe[1], b"new")
        loop.wait(True)
        assert news == [b"new"]
        assert calls == []
    finally:
        loop.set_fd_handler(number)
        os.close(number)


def test_number_reused_but_not_registered_anew_does_not_crash(loop, closed_number, other_pipe):
    """Row "descriptor closed while registered": undefined, but no crash."""
    number, _ = closed_number
    dup_to(other_pipe[0], number)
    try:
        os.write(other_pipe[1], b"y")
        for _ in range(30):
            loop.wait(True)
    finally:
        loop.set_fd_handler(number)
        os.close(number)
    assert loop.wait(True) == 0


def test_closed_number_registered_again_is_refused_once_noticed(loop, closed_number):
    """Row "when a change takes effect": without a live registration it is checked (EBADF)."""
    number, _ = closed_number
    loop.info()
    with pytest.raises(OSError) as caught:
        loop.set_fd_handler(number, read=print)
    assert caught.value.errno == errno.EBADF


def test_number_reused_after_it_was_idle_for_long_does_not_crash(loop, pipe, other_pipe):
    """Row "descriptor closed while registered": the kernel's entry is the old file's, which lives
    on and is ready again and again.  Others are served meanwhile, and a removal ends it."""
    calls, served = [], []
    number = os.dup(pipe[0])
    loop.set_fd_handler(number, lambda: calls.append(1))
    for _ in range(40):
        loop.wait(True)
    dup_to(other_pipe[0], number)
    os.write(pipe[1], b"x")
    for _ in range(30):
        loop.wait(True)
    loop.set_fd_handler(pipe[0], lambda: served.append(os.read(pipe[0], 1)))
    assert loop.run_until(lambda: served, timeout=10)
    loop.set_fd_handler(number)
    loop.wait(True)
    calls.clear()
    os.write(pipe[1], b"y")
    assert loop.run_until(lambda: len(served) == 2, timeout=10)
    for _ in range(10):
        loop.wait(True)
    assert calls == []
    loop.set_fd_handler(pipe[0])
    os.close(number)
