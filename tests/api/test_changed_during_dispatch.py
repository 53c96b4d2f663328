"""Registrations that change while what was ready is dispatched."""

import fcntl
import os

import pytest

pytestmark = pytest.mark.timeout(20)


@pytest.fixture
def ready(sockets):
    """Two sockets that are readable."""
    for end in sockets:
        end.send(b"x")
    return sockets


def watch_both(loop, ready, calls, act):
    """Whichever is called first does act(the other one)."""

    def read(me, other):
        calls.append(me)
        if len(calls) == 1:
            act(other)

    a, b = ready
    loop.set_fd_handler(a, read=lambda: read(a, b))
    loop.set_fd_handler(b, read=lambda: read(b, a))


def test_ready_handler_removed_by_another_does_not_run(loop, ready, calls):
    """Row "changed during dispatch": a removed handler does not run."""
    watch_both(loop, ready, calls, loop.set_fd_handler)
    assert loop.wait() == 1
    assert len(calls) == 1
    assert loop.wait(True) == 1
    assert calls[0] is calls[1]


def test_ready_handler_replaced_by_another_waits_for_the_next_iteration(loop, ready, calls):
    """Row "changed during dispatch": a replaced one waits for the next iteration."""
    watch_both(loop, ready, calls,
               lambda other: loop.set_fd_handler(other, read=lambda: calls.append("new")))
    assert loop.wait() == 1
    assert len(calls) == 1
    assert loop.wait(True) == 2
    assert "new" in calls


def test_ready_handler_removed_and_added_again_waits_for_the_next_iteration(loop, ready, calls):
    """Row "changed during dispatch", by removal and registration (B1)."""

    def act(other):
        loop.set_fd_handler(other)
        loop.set_fd_handler(other, read=lambda: calls.append("new"))

    watch_both(loop, ready, calls, act)
    assert loop.wait() == 1
    assert "new" not in calls
    assert loop.wait(True) == 2
    assert "new" in calls


def test_write_handler_set_by_read_waits_for_the_next_iteration(loop, sockets, calls):
    """Row "changed during dispatch": never the old registration's readiness."""
    a, b = sockets
    b.send(b"x")
    loop.set_fd_handler(
        a,
        lambda: loop.set_fd_handler(a, write=lambda: calls.append("new")),
        lambda: calls.append("old"),
    )
    assert loop.wait() == 1
    assert calls == []
    assert loop.wait(True) == 1
    assert calls == ["new"]


def test_handler_added_by_a_callback_waits_for_the_next_iteration(loop, ready, calls):
    """Row "changed during dispatch": an added one waits for the next iteration."""
    a, b = ready

    def read():
        calls.append("first")
        if len(calls) == 1:
            loop.set_fd_handler(b, read=lambda: calls.append("added"))

    loop.set_fd_handler(a, read=read)
    assert loop.wait() == 1
    assert calls == ["first"]
    assert loop.wait(True) == 2
    assert "added" in calls


@pytest.mark.posix_only(reason="a handle gets the number that the system likes")
def test_number_that_names_another_file_by_now_gets_no_stale_readiness(loop, ready, pipe, calls):
    """Row "changed during dispatch": never stale readiness, for a silent file least of all."""
    numbers = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 200) for end in ready]

    def read(me, other):
        calls.append("old")
        if len(calls) == 1:
            os.dup2(pipe[0], other, inheritable=False)
            loop.set_fd_handler(other, read=lambda: calls.append("stale"))
            loop.set_fd_handler(me)

    try:
        for me, other in (numbers, numbers[::-1]):
            loop.set_fd_handler(me, read=lambda me=me, other=other: read(me, other))
        assert loop.wait() == 1
        assert loop.wait(True) == 0
        assert calls == ["old"]
    finally:
        for number in numbers:
            loop.set_fd_handler(number)
            os.close(number)
