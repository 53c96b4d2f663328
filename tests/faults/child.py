"""Runs one scenario in a process of its own that has shim.c preloaded.

    python child.py SHIM PROBES FILE FUNCTION ARGUMENTS

calls ``FUNCTION(faults, **ARGUMENTS)`` of the Python file.  ``faults`` switches failures on
and off, and knows the sweep: run a scenario, fail call n, look whether all is as it was,
increase n until the scenario needs no further call.
"""

import contextlib
import ctypes
import errno
import faulthandler
import gc
import importlib.util
import json
import os
import sys
import threading
import time

import qemu_mainloop as q

ALLOCATE = "allocate"
DUMP_AFTER_S = 280
FOR_EVER = -1
NEVER = 1 << 40
MOST = 500               # calls of one name in a scenario; more is a scenario that spins


def tasks():
    return len(os.listdir("/proc/self/task"))


class Bystander:
    """A loop with one of everything, which has to work before, during and after."""

    def __init__(self, loop):
        self.loop = loop
        self.seen = []
        self.reader, self.writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        loop.set_fd_handler(self.reader, self.read)
        self.bh = loop.bh_new(lambda: self.seen.append("bottom half"))
        self.timer = loop.timer_new(lambda: self.seen.append("timer"))
        assert self.works()

    def read(self):
        self.seen.append(os.read(self.reader, 1).decode())

    def works(self):
        self.seen.clear()
        os.write(self.writer, b"x")
        self.bh.schedule()
        self.timer.mod_ns(0)
        self.loop.run_until(lambda: len(self.seen) == 3, timeout=30)
        return sorted(self.seen) == ["bottom half", "timer", "x"]

    def close(self):
        self.loop.set_fd_handler(self.reader)
        os.close(self.reader)
        os.close(self.writer)


class Stage:
    """What one run of a scenario has: a loop, and things that go when it is over."""

    def __init__(self, loop, fdmon):
        self.loop = loop
        self.fdmon = fdmon
        self.stack = contextlib.ExitStack()

    def pipe(self, data=b""):
        ends = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        for fd in ends:
            self.at_end(os.close, fd)
        if data:
            os.write(ends[1], data)
        return ends

    def at_end(self, function, *arguments):
        self.stack.callback(function, *arguments)

    def until(self, predicate):
        assert self.loop.run_until(predicate, timeout=30), "nothing came in 30 seconds"


