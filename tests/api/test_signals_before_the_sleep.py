"""Python's signal handlers, run at the last look before a sleep: they may use the loop."""

import ctypes
import functools
import os
import signal
import sys
import threading

import pytest

pytestmark = pytest.mark.timeout(60)
libc = ctypes.PyDLL("ucrtbase" if sys.platform == "win32" else None)


@pytest.fixture
def on_signal():
    """on_signal(function): it is called for SIGUSR2 until the test is over."""
    before = signal.getsignal(signal.SIGUSR2)
    yield lambda function: signal.signal(signal.SIGUSR2, lambda *_: function())
    signal.signal(signal.SIGUSR2, before)


def raising(loop, pipe):
    """A gate that raises the signal from C: no Python code runs before the sleep."""
    loop.set_fd_handler(pipe[0], print, can_read=functools.partial(
        libc["raise"], int(signal.SIGUSR2)))


def test_a_handler_runs_before_the_sleep(loop, pipe, on_signal):
    got = []
    raising(loop, pipe)
    on_signal(lambda: (got.append("signal"), loop.set_fd_handler(pipe[0]), loop.notify()))
    loop.wait()
    assert got == ["signal"]
    loop.wait(True)


def test_a_handler_that_nests_ends_the_outer_wait(loop, pipe, on_signal):
    """What the outer wait had computed may not hold any more: its caller has to look."""
    got = []
    raising(loop, pipe)
    bh = loop.bh_new(lambda: got.append("bottom half"))

    def handler():
        loop.set_fd_handler(pipe[0])
        bh.schedule()
        got.append(loop.wait(True))

    on_signal(handler)
    assert loop.wait() == 0                     # and does not sleep
    assert got == ["bottom half", 0]


def test_a_handler_that_raises_ends_the_wait(loop, pipe, on_signal):
    raising(loop, pipe)

    def handler():
        loop.set_fd_handler(pipe[0])
        raise KeyError("mine")

    on_signal(handler)
    with pytest.raises(KeyError, match="mine"):
        loop.wait()


@pytest.mark.posix_only(reason="no signal but Ctrl-C interrupts a sleep")
def test_a_signal_that_interrupts_a_sleep_of_run_is_handled(loop, on_signal):
    """After a recent look run() sleeps without another one: the signal makes up for it."""
    rounds = 30
    got = []
    on_signal(lambda: got.append(1))
    main = threading.get_ident()

    def until_asleep_again(seen):
        while loop.info()["sleeps"] == seen:
            os.sched_yield()

    def disturb():
        try:
            for n in range(rounds):
                seen = loop.info()["sleeps"]
                loop.notify()                   # the next sleep comes soon after a look
                until_asleep_again(seen)
                signal.pthread_kill(main, signal.SIGUSR2)
                while len(got) == n:
                    os.sched_yield()
        finally:
            loop.stop()

    thread = threading.Thread(target=disturb)
    bh = loop.bh_new(thread.start)
    bh.schedule()
    loop.run()
    thread.join()
    assert len(got) == rounds


@pytest.mark.parametrize("raises", ["can_read", "polling callback"])
def test_an_exception_before_the_sleep_is_raised_at_once_in_any_thread(loop, pipe, raises):
    """In a thread that gets no signals the last look is for what its callbacks raised."""
    errors = []

    def refuse():
        raise KeyError(raises)

    if raises == "can_read":
        loop.set_fd_handler(pipe[0], print, can_read=refuse)
    else:
        loop._add_polling_callback(lambda opaque: refuse(), None)

    def run():
        try:
            loop.wait()
        except KeyError as error:
            errors.append(error.args[0])

    thread = threading.Thread(target=run)
    thread.start()
    thread.join(20)
    assert errors == [raises]
