"""Python's own allocations fail, one after the other, in everything that the API does.

Either the call succeeds all the same, or it raises MemoryError and nothing was done: the
loop works, the same call succeeds the next time, and nothing is left over.
"""

import errno
import os
import signal

import pytest

pytestmark = pytest.mark.timeout(320)

MOST = 3000


def a_loop(q, loop, s):
    q.MainLoop().close()


def a_named_loop(q, loop, s):
    with q.MainLoop(fdmon="poll"):
        pass


def a_bottom_half(q, loop, s):
    bh = loop.bh_new(s.note)
    bh.schedule()
    loop.wait(True)
    bh.schedule_idle()
    bh.cancel()
    bh.delete()


def a_timer(q, loop, s):
    timer = loop.timer_new(s.note)
    timer.mod_ns(0)
    loop.wait(True)
    timer.mod(10**12)
    timer.delete()


def fd_handlers(q, loop, s):
    loop.set_fd_handler(s.reader, s.note)
    loop.set_fd_handler(s.reader, s.note, can_read=s.no)
    loop.wait(True)
    loop.set_fd_handler(s.reader)


def an_object_with_fileno(q, loop, s):
    loop.set_fd_handler(s, s.note)
    loop.set_fd_handler(s)


def many_fd_handlers(q, loop, s):
    for fd in s.many:
        loop.set_fd_handler(fd, s.note)
    for fd in s.many:
        loop.set_fd_handler(fd)


def a_wait_object(q, loop, s):
    loop._add_wait_object(s.reader, s.note)
    loop.wait(True)
    loop._remove_wait_object(s.reader)


def a_polling_callback(q, loop, s):
    loop._add_polling_callback(s.no, None)
    loop.wait(True)
    loop._remove_polling_callback(s.no, None)


def a_signal_handler(q, loop, s):
    loop.add_signal_handler(signal.SIGUSR2, s.note)
    loop.add_signal_handler(signal.SIGUSR2, s.note)
    loop.remove_signal_handler(signal.SIGUSR2)


def a_callback_that_raises(q, loop, s):
    bh = loop.bh_new(s.fail)
    bh.schedule()
    try:
        loop.wait(True)
    except (ValueError, SystemError):
        # SystemError: without memory for a traceback CPython 3.11 loses what was raised.
        pass


def waiting(q, loop, s):
    loop.notify()
    loop.wait()
    loop.run_until(s.yes, timeout=1)
    loop.stop()
    loop.run()
    loop.info()


def the_virtual_clock(q, loop, s):
    timer = loop.timer_new(s.note, clock=q.Clock.VIRTUAL)
    timer.mod_ns(0)
    q.clock_step(1)
    timer.delete()


def an_iothread(q, loop, s):
    s.thread = q.IOThread("t")
    s.thread.stop()


ALL = [a_loop, a_named_loop, a_bottom_half, a_timer, fd_handlers, an_object_with_fileno,
       many_fd_handlers, a_wait_object, a_polling_callback, a_signal_handler,
       a_callback_that_raises, waiting, the_virtual_clock, an_iothread]


class Things:
    """What the acts need, made beforehand."""

    def __init__(self):
        self.reader, self.writer = os.pipe2(os.O_CLOEXEC)
        os.write(self.writer, b"x")
        self.thread = None
        self.many = [os.dup(self.reader) for _ in range(20)]

    def fileno(self):
        return self.reader

    def note(self):
        pass

    def no(self, opaque=None):
        return False

    def yes(self):
        return True

    def fail(self):
        raise ValueError

    def close(self):
        for fd in [self.reader, self.writer, *self.many]:
            os.close(fd)


def take_back(loop, s):
    """What an act that failed had done before; each of these may find nothing to do."""
    for fd in [s.reader, *s.many]:
        loop._remove_wait_object(fd)
    for fd in [s.reader, *s.many]:
        loop.set_fd_handler(fd)
    loop._remove_polling_callback(s.no, None)
    loop.remove_signal_handler(signal.SIGUSR2)
    if s.thread is not None:
        s.thread.stop()
        s.thread = None


