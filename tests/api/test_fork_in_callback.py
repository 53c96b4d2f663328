"""A callback that forks: the child dispatches nothing more in that iteration."""

import ast
import os
import signal
import time

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.posix_only(reason="there is no fork")


def answer_of(reading, pid):
    """What the child with that pid has written, as a Python value; the child is reaped."""
    with open(reading, "rb") as file:
        text = file.read().decode()
    os.waitpid(pid, 0)
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        raise AssertionError(f"the child said {text!r}") from None


def report(writing, function):
    """In the child: say what function() gives, and be gone, in 20 seconds at the latest."""
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(20)
        os.write(writing, repr(function()).encode())
    except BaseException as error:
        os.write(writing, f"{type(error).__name__}: {error}".encode())
    finally:
        os._exit(0)


def by_read(loop, fork, pipe):
    os.write(pipe[1], b"x")
    loop.set_fd_handler(pipe[0], lambda: (loop.set_fd_handler(pipe[0]), fork()))


def by_write(loop, fork, pipe):
    loop.set_fd_handler(pipe[1], None, lambda: (loop.set_fd_handler(pipe[1]), fork()))


def by_can_read(loop, fork, pipe):
    loop.set_fd_handler(
        pipe[0], print, can_read=lambda: (loop.set_fd_handler(pipe[0]), fork()) and False)


def by_bottom_half(loop, fork, pipe):
    bh = loop.bh_new(fork)
    bh.schedule()
    return bh


def by_idle_bottom_half(loop, fork, pipe):
    bh = loop.bh_new(fork)
    bh.schedule_idle()
    return bh


def by_timer(clock):
    def arm(loop, fork, pipe):
        timer = loop.timer_new(fork, clock)
        timer.mod_ns(0)
        return timer

    return arm


def by_child(loop, fork, pipe):
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 0"], os.environ)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    loop.add_child_watch(pid, lambda *_: fork())


def by_trapped_signal(loop, fork, pipe):
    loop.add_signal_handler(signal.SIGUSR2, fork)
    signal.raise_signal(signal.SIGUSR2)


KINDS = {
    "read": by_read,
    "write": by_write,
    "can_read": by_can_read,
    "bottom half": by_bottom_half,
    "idle bottom half": by_idle_bottom_half,
    "realtime timer": by_timer(q.Clock.REALTIME),
    "host timer": by_timer(q.Clock.HOST),
    "child watch": by_child,
    "trapped signal": by_trapped_signal,
}


class Forking:
    """A fork in some callback of a loop, and a bottom half that is due behind it."""

    def __init__(self, loop):
        self.loop = loop
        self.ran, self.pids = [], []
        self.reading, self.writing = os.pipe()
        self.late = loop.bh_new(lambda: self.ran.append("late"))

    def __call__(self, *_):
        if not self.pids:
            self.late.schedule()
            self.pids.append(os.fork())
        return False

    def check(self, drive):
        """In the child nothing more is dispatched by drive(), in the parent all is."""
        drive()
        if self.pids == [0]:
            report(self.writing, lambda: (list(self.ran), self.loop.wait(True), self.ran,
                                          q.qemu_mutex_iothread_locked()))
        os.close(self.writing)
        assert answer_of(self.reading, self.pids[0]) == ([], 0, ["late"], False)
        self.loop.wait(True)
        assert self.ran == ["late"]


@pytest.mark.parametrize("kind", KINDS)
def test_an_iteration_that_forked_dispatches_nothing_more_in_the_child(loop, pipe, kind):
    """Row fork: what is due stays for the child's next iteration; the parent goes on."""
    fork = Forking(loop)
    kept = KINDS[kind](loop, fork, pipe)
    fork.check(lambda: loop.run_until(lambda: fork.pids, timeout=10))
    del kept


# The main loop's watch on the wall clock would stay as long as the process.
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "host timer"])
def test_a_fork_in_the_main_loop(main_loop, pipe, kind):
    """Row fork, with the iothread lock held by the thread that forks: it is given back."""
    fork = Forking(main_loop)
    kept = KINDS[kind](main_loop, fork, pipe)
    fork.check(lambda: main_loop.run_until(lambda: fork.pids, timeout=10))
    assert not main_loop.lock.locked()
    del kept


