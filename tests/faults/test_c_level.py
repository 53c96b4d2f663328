"""What a C caller gets when there is no memory, no descriptor or no thread left."""

import errno
import os

import pytest

pytestmark = pytest.mark.timeout(320)

EMFILE, ENOMEM, EPERM = errno.EMFILE, errno.ENOMEM, errno.EPERM


def context(f):
    """Each call of aio.pxd with allocation 1, 2, … failing: its error, then success."""
    import probe_faults

    f.watch("probe_faults")
    before = f.resources()
    expected = {
        "new": "NULL", "bh_new": "NULL", "timer_new": "NULL", "iothread": "NULL",
        "set_fd_handler": -ENOMEM, "oneshot": -ENOMEM, "child": -ENOMEM, "poll": -ENOMEM,
        "fileno": -ENOMEM}
    met = set()
    for n in range(1, 100):
        c = probe_faults.Context()
        reader, writer = os.pipe2(os.O_CLOEXEC)
        pid = os.posix_spawn("/bin/true", ["true"], {})
        os.write(writer, b"x")
        f.arm("allocate", ENOMEM, n, 1)
        for name, arguments in (
                ("new", ()), ("bh_new", ()), ("timer_new", ()), ("set_fd_handler", (reader,)),
                ("oneshot", ()), ("child", (pid,)), ("poll", ()), ("iothread", ()),
                ("fileno", ())):
            result = getattr(c, name)(*arguments)
            if result != 0:
                assert result == expected[name], (n, name, result)
                met.add(name)
                assert getattr(c, name)(*arguments) == 0, (n, name)     # a retry succeeds
        failed = f.off()
        os.write(writer, b"y")
        assert c.ran() >= 2                           # the bottom half and the timer at least
        c.set_fd_handler(reader, False)
        c.close()
        try:
            os.waitpid(pid, 0)
        except ChildProcessError:
            pass                                      # the watch has collected it
        os.close(reader)
        os.close(writer)
        assert f.resources() == before, n
        if not failed:
            break
    return sorted(met)


def test_no_memory_for_a_context(child):
    met = child(context)
    assert {"new", "bh_new", "timer_new", "set_fd_handler", "oneshot", "child",
            "iothread"} <= set(met)


def init(f, call, error, expected):
    """qemu_init_main_loop() with call n failing, in a process of its own each time."""
    import probe_faults

    for n in range(1, 50):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                f.arm(call, error, n, 1)
                rc, held = probe_faults.init()
                failed = f.off()
                if not failed:
                    status = 77 if (rc, held) == (0, True) else 2
                elif rc == 0:
                    status = 0 if held and expected != "refused" else 3
                elif (rc, held) != (-error, False):
                    status = 4
                elif probe_faults.init() != (0, True) or probe_faults.main_wait() != 0:
                    status = 5                        # a retry succeeds, and takes the lock
                else:
                    status = 0 if expected != "served" else 6
            finally:
                os._exit(status)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status == 77:
            return n - 1
        assert status == 0, (call, n, status)
    raise AssertionError("no end")


@pytest.mark.parametrize("call, error, expected", [
    ("eventfd", EMFILE, "refused"), ("signalfd", EMFILE, "refused"),
    ("signalfd", ENOMEM, "refused"), ("signalfd", errno.ENOSYS, "served"),
    ("signalfd", EPERM, "served"), ("epoll_create1", EMFILE, "served"),
    ("allocate", ENOMEM, "either")])
def test_initialising_the_main_loop(child, call, error, expected):
    assert child(init, call=call, error=error, expected=expected) >= 1


def on_the_main_loop(f):
    import probe_faults

    assert probe_faults.init() == (0, True)
    reader, writer = os.pipe2(os.O_CLOEXEC)
    for register, arguments in ((probe_faults.main_polling, ()),
                                (probe_faults.main_wait_object, (reader,)),
                                (probe_faults.main_fd_handler, (reader,))):
        f.arm("allocate", ENOMEM, 1, 1)
        assert register(*arguments, True) == -ENOMEM
        assert f.off() == 1
        assert register(*arguments, True) == 0
        assert probe_faults.main_wait() == 0
        register(*arguments, False)


def test_no_memory_for_a_registration(child):
    child(on_the_main_loop)


def timers(f, clock):
    import probe_faults

    timers = probe_faults.Timers(clock)
    f.arm("allocate", ENOMEM)
    ran = timers.everything()
    failed = f.off()
    timers.close()
    return ran, failed


@pytest.mark.parametrize("clock", [0, 1, 2])
def test_no_call_after_timer_new_needs_memory(child, clock):
    ran, failed = child(timers, clock=clock)
    assert ran == 1000
    # A watch on the wall clock is wished for; without it the loop looks every second.
    assert failed == 0 if clock != 2 else failed >= 1


