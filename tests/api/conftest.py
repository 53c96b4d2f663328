"""Fixtures of the API tests: spin detection, closed numbers, the virtual clock, the main loop."""

import contextlib
import fcntl
import functools
import os
import socket
from pathlib import Path

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


@pytest.fixture
def events():
    """Two events that are not signalled."""
    fds = [os.eventfd(0, os.EFD_NONBLOCK) for _ in range(2)]
    yield fds
    for fd in fds:
        try:
            os.close(fd)
        except OSError:
            pass  # the test closed it


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
def new(loop, calls):
    """new(name): a timer that notes its name in calls."""
    return functools.partial(_noting_timer, loop, calls)


def _noting_timer(loop, calls, name, **kw):
    return loop.timer_new(lambda: calls.append(name), **kw)


@pytest.fixture
def noted(loop, virtual, base, calls):
    """noted(name, after_ns): a virtual timer that notes name and the clock's advance in calls."""

    def new(name, after_ns, loop=loop):
        timer = loop.timer_new(lambda: calls.append((name, virtual() - base)), q.Clock.VIRTUAL)
        timer.mod_ns(base + after_ns)
        return timer

    return new


# ---- under pytest-run-parallel, which runs a test by several threads at once

# What a test may ask for and be run so; each thread gets a loop and descriptors of its own.
SHARED = {"fdmon", "iterations_in", "request", "nothing_leaks", "the_main_loop_exists"}
OWN = ("loop", "calls", "new", "pipe", "other_pipe", "sockets")
ONCE_A_PROCESS = {
    "test_busy_polling": "processors: who polls keeps one, and there may be fewer than threads",
    "test_clock_host": "the host clock",
    "test_clock_step": "the virtual clock",
    "test_clocks": "the virtual clock",
    "test_closed_descriptors": "numbers of descriptors, which another thread may get",
    "test_command_line": "the process's own loop",
    "test_fork": "fork",
    "test_gil": "counters of the process",
    "test_iothread_lock": "the iothread lock",
    "test_odd_files": "numbers of descriptors, which another thread may get",
    "test_reused_descriptors": "numbers of descriptors, which another thread may get",
    "test_run_between_iterations": "signals",
    "test_signal": "signals",
    "test_wait_objects": "the main loop",
}


def pytest_collection_modifyitems(config, items):
    if not config.pluginmanager.hasplugin("run-parallel"):
        return
    for item in items:
        if Path(item.path).parent != Path(__file__).parent:
            continue
        reason = _why_alone(item)
        if reason:
            item.add_marker(pytest.mark.thread_unsafe(reason=reason))
            item.add_marker(pytest.mark.iterations(1))
        elif hasattr(item, "obj"):
            item.obj = _with_its_own(item.obj)


def _why_alone(item):
    for name, reason in ONCE_A_PROCESS.items():
        if item.path.stem.startswith(name):
            return reason
    others = set(item.fixturenames) - SHARED - set(OWN) - set(item.callspec.params if
                                                         hasattr(item, "callspec") else ())
    return f"uses {', '.join(sorted(others))}" if others else None


def _with_its_own(test):
    @functools.wraps(test)
    def run(**arguments):
        with contextlib.ExitStack() as stack:
            for name in OWN:
                if name in arguments:
                    arguments[name] = _make(name, arguments, stack)
            test(**arguments)

    return run


def _make(name, arguments, stack):
    if name == "loop":
        return stack.enter_context(q.MainLoop(fdmon=arguments["loop"].fdmon))
    if name == "calls":
        return []
    if name == "new":
        loop = arguments.get("loop")
        if loop is None:
            theirs = arguments["new"].args[0]
            loop = stack.enter_context(q.MainLoop(fdmon=theirs.fdmon))
        return functools.partial(_noting_timer, loop, arguments.get("calls", []))
    if name == "sockets":
        pair = socket.socketpair()
        for end in pair:
            end.setblocking(False)
            stack.callback(end.close)
        return pair
    ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for fd in ends:
        stack.callback(_close, fd)
    return ends


def _close(fd):
    with contextlib.suppress(OSError):  # the test closed it
        os.close(fd)