@pytest.mark.parametrize("kind", KINDS)
def test_a_fork_in_a_nested_iteration(loop, pipe, kind):
    """Row fork: neither the inner nor the outer iteration dispatches anything more."""
    fork = Forking(loop)
    kept = KINDS[kind](loop, fork, pipe)

    def nest():
        while not fork.pids:
            loop.wait()

    outer = loop.bh_new(nest)
    outer.schedule()
    fork.check(loop.wait)
    del kept


@pytest.mark.parametrize("kind", KINDS)
def test_a_fork_in_an_iothread(pipe, kind):
    """Row fork: the child has no IOThread any more; the parent's goes on."""
    with q.IOThread() as io:
        fork = Forking(io.loop)
        said = []

        def say():
            try:
                said.append(io.loop)
            except RuntimeError as error:
                return str(error)

        def fork_and_report(*_):
            if not fork.pids:
                fork()
                if fork.pids == [0]:
                    report(fork.writing, say)
            return False

        kept = KINDS[kind](io.loop, fork_and_report, pipe)
        io.loop.notify()
        end = time.monotonic() + 20
        while fork.ran != ["late"] and time.monotonic() < end:
            os.sched_yield()
        os.close(fork.writing)
        assert "parent process" in answer_of(fork.reading, fork.pids[0])
        assert fork.ran == ["late"]
        del kept


def test_a_fork_in_a_polling_callback_and_in_a_wait_object(main_loop, pipe):
    """Row fork, for what only the main loop has."""
    fork = Forking(main_loop)
    q.qemu_add_polling_cb(fork, None)
    fork.check(main_loop.wait)
    q.qemu_del_polling_cb(fork, None)
    fork = Forking(main_loop)
    os.write(pipe[1], b"x")
    q.qemu_add_wait_object(
        pipe[0], lambda _: (q.qemu_del_wait_object(pipe[0], None, None), fork()), None)
    fork.check(main_loop.wait)


@pytest.mark.parametrize("which", ["own", "main"])
def test_a_fork_in_a_signal_handler_while_the_loop_sleeps(which):
    """Row fork: a handler of signal.signal(), which runs inside wait()."""
    with q.MainLoop() as own:
        loop = own if which == "own" else q.main_loop()
        fork = Forking(loop)
        old = signal.signal(signal.SIGALRM, fork)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            fork.check(lambda: loop.run_until(lambda: fork.pids, timeout=10))
        finally:
            signal.signal(signal.SIGALRM, old)


@pytest.mark.parametrize("which", ["own", "main"])
def test_a_fork_in_a_timer_that_a_step_runs(virtual, base, which):
    """Row fork: the step of the virtual clock ends there in the child."""
    with q.MainLoop() as own:
        loop = own if which == "own" else q.main_loop()
        fork, ran = Forking(loop), []
        first = loop.timer_new(fork, q.Clock.VIRTUAL)
        second = loop.timer_new(lambda: ran.append(virtual() - base), q.Clock.VIRTUAL)
        first.mod_ns(base + 1)
        second.mod_ns(base + 2)
        q.clock_set(base + 5)
        if fork.pids == [0]:
            report(fork.writing, lambda: (list(ran), virtual() - base, q.clock_set(base + 5) - base,
                                          ran, q.qemu_mutex_iothread_locked()))
        os.close(fork.writing)
        assert answer_of(fork.reading, fork.pids[0]) == ([], 1, 5, [2], False)
        assert ran == [2]
        loop.wait(True)


def test_a_fork_in_a_predicate(loop):
    """Row fork: run_until() goes on in both."""
    fork = Forking(loop)
    assert loop.run_until(lambda: fork() or fork.pids, timeout=10)
    if fork.pids == [0]:
        report(fork.writing, lambda: (loop.wait(True), fork.ran))
    os.close(fork.writing)
    assert answer_of(fork.reading, fork.pids[0]) == (0, ["late"])
    loop.wait(True)
    assert fork.ran == ["late"]
