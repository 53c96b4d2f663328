"""Descriptors closed while they are registered, numbers used again, and what a peer sees."""

import fcntl
import os
import socket
import threading

import pytest

pytestmark = pytest.mark.timeout(20)

MOST_STRAY_CALLS = 8


def test_closed_descriptor_does_not_spin(loop, closed_number, iterations_in):
    """Row "descriptor closed while registered": no spin (C18, D6)."""
    assert iterations_in(loop, 100) < 40


def test_closed_descriptor_makes_few_stray_calls(loop, closed_number, iterations_in):
    """Row "descriptor closed while registered": at most 8 stray callbacks (C18, D6)."""
    _, calls = closed_number
    for _ in range(3 * MOST_STRAY_CALLS):             # it is not asked for info(), which looks
        loop.wait(True)
    assert len(calls) <= MOST_STRAY_CALLS
    iterations_in(loop, 50)
    assert len(calls) <= MOST_STRAY_CALLS


def test_closed_descriptor_that_is_ready_now_and_then_makes_few_stray_calls(
        loop, pipe, other_pipe):
    """Never in two waits running: it is verified when it was called 8 times (C18)."""
    calls = []
    number = fcntl.fcntl(pipe[0], fcntl.F_DUPFD_CLOEXEC, 200)
    loop.set_fd_handler(number, lambda: calls.append(os.read(pipe[0], 1)))
    loop.set_fd_handler(other_pipe[0], lambda: os.read(other_pipe[0], 1))
    loop.wait(True)
    os.close(number)
    for _ in range(2 * MOST_STRAY_CALLS):
        for writer in (pipe[1], other_pipe[1]):
            os.write(writer, b"x")
            loop.wait(True)
    assert len(calls) <= MOST_STRAY_CALLS
    assert loop.info()["closed_descriptors"] == 1


def test_closed_descriptor_leaves_others_undisturbed(loop, closed_number, other_pipe):
    """Row "descriptor closed while registered": others undisturbed (C18, D3)."""
    calls = []
    loop.set_fd_handler(other_pipe[0], lambda: calls.append(os.read(other_pipe[0], 1)))
    for n in range(1, 21):
        os.write(other_pipe[1], b"y")
        assert loop.run_until(lambda n=n: len(calls) == n, timeout=5)
    assert calls == [b"y"] * 20


def test_closed_descriptor_shows_in_info(loop, closed_number):
    """Row "descriptor closed while registered": info() shows it."""
    assert loop.info()["closed_descriptors"] == 1


def test_removing_a_closed_descriptor_ends_its_calls(loop, closed_number, iterations_in):
    """Row "descriptor closed while registered", removed afterwards (B7)."""
    number, calls = closed_number
    loop.set_fd_handler(number)
    assert iterations_in(loop, 50) < 40
    assert calls == []
    assert loop.info()["closed_descriptors"] == 0


@pytest.mark.parametrize("looks", [False, True], ids=["told of it", "finds out itself"])
def test_descriptor_closed_before_the_loop_was_told_makes_no_call(
        loop, pipe, iterations_in, looks):
    """D10: closed between registration and the next wait."""
    calls = []
    os.write(pipe[1], b"x")
    loop.set_fd_handler(pipe[0], lambda: calls.append("r"), lambda: calls.append("w"))
    os.close(pipe[0])
    if looks:                            # before info() does
        assert loop.wait(True) == 0
    assert iterations_in(loop, 50) < 40
    assert calls == []


def test_descriptor_closed_in_its_own_callback_does_not_spin(loop, pipe, iterations_in):
    """Row "descriptor closed while registered", by the callback itself."""
    calls = []

    def read():
        calls.append("read")
        os.close(pipe[0])

    loop.set_fd_handler(pipe[0], read=read)
    os.write(pipe[1], b"x")
    assert loop.wait() == 1
    assert iterations_in(loop, 50) < 40
    assert calls == ["read"]


def test_all_handlers_with_closed_descriptors_leave_an_idle_loop(loop, iterations_in):
    """C18: many at once."""
    calls = []
    pairs = [socket.socketpair() for _ in range(40)]
    for a, b in pairs:
        loop.set_fd_handler(a.fileno(), read=lambda: calls.append("stray"))
        b.send(b"x")
    for pair in pairs:
        for end in pair:
            end.close()
    assert iterations_in(loop, 50) < 40
    assert calls == []
    assert loop.info()["closed_descriptors"] == 40


def test_busy_handler_whose_descriptor_is_open_is_not_taken_for_closed(loop, pipe):
    """Row "descriptor closed while registered": ready again and again is only verified."""
    calls = []
    loop.set_fd_handler(pipe[1], write=lambda: calls.append("write"))
    for _ in range(50):
        assert loop.wait() == 1
    assert len(calls) == 50
    assert loop.info()["closed_descriptors"] == 0


def test_peer_sees_the_end_at_once_after_removal_and_close(loop, sockets):
    """Row "removal then close()": the peer sees EOF at once (D10)."""
    a, b = sockets
    loop.set_fd_handler(a, read=print)
    loop.wait(True)
    loop.set_fd_handler(a)
    a.close()
    assert b.recv(10) == b""


def test_peer_sees_the_end_at_once_after_removal_and_close_in_a_callback(loop, sockets):
    """Row "removal then close()", inside an iteration (D10)."""
    a, b = sockets
    seen = []

    def read():
        a.recv(10)
        loop.set_fd_handler(a)
        a.close()
        seen.append(b.recv(10))

    loop.set_fd_handler(a, read=read)
    b.send(b"x")
    loop.wait()
    assert seen == [b""]


def test_peer_sees_the_end_when_a_watched_idle_socket_is_closed(loop, sockets):
    """D10: the registration itself must not keep the file open for longer than a wait."""
    a, b = sockets
    number = a.fileno()
    loop.set_fd_handler(a, read=print)
    for _ in range(20):
        loop.wait(True)
    a.close()
    if loop.fdmon == "io_uring":
        # Its requests hold their files (docs/fdmon.md): until the handler is removed.
        loop.set_fd_handler(number)
    loop.wait(True)
    assert b.recv(10) == b""


def test_peer_sees_the_end_after_removal_in_another_thread(loop, sockets):
    """Row "removal then close()": from another thread within the loop's next iteration (D10)."""
    a, b = sockets
    loop.set_fd_handler(a, read=print)

    def other():
        while loop.info()["sleeps"] == 0:
            os.sched_yield()
        loop.set_fd_handler(a)
        a.close()
        loop.notify()

    thread = threading.Thread(target=other)
    thread.start()
    loop.wait()
    thread.join()
    loop.wait(True)
    assert b.recv(10) == b""


@pytest.mark.posix_only(reason="a handle gets the number that the system likes")
def test_a_replacement_on_a_number_that_was_closed_makes_no_call(loop, pipe, iterations_in):
    """Row "when a change takes effect": who has a live registration is not asked, and is found
    out before the next wait, however the new one differs."""
    calls = []
    number = fcntl.fcntl(pipe[1], fcntl.F_DUPFD_CLOEXEC, 200)
    loop.set_fd_handler(number, lambda: calls.append("old"))
    for _ in range(40):
        loop.wait(True)
    os.close(number)
    loop.set_fd_handler(number, None, lambda: calls.append("new"))
    assert iterations_in(loop, 20) < 100
    assert calls == [] and loop.info()["closed_descriptors"] == 1
    os.dup2(pipe[1], number, inheritable=False)
    loop.set_fd_handler(number, None, lambda: calls.append("again"))
    loop.wait(True)
    assert calls == ["again"]
    loop.set_fd_handler(number)
    os.close(number)
