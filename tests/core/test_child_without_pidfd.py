"""Child watches where the system has no pidfds: a timer looks every 50 ms."""

import errno
import os
import signal
import subprocess
import sys

import pytest

LOOK_NS = 50_000_000


@pytest.fixture(autouse=True)
def no_pidfds(probe_child):
    probe_child.without_pidfd(True)
    yield
    probe_child.without_pidfd(False)


@pytest.fixture
def watches(probe_child):
    watches = probe_child.Watches()
    yield watches
    watches.close()


@pytest.fixture
def children():
    """start(): the pid of a child that waits to be told to end."""
    pids = []

    def start():
        child = subprocess.Popen(
            [sys.executable, "-S", "-E", "-c", "import signal; signal.pause()"])
        child.returncode = 0                          # Popen shall not collect it
        pids.append(child.pid)
        return child.pid

    yield start
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass


def end(pid, collect=False):
    """The child is gone, and collected or a zombie, when this returns."""
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | (0 if collect else os.WNOWAIT))


@pytest.fixture
def seen():
    return []


@pytest.fixture
def note(seen):
    return lambda pid, status: seen.append((pid, status))


def test_the_timer_looks_every_50_ms_and_reaps(watches, children, probe_child, seen, note):
    pid = children()
    assert watches.watch(pid, note) == 0
    assert watches.count == 1 and watches.sources == 0
    assert watches.looks_at() == 0                    # at once: it may be gone already
    for _ in range(3):
        before = probe_child.now_ns()
        watches.run_until(watches.looks_at())
        after = probe_child.now_ns()
        assert before + LOOK_NS <= watches.looks_at() <= after + LOOK_NS
    assert seen == []
    end(pid)
    watches.run_until(watches.looks_at() - 1)
    assert seen == [] and watches.count == 1
    watches.run_until(watches.looks_at())
    assert seen == [(pid, signal.SIGKILL)]
    assert watches.count == 0 and watches.looks_at() == -1
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_one_that_is_gone_already_is_found_at_once(watches, children, seen, note):
    pid = children()
    end(pid)
    assert watches.watch(pid, note) == 0
    watches.run_until(0)
    assert seen == [(pid, signal.SIGKILL)] and watches.looks_at() == -1


def test_others_are_left_alone(watches, children, seen, note):
    watched, other = children(), children()
    assert watches.watch(watched, note) == 0
    end(other)
    watches.run_until(0)
    assert seen == [] and watches.count == 1
    assert os.waitpid(other, os.WNOHANG)[0] == other


def test_several_in_one_look(watches, children, seen, note):
    pids = [children() for _ in range(3)]
    for pid in pids:
        assert watches.watch(pid, note) == 0
    for pid in pids[::2]:
        end(pid)
    watches.run_until(0)
    assert sorted(seen) == sorted((pid, signal.SIGKILL) for pid in pids[::2])
    assert watches.count == 1 and watches.looks_at() > 0
    end(pids[1])
    watches.run_until(watches.looks_at())
    assert len(seen) == 3 and watches.count == 0


def test_a_callback_watches_another(watches, children, seen, note):
    first, second = children(), children()
    end(first)
    end(second)

    def callback(pid, status):
        note(pid, status)
        assert watches.watch(second, note) == 0

    assert watches.watch(first, callback) == 0
    watches.run_until(0)
    watches.run_until(0)
    assert seen == [(first, signal.SIGKILL), (second, signal.SIGKILL)]


def test_somebody_else_has_collected_it(watches, children, seen, note):
    pid = children()
    assert watches.watch(pid, note) == 0
    end(pid, collect=True)
    watches.run_until(0)
    assert seen == [(pid, -1)] and watches.count == 0


def test_just_collecting(watches, children):
    pid = children()
    assert watches.watch(pid) == 0
    end(pid)
    watches.run_until(0)
    assert watches.count == 0
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def test_what_is_refused(watches, children, note):
    pid = children()
    assert watches.watch(0, note) == -errno.EINVAL
    assert watches.watch(-1, note) == -errno.EINVAL
    assert watches.watch(os.getpid(), note) == -errno.ECHILD
    assert watches.looks_at() is None
    assert watches.watch(pid, note) == 0
    assert watches.watch(pid, note) == 1
    assert watches.count == 1


def test_a_forked_child_drops_its_siblings(watches, children, seen, note):
    older, newer = children(), children()
    assert watches.watch(older, note) == 0
    watches.make_a_parents()
    assert watches.watch(newer, note) == 0
    watches.drop_parents()
    assert seen == [("dropped", None)] and watches.count == 1
    end(newer)
    watches.run_until(0)
    assert seen[1:] == [(newer, signal.SIGKILL)]


def test_the_end_drops_what_was_not_called(probe_child, children, seen, note):
    watches = probe_child.Watches()
    assert watches.watch(children(), note) == 0
    watches.close()
    assert seen == [("dropped", None)]


def test_both_ways_side_by_side(watches, children, probe_child, seen, note):
    """A watch that has a pidfd is not the timer's."""
    with_pidfd, without = children(), children()
    probe_child.without_pidfd(False)
    assert watches.watch(with_pidfd, note) == 0
    if watches.sources == 0:
        pytest.skip("this system has no pidfds")
    assert watches.looks_at() is None
    probe_child.without_pidfd(True)
    assert watches.watch(without, note) == 0
    end(with_pidfd)
    end(without)
    watches.run_until(0)
    assert seen == [(without, signal.SIGKILL)]
    assert watches.count == 1 and watches.looks_at() == -1


def test_a_loop_reaps(loop, children, seen, note):
    pid = children()
    loop.add_child_watch(pid, note)
    loop.wait(False)
    end(pid)
    while not seen:
        loop.wait(True)
    assert len(seen) == 1 and seen[0][0] == pid
    assert loop.info()["child_watches"] == 0


