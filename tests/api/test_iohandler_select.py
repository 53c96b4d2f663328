"""qemu_iohandler_fill() and qemu_iohandler_poll(): handlers in somebody else's select() loop."""

import os
import select

import pytest

import qemu_mainloop as q


@pytest.fixture
def ran(main_loop):
    """What the callbacks were given; the main loop forgets them after the test."""
    return []


def iterate(timeout=0):
    """One iteration of a select() loop that drives the main loop's handlers."""
    r, w, x = set(), set(), set()
    q.qemu_iohandler_fill(r, w, x)
    ready = [set(fds) for fds in select.select(r, w, x, timeout)]
    q.qemu_iohandler_poll(*ready, sum(map(len, ready)))


def test_fill_adds_what_is_watched_and_says_the_highest(ran, sockets, pipe):
    """Section 2.1: raises *pnfds to the highest descriptor, not one more."""
    a = sockets[0].fileno()
    q.qemu_set_fd_handler(a, ran.append, None, None)
    q.qemu_set_fd_handler(pipe[1], None, ran.append, None)
    r, w, x = set(), set(), set()
    highest = q.qemu_iohandler_fill(r, w, x)
    assert a in r and pipe[1] in w
    assert a not in w and pipe[1] not in r
    assert highest == max(r | w)


def test_fill_clears_no_set(ran, pipe):
    """Section 2.1: the caller's own descriptors stay in."""
    q.qemu_set_fd_handler(pipe[0], ran.append, None, None)
    r, w, x = {1000}, {1001}, {1002}
    q.qemu_iohandler_fill(r, w, x)
    assert 1000 in r and 1001 in w and 1002 in x


def test_fill_leaves_out_what_fd_read_poll_refuses(ran, pipe):
    """Row fd_read_poll: while it says no the descriptor is not watched for reading."""
    q.qemu_set_fd_handler2(pipe[0], lambda o: 0, ran.append, None, None)
    r = set()
    q.qemu_iohandler_fill(r, set(), set())
    assert pipe[0] not in r


def test_a_select_loop_serves_reading_and_writing(ran, sockets):
    """Section 2.1: read first, then write, of one descriptor."""
    a, b = sockets
    q.qemu_set_fd_handler(
        a.fileno(),
        lambda o: ran.append(("read", o, a.recv(10))),
        lambda o: ran.append(("write", o)),
        "x",
    )
    b.send(b"hello")
    iterate()
    assert ran == [("read", "x", b"hello"), ("write", "x")]


def test_a_select_loop_serves_only_what_is_ready(ran, pipe):
    """Section 2.1: what select() took out of the sets is not called."""
    q.qemu_set_fd_handler(pipe[0], ran.append, None, 1)
    iterate()
    assert ran == []
    os.write(pipe[1], b"x")
    iterate()
    assert ran == [1]


@pytest.mark.posix_only(reason="the notifier is no socket")
def test_a_select_loop_is_woken_by_a_notification(ran):
    """Section 2.1: the loop's own descriptors are in the sets too."""
    q.qemu_notify_event()
    r = set()
    q.qemu_iohandler_fill(r, set(), set())
    assert select.select(r, [], [], 10)[0]
    iterate()


@pytest.mark.parametrize("rc", [0, -1])
def test_poll_does_nothing_unless_select_found_something(ran, pipe, rc):
    """Section 2.1: rc is what select() returned."""
    q.qemu_set_fd_handler(pipe[1], None, ran.append, 1)
    q.qemu_iohandler_fill(set(), set(), set())
    q.qemu_iohandler_poll(set(), {pipe[1]}, set(), rc)
    assert ran == []


def test_a_handler_removed_during_the_poll_does_not_run(ran, sockets):
    """Row changed during dispatch: a removed handler does not run."""
    a, b = (end.fileno() for end in sockets)

    def remove_the_other(opaque):
        ran.append(opaque)
        q.qemu_set_fd_handler(b if opaque == "a" else a, None, None, None)

    q.qemu_set_fd_handler(a, None, remove_the_other, "a")
    q.qemu_set_fd_handler(b, None, remove_the_other, "b")
    iterate()
    assert len(ran) == 1


def test_an_exception_is_raised_after_the_others_have_run(ran, sockets):
    """Section 3, exceptions, for the header's calls."""
    a, b = (end.fileno() for end in sockets)

    def fail(opaque):
        ran.append(opaque)
        raise ValueError(opaque)

    q.qemu_set_fd_handler(a, None, fail, "a")
    q.qemu_set_fd_handler(b, None, ran.append, "b")
    with pytest.raises(ValueError, match="a"):
        iterate()
    assert sorted(ran) == ["a", "b"]
