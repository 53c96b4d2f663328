"""Ctrl-C and signal.set_wakeup_fd on Windows."""

import signal
import socket
import threading
import time

import pytest

import qemu_mainloop as q


def interrupt_soon():
    """As the system does it: the handler runs in another thread than the one that sleeps."""
    timer = threading.Timer(0.1, signal.raise_signal, [signal.SIGINT])
    timer.start()
    return timer


@pytest.mark.parametrize("drive", [q.MainLoop.wait, q.MainLoop.run,
                                   lambda loop: loop.run_until(lambda: False, timeout=20)],
                         ids=["wait", "run", "run_until"])
def test_ctrl_c_ends_a_sleep_at_once(loop, drive):
    timer = interrupt_soon()
    before = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        drive(loop)
    assert time.monotonic() - before < 5
    timer.join()


def test_ctrl_c_that_came_before_the_sleep(loop):
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
    threading.Timer(0.05, loop.notify).start()
    assert loop.wait() == 0                          # an old one interrupts nothing


def test_ctrl_c_at_many_instants_always_ends_the_wait(loop):
    """No window between the last check and the sleep."""
    go = threading.Semaphore(0)

    def interrupt():
        for i in range(100):
            assert go.acquire(timeout=20)
            end = time.perf_counter_ns() + i * 1000
            while time.perf_counter_ns() < end:
                pass
            signal.raise_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    for _ in range(100):
        with pytest.raises(KeyboardInterrupt):
            go.release()
            loop.run_until(lambda: False, timeout=20)
    thread.join()


def test_the_wakeup_descriptor_gets_its_byte(loop):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.setblocking(False)
        theirs.setblocking(False)
        got = []
        old_handler = signal.signal(signal.SIGTERM, lambda *_: None)
        old = signal.set_wakeup_fd(theirs.fileno())
        try:
            loop.set_fd_handler(ours, lambda: got.append(ours.recv(10)))
            threading.Timer(0.05, signal.raise_signal, [signal.SIGTERM]).start()
            assert loop.run_until(lambda: got, timeout=20)
            assert got == [bytes([signal.SIGTERM])]
            assert signal.set_wakeup_fd(theirs.fileno()) == theirs.fileno()
        finally:
            loop.set_fd_handler(ours)
            signal.set_wakeup_fd(old)
            signal.signal(signal.SIGTERM, old_handler)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGBREAK", "SIGABRT"])
def test_a_trapped_signal_calls_again_and_again(loop, calls, name):
    """The C library forgets a handler when it calls it."""
    signo = getattr(signal, name)
    before = signal.getsignal(signo)
    loop.add_signal_handler(signo, lambda: calls.append(name))
    for n in (1, 2, 3):
        signal.raise_signal(signo)
        assert loop.run_until(lambda n=n: len(calls) == n, timeout=20)
    assert loop.remove_signal_handler(signo)
    assert signal.getsignal(signo) == before


@pytest.mark.parametrize("signo", [9, 10, 13, 14, 1000])
def test_what_the_c_library_does_not_know_is_refused(loop, signo):
    with pytest.raises(ValueError):
        loop.add_signal_handler(signo, print)