class Faults:
    """The shim's switches."""

    def __init__(self, shim):
        self.lib = ctypes.PyDLL(shim)
        self.lib.faults_watch.argtypes = self.lib.faults_seen.argtypes = [ctypes.c_char_p]
        self.lib.faults_seen.restype = ctypes.c_long
        self.lib.faults_number.argtypes = [ctypes.c_char_p]
        self.lib.faults_off.restype = self.lib.faults_live.restype = ctypes.c_long
        self.lib.faults_number.restype = self.lib.faults_python_off.restype = ctypes.c_long
        self.lib.faults_arm.argtypes = [
            ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_long]
        self.lib.faults_python_arm.argtypes = [ctypes.c_long, ctypes.c_long]
        assert self.lib.faults_watch(b"/qemu_mainloop/") >= 20
        self.points = 0
        self.hidden_threads = tasks() - threading.active_count()       # faulthandler's

    def watch(self, part):
        """More modules whose calls count."""
        self.lib.faults_watch(part.encode())

    def arm(self, call, error, first=1, times=FOR_EVER):
        """The first-th call fails, and times - 1 after it."""
        assert self.lib.faults_arm(call.encode(), error, first, times) == 0, call

    def off(self):
        """Disarms all; how many calls failed."""
        failed = self.lib.faults_off()
        self.points += failed
        return failed

    @contextlib.contextmanager
    def failing(self, call, error, first=1, times=FOR_EVER):
        self.arm(call, error, first, times)
        try:
            yield
        finally:
            self.off()

    def sandbox(self, error, *calls):
        """From here on the kernel itself refuses them."""
        numbers = [n for n in map(self.lib.faults_number, (c.encode() for c in calls)) if n >= 0]
        assert numbers
        rc = self.lib.faults_sandbox(error, (ctypes.c_long * len(numbers))(*numbers), len(numbers))
        assert rc == 0, os.strerror(-rc)

    # ---- what must not leak

    def resources(self):
        """Open descriptors and live allocations of our modules; threads have ended."""
        gc.collect()
        deadline = time.monotonic() + 30
        while tasks() > threading.active_count() + self.hidden_threads:
            # A thread that was joined may be about to go.
            assert time.monotonic() < deadline, f"{tasks()} threads"
        listing = os.open("/proc/self/fd", os.O_RDONLY | os.O_DIRECTORY)
        try:
            fds = sorted(set(os.listdir(listing)) - {str(listing)})
        finally:
            os.close(listing)
        return fds, self.lib.faults_live()

    # ---- the sweep

    def calls_of(self, act, fdmon, names):
        """Those of the names that the act makes at all."""
        self.once(act, fdmon)                         # caches fill
        for name in names:
            self.arm(name, errno.EPERM, NEVER)
        with q.MainLoop(fdmon=fdmon) as loop:
            stage = Stage(loop, fdmon)
            with stage.stack:
                act(stage)
                made = [name for name in names if self.lib.faults_seen(name.encode())]
        self.off()
        return made

    def sweep(self, act, call, error, expected, fdmon, times=1):
        """Fails call 1, 2, … of ``act(stage)`` until none is left; how many there were.

        expected: "served" (the act succeeds all the same), "refused" (it raises OSError
        with this error, or MemoryError), or "either".
        """
        expected = {"either": ("served", "refused")}.get(expected, (expected,))
        before = self.resources()
        for n in range(1, MOST):
            failed, outcome = self.once(act, fdmon, call, error, n, times)
            after = self.resources()
            where = f"{act.__name__}, {fdmon}: {call} {n} fails with {errno.errorcode[error]}"
            assert after == before, f"{where}: {before} became {after}"
            if not failed:
                assert outcome == "served", f"{where}: {outcome} without a failure"
                return n - 1
            assert outcome in expected, f"{where}: {outcome}"
        raise AssertionError(f"{where}: there is no end")

    def once(self, act, fdmon, call=None, error=0, n=1, times=1):
        """One run beside a bystander, and a second one without failures."""
        with q.MainLoop(fdmon=fdmon) as loop:
            bystander = Bystander(loop)
            failed, outcome = self.attempt(act, Stage(loop, fdmon), call, error, n, times)
            where = f"{act.__name__}, {fdmon}: after {call} {n} failed with {error}"
            assert bystander.works(), f"{where} the bystander does not work"
            stage = Stage(loop, fdmon)
            with stage.stack:
                act(stage)                            # a retry succeeds
            assert bystander.works(), f"{where} and a retry the bystander does not work"
            bystander.close()
        return failed, outcome

    def attempt(self, act, stage, call, error, n, times):
        outcome = "served"
        with stage.stack:
            if call is not None:
                self.arm(call, error, n, times)
            try:
                act(stage)
            except MemoryError:
                outcome = "refused" if error == errno.ENOMEM else "MemoryError"
            except OSError as e:
                outcome = "refused" if e.errno == error else f"{e!r}"
            finally:
                failed = self.off()
        return failed, outcome


def load(path):
    spec = importlib.util.spec_from_file_location("scenarios", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main():
    shim, probes, path, function, arguments = sys.argv[1:]
    faulthandler.enable()
    faulthandler.dump_traceback_later(DUMP_AFTER_S, exit=True)
    sys.path.insert(0, probes)
    os.environ.pop("LD_PRELOAD", None)                # for grandchildren
    faults = Faults(shim)
    result = getattr(load(path), function)(faults, **json.loads(arguments))
    print(json.dumps({"result": result, "points": faults.points}))


if __name__ == "__main__":
    main()
