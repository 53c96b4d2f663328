"""run() keeps the loop to itself between its iterations, also while it handles a signal there."""

import ctypes
import functools
import signal
import threading

import pytest

pytestmark = [
    pytest.mark.timeout(20),
    pytest.mark.posix_only(reason="there is no kill()"),
]


@pytest.fixture
def between(loop):
    """between(function): a loop whose run() calls it by a signal handler between iterations."""
    old = signal.getsignal(signal.SIGUSR1)

    def arrange(function):
        signal.signal(signal.SIGUSR1, lambda *_: function())
        # A callable in C that does not look for signals, nor does the interpreter after it.
        loop.bh_new(functools.partial(ctypes.CDLL(None)["raise"], signal.SIGUSR1)).schedule()

    yield arrange
    signal.signal(signal.SIGUSR1, old)


def another_threads(function):
    """What function() gave, or raised, in a thread of its own."""
    results = []

    def run():
        try:
            results.append(function())
        except Exception as error:
            results.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return results[0]


def test_it_cannot_be_closed_there(loop, between):
    errors = []

    def close():
        try:
            loop.close()
        except RuntimeError as error:
            errors.append(str(error))
        loop.stop()

    between(close)
    loop.run()
    assert errors and "inside its own wait()" in errors[0]
    loop.close()


def test_another_thread_finds_it_taken_there_and_free_afterwards(loop, between):
    results = []

    def look():
        results.append(another_threads(lambda: loop.wait(True)))
        loop.stop()

    between(look)
    loop.run()
    assert isinstance(results[0], RuntimeError)
    assert another_threads(lambda: loop.wait(True)) == 0
    loop.close()


@pytest.mark.parametrize("how", ["wait", "run", "fileno"])
def test_what_claims_it_there_takes_nothing_from_the_run(loop, between, how):
    calls = []
    others = []

    def use():
        if how == "run":
            loop.stop()
            loop.run()
        else:
            loop.wait(True)
        if how == "fileno":
            loop.fileno()
        others.append(another_threads(lambda: loop.wait(True)))
        loop.bh_new(lambda: (calls.append(1), loop.stop())).schedule()

    between(use)
    loop.run()
    assert calls == [1]
    assert isinstance(others[0], RuntimeError)
    assert another_threads(lambda: loop.wait(True)) == 0


def test_it_is_free_after_an_exception(loop, between):
    def fail():
        raise KeyError("x")

    between(fail)
    with pytest.raises(KeyError):
        loop.run()
    assert another_threads(lambda: loop.wait(True)) == 0


def test_a_run_inside_a_callback_leaves_the_outer_iteration_its_claim(loop):
    results = []

    def outer():
        loop.stop()
        loop.run()
        results.append(another_threads(lambda: loop.wait(True)))

    loop.bh_new(outer).schedule()
    loop.wait(True)
    assert isinstance(results[0], RuntimeError)
    assert another_threads(lambda: loop.wait(True)) == 0


def test_a_handler_removed_there_is_let_go(loop, between, pipe):
    loop.set_fd_handler(pipe[0], lambda: None)
    between(lambda: (loop.set_fd_handler(pipe[0]), loop.stop()))
    loop.run()
    assert loop.info()["handlers"] == 0
