"""Python's signals: Ctrl-C, handlers of Python's own, and signals that a loop traps."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

import qemu_mainloop as q

# "Promptly", on a machine that is busy with other things.
PROMPT_S = 3


def mask():
    """The signals that this thread blocks."""
    return signal.pthread_sigmask(signal.SIG_BLOCK, [])


def send_when_asleep(loop, signo):
    """A started thread that sends this process signo once the loop sleeps anew."""
    before = loop.info()["sleeps"]
    sent = []

    def run():
        while loop.info()["sleeps"] == before:
            os.sched_yield()
        sent.append(time.monotonic())
        os.kill(os.getpid(), signo)

    thread = threading.Thread(target=run)
    thread.sent = sent
    thread.start()
    return thread


def interrupt(loop, call):
    """Ctrl-C while call() sleeps: it raises KeyboardInterrupt, and soon."""
    loop.notify()
    loop.wait()                              # what earlier tests and threads did is seen
    thread = send_when_asleep(loop, signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        call()
    thread.join()
    assert time.monotonic() - thread.sent[0] < PROMPT_S


@pytest.fixture
def usr1():
    """What SIGUSR1 had before comes back after the test."""
    old = signal.getsignal(signal.SIGUSR1)
    yield signal.SIGUSR1
    signal.signal(signal.SIGUSR1, old)


def test_ctrl_c_ends_a_sleeping_wait(loop):
    """Section 3: Ctrl-C reaches the caller of wait() promptly, also when the loop sleeps."""
    interrupt(loop, loop.wait)


def test_ctrl_c_ends_a_sleeping_run(loop):
    """Section 3: the same for run()."""
    interrupt(loop, loop.run)


def test_ctrl_c_ends_a_sleeping_run_until(loop):
    """Section 3: the same for run_until()."""
    interrupt(loop, lambda: loop.run_until(lambda: False))


def test_ctrl_c_ends_a_sleeping_main_loop(main_loop):
    """Section 3, with the iothread lock in play: it is free afterwards."""
    interrupt(main_loop, main_loop.wait)
    assert not main_loop.lock.locked()


def test_ctrl_c_in_a_nested_wait_goes_to_its_caller(loop):
    """Section 3: a nested wait() raises its own; the outer one returns as usual."""
    caught = []

    def nested():
        interrupt(loop, loop.wait)
        caught.append("nested")

    bh = loop.bh_new(nested)
    bh.schedule()
    assert loop.wait() == 0
    assert caught == ["nested"]


def test_ctrl_c_ends_a_wait_while_iothreads_live(loop):
    """Section 3: an IOThread blocks all signals, so none is lost to it."""
    with q.IOThread(), q.IOThread():
        interrupt(loop, loop.wait)


def test_ctrl_c_in_a_callback_is_raised_after_the_iteration(loop):
    """Section 3: KeyboardInterrupt wins, and the iteration is finished all the same."""
    ran = []
    for callback in (lambda: signal.raise_signal(signal.SIGINT), lambda: ran.append("later")):
        bh = loop.bh_new(callback)
        bh.schedule()
    with pytest.raises(KeyboardInterrupt):
        loop.wait()
    assert loop.run_until(lambda: ran, timeout=10)


def test_the_loop_is_usable_after_ctrl_c(loop, pipe):
    """Section 3: registrations made before it work on, and the next sleep is woken."""
    got = []
    loop.set_fd_handler(pipe[0], lambda: got.append(os.read(pipe[0], 10)))
    interrupt(loop, loop.wait)
    timer = loop.timer_new(lambda: os.write(pipe[1], b"x"))
    timer.mod_ns(time.monotonic_ns() + 1_000_000)
    assert loop.run_until(lambda: got, timeout=10)
    assert got == [b"x"]


CHILD = """
import os, signal, sys, time
for i, _ in enumerate(iter(lambda: os.read(0, 1), b"")):
    end = time.perf_counter_ns() + i % 100 * 1000
    while time.perf_counter_ns() < end:
        pass
    os.kill(os.getppid(), signal.SIGINT)
"""


@pytest.mark.slow
@pytest.mark.posix_only(reason="no process can send one to another")
def test_sigint_at_many_instants_always_ends_the_wait(loop):
    """Section 3: no window between the last check and the sleep."""
    command = [sys.executable, "-P", "-c", CHILD]
    with subprocess.Popen(command, stdin=subprocess.PIPE, bufsize=0) as child:
        try:
            for _ in range(300):
                try:
                    child.stdin.write(b"x")
                    assert loop.run_until(lambda: False, timeout=PROMPT_S)
                except KeyboardInterrupt:
                    continue
        finally:
            child.stdin.close()


def test_a_python_handler_runs_while_the_loop_sleeps(loop, usr1):
    """Section 3; row main_loop_wait: EINTR is no error, the iteration completes with 0."""
    got = []
    signal.signal(usr1, lambda signo, frame: got.append(signo))
    thread = send_when_asleep(loop, usr1)
    assert loop.run_until(lambda: got, timeout=PROMPT_S)
    thread.join()
    assert got == [usr1]


@pytest.mark.posix_only(reason="no signal but Ctrl-C ends a sleep; tests/windows has its own")
def test_set_wakeup_fd_is_left_alone(loop, pipe, usr1):
    """Section 3: signal.set_wakeup_fd is left alone, and gets its byte."""
    signal.signal(usr1, lambda signo, frame: None)
    old = signal.set_wakeup_fd(pipe[1])
    try:
        thread = send_when_asleep(loop, usr1)
        loop.wait()
        thread.join()
        assert os.read(pipe[0], 10) == bytes([usr1])
    finally:
        assert signal.set_wakeup_fd(old) == pipe[1]


@pytest.mark.posix_only(reason="there are no signal masks")
def test_the_signal_mask_is_as_it_was_after_ctrl_c(main_loop):
    """Section 3: also on the way out with an exception."""
    before = mask()
    interrupt(main_loop, main_loop.wait)
    assert mask() == before