def bottom_halves(f):
    """Scheduling and notifying allocate nothing."""
    import child

    import qemu_mainloop as q

    with q.MainLoop() as loop:
        bystander = child.Bystander(loop)
        f.arm("allocate", ENOMEM)
        assert bystander.works()
        bystander.bh.schedule_idle()
        bystander.bh.cancel()
        loop.notify()
        loop.wait()
        loop.set_fd_handler(bystander.reader)
        loop.stop()
        loop.run()
        assert f.off() == 0
        bystander.close()


def test_a_running_loop_allocates_nothing(child):
    child(bottom_halves)


def at_import(f):
    import subprocess
    import sys

    # In a fresh interpreter, whose first import meets the failure.
    code = """
import ctypes, errno, sys
import importlib.util, os
lib = ctypes.PyDLL(sys.argv[1])
lib.faults_arm.argtypes = [ctypes.c_char_p, ctypes.c_int, ctypes.c_long, ctypes.c_long]
lib.faults_watch_all()
lib.faults_arm(b"pthread_atfork", errno.ENOMEM, 1, 1)
try:
    import qemu_mainloop
except MemoryError as e:
    print(e)
assert lib.faults_off() == 1
"""
    done = subprocess.run([sys.executable, "-c", code, sys.argv[1]], text=True,
                          capture_output=True, env={**os.environ, "LD_PRELOAD": sys.argv[1]})
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_no_memory_for_the_fork_handlers(child):
    assert child(at_import) == "pthread_atfork\n"


def hosted_in_a_child(f, fdmon):
    """The child cannot make its kernel objects: calls fail or wait, and nothing crashes."""
    import qemu_mainloop as q

    with q.MainLoop(fdmon=fdmon) as loop:
        loop.fileno()
        loop.wait(True)
        reader, writer = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            status = 99
            try:
                f.arm("eventfd", EMFILE)
                with pytest.raises(OSError):
                    loop.wait(True)
                got = []
                loop.set_fd_handler(reader, lambda: got.append(os.read(reader, 1)))
                loop.set_fd_handler(writer, None, lambda: None)
                loop.set_fd_handler(writer)
                with pytest.raises(OSError):
                    loop.fileno()
                f.off()
                os.write(writer, b"x")
                loop.run_until(lambda: got, timeout=30)
                loop.fileno()
                status = 0 if got == [b"x"] and loop.info()["hosted"] else 98
            finally:
                os._exit(status)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.parametrize("fdmon", ["epoll", "poll"])
def test_a_forked_child_without_descriptors(child, fdmon):
    assert child(hosted_in_a_child, fdmon=fdmon) == 0


def an_iothread_that_cannot_wait(f):
    """Its iterations fail one after the other: it tries again, without a spin, and goes on."""
    import time

    import qemu_mainloop as q

    with q.IOThread("waiting") as io:
        ran = []
        bh = io.loop.bh_new(lambda: ran.append(1))
        for call in ("poll", "ppoll", "epoll_wait", "epoll_pwait2"):
            f.arm(call, ENOMEM)
        bh.schedule()                                 # wakes it, to a wait that fails
        before = io.loop.info()["iterations"]
        end = time.monotonic() + 30
        while io.loop.info()["iterations"] < before + 5:
            assert time.monotonic() < end
        f.off()
        while not ran:
            assert time.monotonic() < end
        return ran


def test_an_iothread_that_cannot_wait_tries_again(child):
    assert child(an_iothread_that_cannot_wait) == [1]


def a_barrier(f):
    """aio_wait_bh_oneshot() without memory for itself, and for its bottom half."""
    import ctypes

    import qemu_mainloop as q
    from qemu_mainloop import aio

    name_of, pointer_of = ctypes.pythonapi.PyCapsule_GetName, ctypes.pythonapi.PyCapsule_GetPointer
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.py_object]
    pointer_of.restype, pointer_of.argtypes = ctypes.c_void_p, [ctypes.py_object, ctypes.c_char_p]

    def function(name, *types):
        capsule = aio.__pyx_capi__[name]
        return ctypes.CFUNCTYPE(*types)(pointer_of(capsule, name_of(capsule)))

    callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    barrier = function("aio_wait_bh_oneshot", ctypes.c_int, ctypes.c_void_p, callback,
                       ctypes.c_void_p)
    q.main_loop()
    context = function("qemu_get_aio_context", ctypes.c_void_p)()
    nothing = callback(lambda opaque: None)
    before = f.resources()
    results = []
    for n in (1, 2):
        f.arm("allocate", ENOMEM, n, 1)
        results.append(barrier(context, nothing, None))
        assert f.off() == 1
        assert f.resources() == before
    return results


def test_no_memory_for_a_barrier(child):
    assert child(a_barrier) == [-ENOMEM, -ENOMEM]
