"""Fixtures of the API tests: spin detection, closed numbers, the virtual clock, the main loop."""

import fcntl
import os

import pytest

import qemu_mainloop as q


@pytest.fixture
def iterations_in():
    """iterations_in(loop, ms): runs the loop for so long, and says how often it went round.

    A loop that spins goes round thousands of times; one that sleeps, a few times.
    """

    def run(loop, ms):
        ticks = []
        timer = loop.timer_new(lambda: ticks.append(1))
        before = loop.info()["iterations"]
        timer.mod_ns(q.clock_get_ns() + ms * 1_000_000)
        assert loop.run_until(lambda: ticks, timeout=10)
        return loop.info()["iterations"] - before

    return run


@pytest.fixture
def virtual():
    """virtual(): the virtual clock's time; it is stopped before and after the test."""
    assert _is_stopped()
    yield lambda: q.clock_get_ns(q.Clock.VIRTUAL)
    q.clock_enable(q.Clock.VIRTUAL, False)


def _is_stopped():
    return q.clock_step(0) == q.clock_get_ns(q.Clock.VIRTUAL)


@pytest.fixture
def header(main_loop, fdmon):
    """The main loop, on each fdmon, for the names of main-loop.h."""
    main_loop._use_fdmon(fdmon)
    yield main_loop
    q.main_loop()._use_fdmon(q.fdmons()[0])


@pytest.fixture
def other_pipe():
    """A second non-blocking pipe: (reading end, writing end)."""
    ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    yield ends
    for fd in ends:
        os.close(fd)


@pytest.fixture(params=["dup alive", "no dup"])
def closed_number(request, loop, pipe):
    """A number closed under its handler while data waits, and the list of its calls.

    It is a high one, so that nothing else gets it by chance.
    """
    calls = []
    number = fcntl.fcntl(pipe[0], fcntl.F_DUPFD_CLOEXEC, 200)
    loop.set_fd_handler(number, read=lambda: calls.append("stray"))
    os.write(pipe[1], b"x")
    loop.wait(True)
    calls.clear()
    if request.param == "no dup":
        os.close(pipe[0])
    os.close(number)
    return number, calls


@pytest.fixture
def base(virtual):
    """The virtual clock's time when the test begins."""
    return virtual()


@pytest.fixture
def calls():
    """What was called."""
    return []


@pytest.fixture
def noted(loop, virtual, base, calls):
    """noted(name, after_ns): a virtual timer that notes name and the clock's advance in calls."""

    def new(name, after_ns, loop=loop):
        timer = loop.timer_new(lambda: calls.append((name, virtual() - base)), q.Clock.VIRTUAL)
        timer.mod_ns(base + after_ns)
        return timer

    return new
