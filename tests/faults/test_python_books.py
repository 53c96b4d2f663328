"""Python's allocations fail in one registration: the loop's books and the core agree.

The books are the dicts, sets and lists that keep what is registered.  They grow at some
size, so that each registration is tried beside 0, 1, 2, … others.
"""

import fcntl
import functools
import gc
import os
import signal
import threading

import pytest

pytestmark = pytest.mark.timeout(320)

MOST = 3000
OTHERS = range(14)              # a dict and a set have grown twice, a list three times
HIGH = 400                      # from here on an integer is not one that Python keeps


def note(got, i):
    def noted(*_):
        got.append(i)
    return noted


class Books:
    """Something to register: number i calls note(got, i)."""

    def __init__(self):
        self.got = []

    def register(self, loop, i):
        raise NotImplementedError

    def check(self, loop, number):
        """The first ones are registered, and nothing else."""
        raise NotImplementedError

    def close(self):
        pass


class Descriptors(Books):
    def __init__(self):
        super().__init__()
        self.pipe = os.pipe2(os.O_CLOEXEC)
        os.write(self.pipe[1], b"x")
        self.fds = [fcntl.fcntl(self.pipe[0], fcntl.F_DUPFD_CLOEXEC, HIGH) for _ in range(15)]
        self.notes = [note(self.got, i) for i in range(15)]

    def register(self, loop, i):
        loop.set_fd_handler(self.fds[i], self.notes[i])

    def replace(self, loop, i):
        loop.set_fd_handler(self.fds[i], self.notes[-1])

    def remove(self, loop, i):
        loop.set_fd_handler(self.fds[i])

    def check(self, loop, number):
        self.check_calls(loop, list(range(number)))

    def check_calls(self, loop, calls):
        self.got.clear()
        assert loop.wait(True) == len(calls), "a handler that nobody can reach"
        assert sorted(self.got) == calls
        assert loop.info()["handlers"] == len(calls)

    def close(self):
        for fd in [*self.pipe, *self.fds]:
            os.close(fd)


class WaitObjects(Descriptors):
    def register(self, loop, i):
        loop._add_wait_object(self.fds[i], self.notes[i])

    def remove(self, loop, i):
        loop._remove_wait_object(self.fds[i])


class PollingCallbacks(Books):
    def __init__(self):
        super().__init__()
        self.numbers = list(range(15))

    def register(self, loop, i):
        loop._add_polling_callback(self.got.append, self.numbers[i])

    def check(self, loop, number):
        assert loop.info()["polling_callbacks"] == number
        self.got.clear()
        loop.wait(True)
        assert sorted(set(self.got)) == self.numbers[:number]


class ChildWatches(Books):
    def __init__(self):
        super().__init__()
        self.pipe = os.pipe2(os.O_CLOEXEC)
        files = [(os.POSIX_SPAWN_DUP2, self.pipe[0], 0)]
        self.pids = [os.posix_spawn("/bin/cat", ["cat"], {}, file_actions=files)
                     for _ in range(15)]

    def register(self, loop, i):
        loop.add_child_watch(self.pids[i])

    def check(self, loop, number):
        assert loop.info()["child_watches"] == number

    def close(self):
        for fd in self.pipe:
            os.close(fd)
        for pid in self.pids:
            os.waitpid(pid, 0)


class Signals(Books):
    """One that is not trapped is Python's, as it was before."""

    def __init__(self):
        super().__init__()
        self.signals = [signal.SIGRTMIN + i for i in range(15)]
        self.notes = [note(self.got, i) for i in range(15)]
        self.python = []
        for signo in self.signals:
            signal.signal(signo, lambda signo, frame: self.python.append(signo))

    def register(self, loop, i):
        loop.add_signal_handler(self.signals[i], self.notes[i])

    def check(self, loop, number):
        self.got.clear()
        self.python.clear()
        for signo in self.signals:
            os.kill(os.getpid(), signo)
        loop.wait(True)
        assert sorted(self.got) == list(range(number))
        assert sorted(self.python) == self.signals[number:]


KINDS = [Descriptors, WaitObjects, PollingCallbacks, ChildWatches, Signals]


def python_memory(f):
    import probe_faults

    f.lib.faults_python_install()
    return probe_faults.python_switches(f.lib._handle)