def sweep(f, name):
    import sys

    import child
    import probe_faults

    import qemu_mainloop as q

    act = globals()[name]
    f.lib.faults_python_install()
    arm = probe_faults.python_switches(f.lib._handle)
    lost = []
    sys.unraisablehook = lambda unraisable: lost.append(1)
    before = None
    for n in range(-2, MOST):
        with q.MainLoop() as loop:
            bystander = child.Bystander(loop)
            s = Things()
            counted = loop.info()
            outcome, failed = arm(max(n, 0), act, (q, loop, s))
            assert outcome is None or issubclass(outcome, MemoryError), f"{name} {n}: {outcome}"
            take_back(loop, s)
            assert bystander.works(), f"{name} {n}: the bystander does not work"
            same = ("handlers", "polling_callbacks", "child_watches")
            now = loop.info()
            assert all(now[key] == counted[key] for key in same), f"{name} {n}: {now}"
            outcome, _ = arm(0, act, (q, loop, s))
            assert outcome is None, f"{name} {n}: a retry gives {outcome}"
            take_back(loop, s)
            bystander.close()
            s.close()
            del s, bystander
        f.points += failed
        if n <= 0:
            before = f.resources()
        else:
            assert f.resources() == before, f"{name} {n}: {before} became {f.resources()}"
            if not failed:
                return n - 1
    raise AssertionError(f"{name}: no end")


@pytest.mark.slow
@pytest.mark.parametrize("act", [act.__name__ for act in ALL])
def test_out_of_memory(child, act):
    assert child(sweep, name=act) >= 1


def a_child_watch(f):
    """The same for a child watch; a retry must not find it watched already."""
    import probe_faults

    import qemu_mainloop as q

    f.lib.faults_python_install()
    arm = probe_faults.python_switches(f.lib._handle)
    for n in range(1, MOST):
        pid = os.posix_spawn("/bin/true", ["true"], {})
        got = []

        def note(pid, code, got=got):
            got.append(code)

        with q.MainLoop() as loop:
            outcome, failed = arm(n, loop.add_child_watch, (pid, note))
            f.points += failed
            assert outcome is None or issubclass(outcome, MemoryError)
            if outcome is not None:
                assert loop.info()["child_watches"] == 0
                loop.add_child_watch(pid, note)
            loop.run_until(lambda got=got: got, timeout=30)
            assert got == [0], n
        if not failed:
            return n - 1
    raise AssertionError("no end")


def test_out_of_memory_for_a_child_watch(child):
    assert child(a_child_watch) >= 1


def closing_the_main_loop(f):
    """close() that finds no memory is called again, and nothing stays registered."""
    import probe_faults

    import qemu_mainloop as q

    f.lib.faults_python_install()
    arm = probe_faults.python_switches(f.lib._handle)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    os.write(writer, b"x")
    calls = []
    for n in range(1, MOST):
        loop = q.main_loop()
        loop.set_fd_handler(reader, lambda: calls.append(1))
        loop._add_polling_callback(calls.append, 2)
        bh = loop.bh_new(lambda: calls.append(3))
        bh.schedule()
        outcome, failed = arm(n, loop.close, ())
        f.points += failed
        if outcome is not None:
            assert issubclass(outcome, MemoryError)
        loop.close()
        calls.clear()
        info = q.main_loop().info()
        assert (info["handlers"], info["polling_callbacks"]) == (0, 0), (n, outcome, info)
        q.main_loop().wait(True)
        assert not calls, (n, calls)
        if not failed:
            return n - 1
    raise AssertionError("no end")


def test_out_of_memory_for_closing_the_main_loop(child):
    child(closing_the_main_loop)


def refused(f):
    """What refuses a registration leaves the one before in force."""
    import qemu_mainloop as q

    with q.MainLoop() as loop:
        reader, writer = os.pipe2(os.O_CLOEXEC)
        os.write(writer, b"x")
        got = []
        loop.set_fd_handler(reader, lambda: got.append("first"))
        with pytest.raises(OSError) as caught:
            with f.failing("allocate", errno.ENOMEM):
                loop.set_fd_handler(reader, lambda: got.append("second"))
        assert caught.value.errno == errno.ENOMEM
        loop.wait(True)
        assert got == ["first"]
        loop.add_signal_handler(signal.SIGUSR2, lambda: got.append("signal"))
        with pytest.raises(ValueError):
            with f.failing("sigaction", errno.EPERM, times=1):
                loop.add_signal_handler(signal.SIGUSR2, lambda: got.append("other"))
        loop.set_fd_handler(reader)
        os.kill(os.getpid(), signal.SIGUSR2)
        loop.run_until(lambda: len(got) == 2, timeout=30)
        return got


def test_a_refused_registration_leaves_the_one_before(child):
    assert child(refused) == ["first", "signal"]
