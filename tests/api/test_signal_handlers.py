"""add_signal_handler() and remove_signal_handler()."""

import gc
import os
import signal
import threading

import pytest

import qemu_mainloop as q

SIGNO = signal.SIGUSR2


@pytest.fixture(autouse=True)
def disposition():
    """A handler of Python's own on the signal before, and what was there after."""
    got = []
    old = signal.signal(SIGNO, lambda signo, frame: got.append(signo))
    yield got
    signal.signal(SIGNO, old)


def test_a_trapped_signal_runs_its_callback_from_the_loop(loop, disposition):
    """Section 3, add_signal_handler: not before the loop runs, and instead of Python's."""
    ran = []
    loop.add_signal_handler(SIGNO, lambda: ran.append(threading.get_ident()))
    signal.raise_signal(SIGNO)
    assert ran == []
    assert loop.wait() == 0
    assert ran == [threading.get_ident()]
    assert disposition == []


def test_a_trapped_signal_wakes_a_sleeping_loop(loop):
    """Row notification: the handler schedules a bottom half, which needs no lock."""
    ran = []
    loop.add_signal_handler(SIGNO, lambda: ran.append(1))
    before = loop.info()["sleeps"]

    def send():
        while loop.info()["sleeps"] == before:
            os.sched_yield()
        os.kill(os.getpid(), SIGNO)

    thread = threading.Thread(target=send)
    thread.start()
    assert loop.run_until(lambda: ran, timeout=10)
    thread.join()


def test_a_signal_sent_to_another_thread_reaches_the_loop(loop):
    """Section 3: whichever thread gets it, the callback runs in the loop's."""
    ran = []
    loop.add_signal_handler(SIGNO, lambda: ran.append(threading.get_ident()))
    thread = threading.Thread(target=lambda: signal.raise_signal(SIGNO))
    thread.start()
    assert loop.run_until(lambda: ran, timeout=10)
    thread.join()
    assert ran == [threading.get_ident()]


def test_a_callback_runs_again_for_the_next_signal(loop):
    """Section 3: it stays until it is removed."""
    ran = []
    loop.add_signal_handler(SIGNO, lambda: ran.append(1))
    for _ in range(3):
        signal.raise_signal(SIGNO)
        loop.wait()
    assert ran == [1, 1, 1]


def test_a_second_call_replaces_the_callback(loop):
    """Section 3: one callback a signal."""
    ran = []
    loop.add_signal_handler(SIGNO, lambda: ran.append("old"))
    loop.add_signal_handler(SIGNO, lambda: ran.append("new"))
    signal.raise_signal(SIGNO)
    loop.wait()
    assert ran == ["new"]


def test_removing_gives_the_signal_back(loop, disposition):
    """Section 3, remove_signal_handler: what was there before is there again."""
    loop.add_signal_handler(SIGNO, print)
    assert loop.remove_signal_handler(SIGNO) is True
    signal.raise_signal(SIGNO)
    assert disposition == [SIGNO]


def test_removing_after_replacing_gives_back_what_was_before_both(loop, disposition):
    """Section 3: the loop's own handler is not taken for the user's."""
    loop.add_signal_handler(SIGNO, print)
    loop.add_signal_handler(SIGNO, print)
    loop.remove_signal_handler(SIGNO)
    signal.raise_signal(SIGNO)
    assert disposition == [SIGNO]


def test_removing_what_is_not_there_is_false(loop):
    """Section 3: it says whether there was one."""
    assert loop.remove_signal_handler(SIGNO) is False


def test_a_callback_removed_after_the_signal_does_not_run(loop):
    """Section 2.4: after the removal the callback is not started."""
    ran = []
    loop.add_signal_handler(SIGNO, lambda: ran.append(1))
    signal.raise_signal(SIGNO)
    loop.remove_signal_handler(SIGNO)
    loop.wait(True)
    assert ran == []


def test_closing_the_loop_gives_its_signals_back(disposition):
    """Section 3, lifetimes: a signal of a closed loop finds Python's handler."""
    with q.MainLoop() as loop:
        loop.add_signal_handler(SIGNO, print)
    signal.raise_signal(SIGNO)
    assert disposition == [SIGNO]


def test_collecting_the_loop_gives_its_signals_back(disposition):
    """Section 3, lifetimes: an unclosed loop too."""
    loop = q.MainLoop()
    loop.add_signal_handler(SIGNO, print)
    del loop
    gc.collect()
    signal.raise_signal(SIGNO)
    assert disposition == [SIGNO]


def test_trapping_sigint_keeps_keyboard_interrupt_away(loop):
    """Section 3: traps that one signal, SIGINT included."""
    ran = []
    loop.add_signal_handler(signal.SIGINT, lambda: ran.append(1))
    signal.raise_signal(signal.SIGINT)
    loop.wait()
    loop.remove_signal_handler(signal.SIGINT)
    assert ran == [1]


@pytest.mark.posix_only(reason="there are no signal masks")
def test_other_signals_and_the_mask_are_not_touched(loop):
    """Section 3: no signal mask and no other handler is touched."""

    def state():
        others = signal.valid_signals() - {SIGNO}
        return signal.pthread_sigmask(signal.SIG_BLOCK, []), [signal.getsignal(s) for s in others]

    before = state()
    loop.add_signal_handler(SIGNO, print)
    assert state() == before
