"""Exceptions in callbacks: who gets which, and what goes on afterwards."""

import gc
import os
import sys
import time
import weakref

import pytest

import qemu_mainloop as q


class Failure(Exception):
    """What a callback of these tests raises."""


def fail(error):
    """A callback that raises error."""

    def callback(*_):
        raise error

    return callback


@pytest.fixture
def unraisable(monkeypatch):
    """What reaches sys.unraisablehook: (exception, object)."""
    seen = []
    monkeypatch.setattr(sys, "unraisablehook", lambda u: seen.append((u.exc_value, u.object)))
    return seen


def schedule(loop, *callbacks):
    """Bottom halves of those callbacks, scheduled in order."""
    bhs = [loop.bh_new(callback) for callback in callbacks]
    for bh in bhs:
        bh.schedule()


def test_wait_finishes_the_iteration_before_it_raises(loop):
    """Section 3: wait() finishes the iteration, then raises."""
    ran = []
    schedule(loop, fail(Failure("one")), lambda: ran.append("later"))
    with pytest.raises(Failure, match="one"):
        loop.wait(True)
    assert ran == ["later"]


def test_of_two_exceptions_the_first_is_raised_the_second_is_unraisable(loop, unraisable):
    """Section 3: the first one is raised, further ones go to sys.unraisablehook."""
    first, second = Failure("first"), Failure("second")
    callback = fail(second)
    schedule(loop, fail(first), callback)
    with pytest.raises(Failure) as caught:
        loop.wait(True)
    assert caught.value is first
    assert unraisable == [(second, callback)]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_wins_over_an_earlier_exception(loop, unraisable, kind):
    """Section 3: KeyboardInterrupt and SystemExit win over others."""
    ordinary = Failure("ordinary")
    schedule(loop, fail(ordinary), fail(kind()))
    with pytest.raises(kind):
        loop.wait(True)
    assert [error for error, _ in unraisable] == [ordinary]


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_an_exit_keeps_its_place_before_a_later_exception(loop, unraisable, kind):
    """Section 3: also when it came first."""
    ordinary = Failure("ordinary")
    schedule(loop, fail(kind()), fail(ordinary))
    with pytest.raises(kind):
        loop.wait(True)
    assert [error for error, _ in unraisable] == [ordinary]


def test_of_two_exits_the_first_is_raised(loop, unraisable):
    """Section 3: among equals the first."""
    later = SystemExit(3)
    schedule(loop, fail(KeyboardInterrupt()), fail(later))
    with pytest.raises(KeyboardInterrupt):
        loop.wait(True)
    assert [error for error, _ in unraisable] == [later]


def test_the_loop_goes_on_after_an_exception(loop, pipe):
    """Section 3: nothing registered is lost with the exception."""
    loop.set_fd_handler(pipe[0], fail(Failure("again")))
    os.write(pipe[1], b"x")
    for _ in range(3):
        with pytest.raises(Failure, match="again"):
            loop.wait()


def test_run_raises_and_can_be_called_again(loop):
    """Section 3: run() too finishes the iteration, then raises."""
    schedule(loop, fail(Failure("in run")), lambda: None)
    with pytest.raises(Failure, match="in run"):
        loop.run()
    schedule(loop, loop.stop)
    loop.run()


def test_a_nested_wait_raises_its_own(loop):
    """Section 3: the caller of the nested wait gets it, the outer one does not."""
    caught = []

    def outer():
        schedule(loop, fail(Failure("inner")))
        try:
            loop.wait(True)
        except Failure as error:
            caught.append(str(error))

    schedule(loop, outer)
    loop.wait()
    assert caught == ["inner"]


def test_a_nested_wait_does_not_raise_what_came_before_it(loop):
    """Section 3: what an earlier callback of the outer pass raised stays the outer one's."""
    nested = []
    schedule(loop, fail(Failure("outer")), lambda: nested.append(loop.wait(True)))
    with pytest.raises(Failure, match="outer"):
        loop.wait()
    assert nested == [0]


def test_an_iothread_reports_and_goes_on(unraisable):
    """Section 3: with no Python caller all go to sys.unraisablehook, and the loop goes on."""
    with q.IOThread() as io:
        schedule(io.loop, fail(Failure("one")), fail(Failure("two")))
        done = []
        schedule(io.loop, lambda: done.append(1))
        deadline = time.monotonic() + 10
        while not done and time.monotonic() < deadline:
            os.sched_yield()
        assert done
    assert [str(error) for error, _ in unraisable] == ["one", "two"]


def test_an_exception_that_was_caught_is_freed(loop):
    """Section 3: raised once, kept by nobody: neither by the loop nor by its own traceback."""
    schedule(loop, fail(Failure("short-lived")))
    try:
        loop.wait(True)
    except Failure as error:
        alive = weakref.ref(error)
    gc.collect()
    assert alive() is None
