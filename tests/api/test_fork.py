"""A forked child: its loop works, and the parent notices nothing of it."""

import ast
import fcntl
import os
import select
import signal
import threading
import time

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.posix_only(reason="there is no fork")


def answer_of(reading, pid):
    """What the child with that pid has written, as a Python value; the child is reaped."""
    with open(reading, "rb") as file:
        text = file.read().decode()
    os.waitpid(pid, 0)
    return ast.literal_eval(text)


def report(writing, function):
    """In the child: say what function() gives, and be gone, in 20 seconds at the latest."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(20)
    try:
        os.write(writing, repr(function()).encode())
    except BaseException as error:
        os.write(writing, repr(f"{type(error).__name__}: {error}").encode())
    finally:
        os._exit(0)


def is_open(fd):
    try:
        return fcntl.fcntl(fd, fcntl.F_GETFD) >= 0
    except OSError:
        return False


def in_child(function):
    """What function() gives in a forked child."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        report(writing, function)
    os.close(writing)
    return answer_of(reading, pid)


@pytest.mark.parametrize("poke", ["notify", "bottom half", "timer"])
def test_the_child_does_not_wake_the_parent(loop, poke):
    """Row fork: the inherited kernel objects are never touched; bug E10."""
    ran = []
    timer = loop.timer_new(lambda: ran.append(1))
    bh, other = loop.bh_new(print), loop.timer_new(print)
    loop.wait(True)

    def poke_the_loop():
        for _ in range(10):
            {"notify": loop.notify, "bottom half": bh.schedule}.get(poke, lambda: other.mod(1))()

    assert in_child(poke_the_loop) is None
    timer.mod_ns(time.monotonic_ns() + 20_000_000)
    loop.wait()
    assert ran == [1]


def test_a_hosted_child_does_not_wake_the_parents_host(loop):
    """Row fork, with fileno(): what the child schedules is not the parent's event."""
    bh = loop.bh_new(lambda: None)
    before = loop.fileno()
    while loop.wait(True):
        pass
    assert select.select([before], [], [], 0)[0] == []
    assert in_child(lambda: (bh.schedule(), loop.notify(), loop.wait(True))[2]) == 0
    assert select.select([before], [], [], 0)[0] == []
    assert loop.fileno() == before
    assert not bh.scheduled


def test_the_child_closes_no_number_that_is_another_files_by_now(loop):
    """Row fork: kernel objects that a child does not inherit leave it their numbers (kqueue)."""
    sleeping, end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(end)
        os.read(sleeping, 1)
        os._exit(0)
    os.close(sleeping)
    gone = []
    loop.add_child_watch(pid, lambda *args: gone.append(args))
    loop.fileno()
    loop.wait(True)

    def numbers_lost():
        files = [os.open(os.devnull, os.O_RDONLY) for _ in range(40)]
        loop.wait(True)
        loop.fileno()
        loop.close()
        device = os.stat(os.devnull).st_rdev
        return [fd for fd in files if not is_open(fd) or os.fstat(fd).st_rdev != device]

    assert in_child(numbers_lost) == []
    os.close(end)
    assert loop.run_until(lambda: gone, timeout=20)


def test_what_the_child_removes_stays_in_the_parent(loop, pipe):
    """Row fork: the epoll set behind the inherited descriptor is the parent's too."""
    got = []
    loop.set_fd_handler(pipe[0], lambda: got.append(os.read(pipe[0], 10)))
    loop.wait(True)
    assert in_child(lambda: (loop.set_fd_handler(pipe[0]), loop.wait(True), loop.close())[1]) == 0
    os.write(pipe[1], b"x")
    assert loop.wait() == 1
    assert got == [b"x"]


def test_handlers_stay_in_the_child(loop, pipe):
    """Row fork: handlers stay."""
    got = []
    loop.set_fd_handler(pipe[0], lambda: got.append(os.read(pipe[0], 10)))
    loop.wait(True)

    def child():
        os.write(pipe[1], b"x")
        return loop.wait(), got

    assert in_child(child) == (1, [b"x"])


def test_timers_stay_in_the_child(loop):
    """Row fork: timers stay; bug in the original, where the host timer was not inherited."""
    ran = []
    timer = loop.timer_new(lambda: ran.append(1))
    timer.mod_ns(time.monotonic_ns() + 1_000_000)
    assert in_child(lambda: (loop.run_until(lambda: ran, timeout=10), ran)) == (True, [1])


@pytest.mark.parametrize("method", ["schedule", "schedule_idle"])
def test_scheduled_bottom_halves_stay_in_both(loop, method):
    """Row fork: scheduled bottom halves stay."""
    ran = []
    bh = loop.bh_new(lambda: ran.append(1))
    getattr(bh, method)()
    assert in_child(lambda: (loop.wait(), ran)) == (0, [1])
    loop.wait()
    assert ran == [1]


def test_child_watches_are_dropped_in_the_child_only(loop):
    """Row fork: child watches are dropped."""
    exits = []
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 3"], os.environ)
    loop.add_child_watch(pid, lambda pid, code: exits.append(code))
    assert in_child(lambda: (loop.wait(True), loop.info()["child_watches"], exits)) == (0, 0, [])
    assert loop.run_until(lambda: exits, timeout=10)
    assert exits == [3]


def test_the_child_watches_children_of_its_own(loop):
    """Row fork: the child's loop is whole."""

    def child():
        exits = []
        pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 4"], os.environ)
        loop.add_child_watch(pid, lambda pid, code: exits.append(code))
        return loop.run_until(lambda: exits, timeout=10), exits

    assert in_child(child) == (True, [4])


@pytest.mark.parametrize("use", [lambda io: io.loop, lambda io: io.stop()])
def test_an_iothread_is_a_runtime_error_in_the_child(use):
    """Row fork: IOThreads are gone."""

    def child():
        with pytest.raises(RuntimeError, match="IOThread 'disk'.* parent process"):
            use(io)
        return "said so"

    with q.IOThread("disk") as io:
        assert in_child(child) == "said so"


def test_the_child_makes_iothreads_of_its_own():
    """Row fork: only the parent's are gone."""

    def child():
        with q.IOThread() as io, q.MainLoop() as here:
            ran = []
            io.loop.bh_new(lambda: (ran.append(1), here.notify())).schedule()
            return here.run_until(lambda: ran, timeout=10)

    with q.IOThread():
        assert in_child(child) is True


def test_a_fork_while_another_thread_schedules_hangs_nobody(loop):
    """Row fork: producers are kept out of the gap, or the queue is rebuilt."""
    ran, ended = [], threading.Event()
    bhs = [loop.bh_new(lambda: ran.append(1)) for _ in range(8)]
    timer = loop.timer_new(lambda: None)

    def schedule():
        while not ended.is_set():
            for bh in bhs:
                bh.schedule()
            timer.mod(0)

    def child():
        for bh in bhs:
            bh.schedule()
        ran.clear()
        loop.wait()
        return len(ran) >= len(bhs)

    thread = threading.Thread(target=schedule)
    thread.start()
    try:
        assert [in_child(child) for _ in range(30)] == [True] * 30
    finally:
        ended.set()
        thread.join()


def test_a_loop_that_slept_in_another_thread_is_free_in_the_child(loop):
    """Row fork: the thread that polled it is not there any more."""
    thread, before = threading.Thread(target=loop.run), loop.info()["sleeps"]
    thread.start()
    while loop.info()["sleeps"] == before:
        os.sched_yield()
    try:
        assert in_child(lambda: loop.wait(True)) == 0
    finally:
        loop.stop()
        thread.join()
