"""wait() inside a callback, of the same loop and of another."""

import gc
import os
import threading

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)


@pytest.fixture
def ready(sockets):
    """Two sockets that are readable."""
    for end in sockets:
        end.send(b"x")
    return sockets


def test_nested_wait_dispatches_the_other_ready_handler_and_the_outer_does_not_again(
        loop, ready, calls):
    """Row "nested main_loop_wait from a callback": nothing is dispatched twice."""
    for end in ready:
        loop.set_fd_handler(end, read=lambda end=end: (
            calls.append(end.recv(10)), loop.wait(True), calls.append("back")))
    loop.wait()
    assert calls == [b"x", b"x", "back", "back"]
    assert loop.wait(True) == 0


def test_nested_wait_may_call_the_handler_it_is_in_again(loop, sockets, calls):
    """Row "nested main_loop_wait from a callback": allowed, level-triggered as ever."""
    a, b = sockets

    def read():
        calls.append(a.recv(1))
        if len(calls) < 3:
            assert loop.wait(True) == 1

    loop.set_fd_handler(a, read=read)
    b.send(b"123")
    loop.wait()
    assert calls == [b"1", b"2", b"3"]


def test_handlers_freed_in_a_nested_wait_are_not_used_by_the_outer(loop, calls):
    """Row "nested main_loop_wait from a callback": nothing freed under the outer pass (B4)."""
    pipes = [os.pipe2(os.O_CLOEXEC) for _ in range(20)]
    fds = [reading for reading, _ in pipes]
    for _, writing in pipes:
        os.write(writing, b"x")

    def read(fd):
        calls.append(fd)
        if len(calls) == 1:
            for other in fds:
                loop.set_fd_handler(other)
            for _ in range(3):
                loop.wait(True)
            gc.collect()
            for other in fds:
                loop.set_fd_handler(other, read=lambda: None)
                loop.set_fd_handler(other)

    try:
        for fd in fds:
            loop.set_fd_handler(fd, read=lambda fd=fd: read(fd))
        assert loop.wait() == 1
        assert len(calls) == 1
        assert loop.wait(True) == 0
    finally:
        for pair in pipes:
            for fd in pair:
                os.close(fd)


@pytest.mark.parametrize("outer", ["timer", "bottom half"])
def test_nested_wait_blocks_until_what_it_waits_for_has_come(loop, pipe, calls, outer):
    """Row "nested main_loop_wait from a callback": allowed, blocking too."""

    def callback():
        os.write(pipe[1], b"x")
        calls.append(loop.run_until(lambda: b"x" in calls, timeout=10))

    loop.set_fd_handler(pipe[0], read=lambda: calls.append(os.read(pipe[0], 1)))
    if outer == "timer":
        timer = loop.timer_new(callback)
        timer.mod_ns(0)
    else:
        loop.bh_new(callback).schedule()
    loop.wait(True)
    assert calls == [b"x", True]


def test_nested_wait_runs_the_rest_of_the_bottom_halves_once(loop, calls):
    """Row "nested main_loop_wait from a callback": nothing is dispatched twice."""
    loop.bh_new(lambda: (calls.append("a"), loop.wait(True), calls.append("back"))).schedule()
    loop.bh_new(lambda: calls.append("b")).schedule()
    loop.wait(True)
    loop.wait(True)
    assert calls == ["a", "b", "back"]


def test_nested_wait_twenty_deep_comes_back(loop, calls):
    def callback():
        calls.append("in")
        if len(calls) < 20:
            bh.schedule()
            loop.wait(True)
        calls.append("out")

    bh = loop.bh_new(callback)
    bh.schedule()
    loop.wait(True)
    assert calls == ["in"] * 20 + ["out"] * 20


def test_loop_waits_inside_a_callback_of_another_loop(loop, fdmon, calls):
    """A27, A26: each loop has its own work, in the same thread."""
    with q.MainLoop(fdmon=fdmon) as inner:
        inner.bh_new(lambda: calls.append("inner")).schedule()
        loop.bh_new(lambda: calls.append(inner.wait())).schedule()
        loop.wait()
    assert calls == ["inner", 0]


def test_loop_is_not_closed_inside_its_own_wait(loop, calls):
    """Using a loop wrongly is a RuntimeError that names it."""
    loop.bh_new(loop.close).schedule()
    loop.bh_new(lambda: calls.append("still open")).schedule()
    with pytest.raises(RuntimeError, match="MainLoop"):
        loop.wait()
    assert calls == ["still open"]


def test_wait_in_a_second_thread_is_a_runtime_error_that_names_the_loop(loop):
    caught = []

    def other():
        try:
            loop.wait(True)
        except RuntimeError as e:
            caught.append(str(e))

    def callback():
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()

    loop.bh_new(callback).schedule()
    loop.wait()
    assert len(caught) == 1
    assert "MainLoop" in caught[0]
