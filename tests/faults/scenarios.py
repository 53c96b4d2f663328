"""Things that a program does with a loop, each of which may fail at any call.

Each is ``act(stage)``: it does something with ``stage.loop`` and checks that it worked.  What
it made is taken back at the end of the stage, when nothing fails any more.
"""

import os
import select
import signal
import sys
import threading
import time

import qemu_mainloop as q

MS = 1_000_000


def make_a_loop(stage):
    with q.MainLoop() as loop:
        hits = []
        bh = loop.bh_new(lambda: hits.append(1))
        bh.schedule()
        assert loop.run_until(lambda: hits, timeout=30)


def make_a_loop_by_name(stage):
    with q.MainLoop(fdmon=stage.fdmon) as loop:
        assert loop.fdmon == stage.fdmon
        loop.notify()
        loop.wait()


def read_and_write(stage):
    reader, writer = stage.pipe(b"x")
    got = []
    stage.at_end(stage.loop.set_fd_handler, reader)
    stage.at_end(stage.loop.set_fd_handler, writer)
    stage.loop.set_fd_handler(reader, lambda: got.append(os.read(reader, 1)))
    stage.until(lambda: got)
    stage.loop.set_fd_handler(reader, lambda: got.append(b"replaced"))
    stage.loop.set_fd_handler(writer, None, lambda: got.append(b"writable"))
    stage.until(lambda: b"writable" in got)
    os.write(writer, b"y")
    stage.until(lambda: b"replaced" in got)
    stage.loop.set_fd_handler(reader)
    stage.loop.set_fd_handler(writer)
    del got[:]
    stage.loop.wait(True)
    assert not got


def a_batch_of_registrations(stage):
    """Twenty changes that the kernel is told in one go."""
    pipes = [stage.pipe(b"x") for _ in range(20)]
    got = set()
    for reader, _ in pipes:
        stage.at_end(stage.loop.set_fd_handler, reader)
        stage.loop.set_fd_handler(reader, lambda fd=reader: (os.read(fd, 1), got.add(fd)))
    stage.until(lambda: len(got) == 20)
    for reader, _ in pipes:
        stage.loop.set_fd_handler(reader)


def a_closed_gate(stage):
    reader, _ = stage.pipe(b"x")
    got = []
    may_read = []
    stage.at_end(stage.loop.set_fd_handler, reader)
    stage.loop.set_fd_handler(reader, lambda: got.append(os.read(reader, 1)),
                              can_read=lambda: may_read)
    stage.loop.wait(True)
    assert not got
    may_read.append(1)
    stage.until(lambda: got)
    stage.loop.set_fd_handler(reader)


def a_regular_file(stage):
    fd = os.open(sys.executable, os.O_RDONLY | os.O_CLOEXEC)
    stage.at_end(os.close, fd)
    stage.at_end(stage.loop.set_fd_handler, fd)
    got = []
    stage.loop.set_fd_handler(fd, lambda: got.append(1))
    stage.until(lambda: len(got) == 3)
    stage.loop.set_fd_handler(fd)


def a_high_descriptor(stage):
    """The fd table grows."""
    reader, writer = stage.pipe(b"x")
    high = os.dup2(reader, 700, inheritable=False)
    stage.at_end(os.close, high)
    stage.at_end(stage.loop.set_fd_handler, high)
    got = []
    stage.loop.set_fd_handler(high, lambda: got.append(os.read(high, 1)))
    stage.until(lambda: got)
    stage.loop.set_fd_handler(high)


def closed_under_its_handler(stage):
    """A duplicate keeps the file, and epoll's entry, alive: the set is made anew."""
    kept, _ = stage.pipe(b"x")
    reader = os.dup(kept)
    got = []
    stage.at_end(stage.loop.set_fd_handler, reader)
    try:
        stage.loop.set_fd_handler(reader, lambda: got.append(1))
        stage.until(lambda: got)
    finally:
        os.close(reader)
    for _ in range(30):
        stage.loop.wait(True)
    assert len(got) <= 8 + 8, "it spins"


def timers_of_all_clocks(stage):
    got = []
    timers = [stage.loop.timer_new(lambda c=clock: got.append(c), clock=clock)
              for clock in (q.Clock.REALTIME, q.Clock.HOST)]
    for timer in timers:
        timer.mod_ns(q.clock_get_ns(timer.clock) + 2 * MS)
    stage.until(lambda: len(got) == 2)


