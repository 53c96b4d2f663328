"""Child watches: who is reaped, when, and with which status."""

import os
import signal
import subprocess
import sys

import pytest

import qemu_mainloop as q


class Child:
    """A process that exits with a status once it is told to."""

    def __init__(self, status):
        reading, self.telling = os.pipe()
        script = f"read line; exit {status}"
        actions = [(os.POSIX_SPAWN_DUP2, reading, 0), (os.POSIX_SPAWN_CLOSE, self.telling)]
        self.pid = os.posix_spawn("/bin/sh", ["sh", "-c", script], os.environ, file_actions=actions)
        os.close(reading)

    def tell(self):
        """Let it exit."""
        os.write(self.telling, b"\n")

    def end(self):
        """Let it exit, and return when it has, unreaped."""
        self.tell()
        os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)

    def clear_away(self):
        os.close(self.telling)
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ChildProcessError, ProcessLookupError):
            pass


class WindowsChild:
    """The same; its status stays for whoever has a handle of it."""

    def __init__(self, status):
        self.process = subprocess.Popen(["cmd", "/c", f"set /p line=& exit {status}"],
                                        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
        self.pid = self.process.pid

    def tell(self):
        self.process.stdin.close()

    def end(self):
        self.tell()
        self.process.wait()

    def clear_away(self):
        self.process.stdin.close()
        self.process.wait()


@pytest.fixture
def child():
    """Makes children; what is left of them goes after the test."""
    made = []

    def make(status=0):
        made.append(WindowsChild(status) if sys.platform == "win32" else Child(status))
        return made[-1]

    yield make
    for one in made:
        one.clear_away()


def test_the_callback_gets_pid_and_exit_status(loop, child, calls):
    """Section 3: callback(pid, returncode), returncode as subprocess gives it."""
    c = child(status=7)
    loop.add_child_watch(c.pid, lambda *args: calls.append(args))
    c.tell()
    assert loop.run_until(lambda: calls, timeout=10)
    assert calls == [(c.pid, 7)]


@pytest.mark.posix_only(reason="no signal ends a process")
def test_a_child_that_a_signal_ended_has_a_negative_status(loop, child, calls):
    """Section 3: as subprocess gives it."""
    c = child()
    loop.add_child_watch(c.pid, lambda pid, code: calls.append(code))
    os.kill(c.pid, signal.SIGTERM)
    assert loop.run_until(lambda: calls, timeout=10)
    assert calls == [-signal.SIGTERM]


def test_a_child_already_gone_is_reaped(loop, child, calls):
    """Row child watch: checks at once; bug E9, exit before watch."""
    c = child(status=3)
    c.end()
    loop.add_child_watch(c.pid, lambda pid, code: calls.append(code))
    assert loop.run_until(lambda: calls, timeout=10)
    assert calls == [3]


def test_the_callback_never_runs_inside_the_call(loop, child, calls):
    """Row child watch: also when the child is gone already."""
    c = child()
    c.end()
    loop.add_child_watch(c.pid, lambda pid, code: calls.append(code))
    assert calls == []


def test_a_child_that_calls_counts_no_descriptor(loop, child, calls):
    """Row main_loop_wait returns: children count 0."""
    c = child()
    c.end()
    loop.add_child_watch(c.pid, lambda pid, code: calls.append(code))
    assert loop.wait() == 0
    assert calls == [0]


@pytest.mark.posix_only(reason="nothing is reaped")
def test_without_a_callback_the_child_is_reaped_all_the_same(loop, child):
    """Section 3: callback=None."""
    c = child()
    loop.add_child_watch(c.pid)
    c.tell()
    assert loop.run_until(lambda: loop.info()["child_watches"] == 0, timeout=10)
    with pytest.raises(ChildProcessError):
        os.waitpid(c.pid, 0)


@pytest.mark.posix_only(reason="a status is there for everybody who has a handle")
def test_a_stolen_status_is_none(loop, child, calls):
    """Row child watch: another part of the program collected it; E9, stolen statuses."""
    c = child(status=5)
    loop.add_child_watch(c.pid, lambda pid, code: calls.append((pid, code)))
    c.tell()
    os.waitpid(c.pid, 0)
    assert loop.run_until(lambda: calls, timeout=10)
    assert calls == [(c.pid, None)]


def test_a_child_is_watched_once(loop, child):
    """Row child watch: twice is a ValueError from Python; the first watch stays."""
    c = child()
    loop.add_child_watch(c.pid)
    with pytest.raises(ValueError, match=f"{c.pid} is watched already"):
        loop.add_child_watch(c.pid)
    assert loop.info()["child_watches"] == 1


@pytest.mark.posix_only(reason="nothing is reaped")
def test_a_child_that_nobody_watches_is_not_reaped(loop, child, calls):
    """Row child watch: never reaps another's child."""
    watched, other = child(), child()
    loop.add_child_watch(watched.pid, lambda pid, code: calls.append(pid))
    other.end()
    watched.end()
    assert loop.run_until(lambda: calls, timeout=10)
    assert os.waitpid(other.pid, os.WNOHANG)[0] == other.pid


@pytest.mark.posix_only(reason="no process is stopped")
def test_a_stopped_child_is_not_reported(loop, child, calls):
    """Row child watch: exits only."""
    c = child()
    loop.add_child_watch(c.pid, lambda pid, code: calls.append(code))
    os.kill(c.pid, signal.SIGSTOP)
    os.waitid(os.P_PID, c.pid, os.WSTOPPED | os.WNOWAIT)
    loop.wait(True)
    assert calls == []
    os.kill(c.pid, signal.SIGCONT)
    c.tell()
    assert loop.run_until(lambda: calls, timeout=10)


def test_many_children_are_each_reported_once(loop, child, calls):
    """Row child watch: fifty at a time."""
    children = [child(status=i) for i in range(50)]
    for c in children:
        loop.add_child_watch(c.pid, lambda *args: calls.append(args))
    for c in children:
        c.tell()
    assert loop.run_until(lambda: len(calls) == 50, timeout=30)
    assert sorted(calls) == sorted((c.pid, i) for i, c in enumerate(children))


def test_a_callback_may_watch_another_child(loop, child, calls):
    """Row child watch, from a callback."""
    first, second = child(), child()
    second.end()
    loop.add_child_watch(
        first.pid, lambda *_: loop.add_child_watch(second.pid, lambda pid, code: calls.append(pid))
    )
    first.end()
    assert loop.run_until(lambda: calls, timeout=10)
    assert calls == [second.pid]


@pytest.mark.posix_only(reason="there are no signal masks")
def test_it_works_with_sigchld_blocked(loop, child, calls):
    """Row child watch: never a SIGCHLD handler; E9, inherited mask."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
    try:
        c = child(status=4)
        loop.add_child_watch(c.pid, lambda pid, code: calls.append(code))
        c.tell()
        assert loop.run_until(lambda: calls, timeout=10)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    assert calls == [4]


def test_an_iothread_reaps_too(child, calls):
    """Row child watch, on a loop that another thread runs."""
    c = child(status=6)
    with q.IOThread() as io, q.MainLoop() as here:
        io.loop.add_child_watch(c.pid, lambda pid, code: (calls.append(code), here.notify()))
        c.tell()
        assert here.run_until(lambda: calls, timeout=10)
    assert calls == [6]


@pytest.mark.posix_only(reason="nothing is reaped")
def test_closing_the_loop_leaves_the_child_to_the_program(child):
    """Section 3, close(): what is registered is forgotten; the child is not reaped."""
    c = child(status=2)
    with q.MainLoop() as loop:
        loop.add_child_watch(c.pid, print)
    c.tell()
    assert os.waitstatus_to_exitcode(os.waitpid(c.pid, 0)[1]) == 2