def points(f, attempt):
    """attempt(n) for each n, until no allocation fails any more."""
    for n in range(1, MOST):
        outcome, failed = attempt(n)
        assert outcome is None or issubclass(outcome, MemoryError), f"{n}: {outcome}"
        f.points += failed
        if not failed:
            return n - 1
    raise AssertionError("no end")


def registering(f, name):
    import qemu_mainloop as q

    arm = python_memory(f)
    things = globals()[name]()
    register = things.register

    def attempt(others, n):
        with q.MainLoop() as loop:
            for i in range(others):
                register(loop, i)
            outcome, failed = arm(n, register, (loop, others))
            if outcome is not None:
                things.check(loop, others)
                register(loop, others)
            things.check(loop, others + 1)
        return outcome, failed

    for others in OTHERS:
        assert points(f, functools.partial(attempt, others)) > 0
    things.close()
    return f.points


@pytest.mark.parametrize("kind", [kind.__name__ for kind in KINDS])
def test_a_registration(child, kind):
    assert child(registering, name=kind) >= len(OTHERS)


def changing(f, name, change):
    """Replacing or removing that finds no memory leaves what there was."""
    import qemu_mainloop as q

    arm = python_memory(f)
    things = globals()[name]()
    register, act = things.register, getattr(things, change)

    def attempt(n):
        with q.MainLoop() as loop:
            for i in range(3):
                register(loop, i)
            outcome, failed = arm(n, act, (loop, 1))
            if outcome is not None:
                things.check(loop, 3)
                act(loop, 1)
            things.check_calls(loop, [0, 2, 14] if change == "replace" else [0, 2])
        return outcome, failed

    return points(f, attempt)


@pytest.mark.parametrize("name,change", [
    ("Descriptors", "replace"), ("Descriptors", "remove"), ("WaitObjects", "remove")])
def test_a_change(child, name, change):
    assert child(changing, name=name, change=change) > 0


def refused(f):
    """The core refuses, and then there is no memory for the exception either."""
    import qemu_mainloop as q

    arm = python_memory(f)
    with q.MainLoop() as loop:

        def act():
            try:
                loop.set_fd_handler(1023, act)
            except OSError:
                pass

        def attempt(n):
            outcome = arm(n, act, ())
            gc.collect()
            cells = sum(type(thing).__name__ == "Cell" for thing in gc.get_objects())
            assert cells == 0, f"{n}: {cells} left over"
            return outcome

        return points(f, attempt)


def test_a_refusal(child):
    assert child(refused) > 0


def closing(f):
    """close() that finds no memory has done nothing, or enough for a second call."""
    import qemu_mainloop as q

    arm = python_memory(f)
    pipe = os.pipe2(os.O_CLOEXEC)

    def attempt(n):
        loop = q.MainLoop()
        timer = loop.timer_new(gc.collect)
        timer.mod(1 << 40)
        loop.set_fd_handler(pipe[0], gc.collect)
        loop._add_polling_callback(bool, 0)
        loop.add_signal_handler(signal.SIGUSR2, gc.collect)
        outcome, failed = arm(n, loop.close, ())
        if outcome is not None:
            assert not loop.closed
            loop.wait(True)
            loop.close()
        assert loop.closed
        assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL
        return outcome, failed

    return points(f, attempt)


def test_closing(child):
    child(closing)


def what_a_callback_raised(f):
    """wait() raises it though its first allocation fails, the float of the switch interval.

    Later ones are those of the traceback, where Python may put its own exception.
    """
    import qemu_mainloop as q

    arm = python_memory(f)
    taken = [i / 7 for i in range(1000)]          # Python keeps some to use again
    results = []

    def fail():
        raise ValueError

    def attempt():
        with q.MainLoop() as loop:
            bh = loop.bh_new(fail)
            bh.schedule()
            outcome, failed = arm(1, loop.wait, (True,))
            assert failed == 1 and len(taken) == 1000
            f.points += failed
        results.append(outcome in (ValueError, MemoryError))

    attempt()
    thread = threading.Thread(target=attempt)
    thread.start()
    thread.join()
    return results


def test_what_a_callback_raised(child):
    assert child(what_a_callback_raised) == [True, True]