def sleep_until_a_timer(stage):
    got = []
    timer = stage.loop.timer_new(lambda: got.append(1))
    when = q.clock_get_ns() + 3 * MS
    timer.mod_ns(when)
    stage.until(lambda: got)
    assert q.clock_get_ns() >= when


def woken_by_a_thread(stage):
    got = []
    bh = stage.loop.bh_new(lambda: got.append(1))
    sleeping = stage.loop.info()["sleeps"]
    over = threading.Event()                 # it may fail before it sleeps

    def wake():
        while stage.loop.info()["sleeps"] == sleeping and not over.is_set():
            time.sleep(0.0002)
        bh.schedule()

    thread = threading.Thread(target=wake)
    thread.start()
    stage.at_end(thread.join)
    stage.at_end(over.set)
    stage.until(lambda: got)


def watch_a_child(stage):
    pid = os.posix_spawn("/bin/true", ["true"], {})
    ended = []
    try:
        stage.loop.add_child_watch(pid, lambda pid, code: ended.append(code))
        stage.until(lambda: ended)
    except (OSError, MemoryError):
        if not ended:
            os.waitpid(pid, 0)
        raise
    assert ended == [0]


def trap_a_signal(stage):
    got = []
    stage.at_end(stage.loop.remove_signal_handler, signal.SIGUSR2)
    stage.loop.add_signal_handler(signal.SIGUSR2, lambda: got.append(1))
    os.kill(os.getpid(), signal.SIGUSR2)
    stage.until(lambda: got)
    assert stage.loop.remove_signal_handler(signal.SIGUSR2)


def run_an_iothread(stage):
    got = threading.Event()
    with q.IOThread("t") as io:
        bh = io.loop.bh_new(got.set)
        bh.schedule()
        assert got.wait(30)


def be_hosted(stage):
    """Another loop watches: it hears of descriptors, bottom halves and timers."""
    with q.MainLoop(fdmon=stage.fdmon) as loop:
        host = select.poll()
        host.register(loop.fileno(), select.POLLIN)
        got = []
        reader, writer = stage.pipe()
        loop.set_fd_handler(reader, lambda: got.append(os.read(reader, 1)))
        bh = loop.bh_new(lambda: got.append("bh"))
        timer = loop.timer_new(lambda: got.append("timer"))

        def until(n):
            deadline = q.clock_get_ns() + 30000 * MS
            while len(got) < n:
                assert host.poll(30000) and q.clock_get_ns() < deadline, got
                loop.wait(True)

        os.write(writer, b"x")
        until(1)
        bh.schedule()
        until(2)
        timer.mod_ns(q.clock_get_ns() + 2 * MS)
        until(3)


def change_the_fdmon(stage):
    """_use_fdmon() is what the command line's --fdmon calls."""
    for name in (*q.fdmons(), stage.fdmon):
        # io_uring is not everywhere; what one is made of is refused elsewhere too.
        try:
            stage.loop._use_fdmon(name)
        except OSError:
            if name != "io_uring" or stage.fdmon == name:
                raise
        stage.loop.notify()
        stage.loop.wait()


def wait_objects_and_polling(stage):
    reader, _ = stage.pipe(b"x")
    got = []
    stage.at_end(stage.loop._remove_wait_object, reader)
    stage.loop._add_wait_object(reader, lambda: got.append(os.read(reader, 1)))

    def func(opaque):
        got.append("asked")

    stage.at_end(stage.loop._remove_polling_callback, func, None)
    stage.loop._add_polling_callback(func, None)
    stage.until(lambda: b"x" in got and "asked" in got)
    stage.loop._remove_wait_object(reader)
    stage.loop._remove_polling_callback(func, None)


def use_it_in_a_forked_child(stage):
    """The child makes its kernel objects anew; what it sees is its exit status."""
    got = []
    bh = stage.loop.bh_new(lambda: got.append(1))
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            for _ in range(2):                  # the second time is the retry
                try:
                    bh.schedule()
                    stage.until(lambda: got)
                    status = 0
                    break
                except OSError as e:
                    status = e.errno
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


ALL = [make_a_loop, make_a_loop_by_name, read_and_write, a_batch_of_registrations, a_closed_gate,
       a_regular_file, a_high_descriptor, closed_under_its_handler, timers_of_all_clocks,
       sleep_until_a_timer, woken_by_a_thread, watch_a_child, trap_a_signal, run_an_iothread,
       be_hosted, change_the_fdmon, wait_objects_and_polling, use_it_in_a_forked_child]
