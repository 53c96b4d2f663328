"""Who keeps what alive, and what is left of it."""

import gc
import os
import signal
import time
import weakref

import pytest

import qemu_mainloop as q


class Callback:
    """A callable that can be looked at weakly; it counts its calls."""

    calls = 0

    def __call__(self, *_):
        Callback.calls += 1


@pytest.fixture
def callback():
    """One callback: (a weak reference to it, a list that holds the only strong one)."""
    Callback.calls = 0
    strong = [Callback()]
    return weakref.ref(strong[0]), strong


def test_an_idle_bottom_half_dies_with_its_last_reference(loop, callback):
    """Section 3, lifetimes: an idle object dies with its last reference."""
    alive, strong = callback
    bh = loop.bh_new(strong.pop())
    assert loop.info()["bottom_halves"] == 1
    del bh
    assert alive() is None
    loop.wait(True)
    assert loop.info()["bottom_halves"] == 0


@pytest.mark.parametrize("method", ["schedule", "schedule_idle"])
def test_a_scheduled_bottom_half_is_kept_until_it_has_run(loop, callback, method):
    """Section 3, lifetimes: the loop keeps a bottom half while it is scheduled."""
    alive, strong = callback
    getattr(loop.bh_new(strong.pop()), method)()
    gc.collect()
    assert alive() is not None
    loop.wait()
    assert alive() is None and Callback.calls == 1


def test_a_cancelled_bottom_half_is_not_kept(loop, callback):
    """Section 3, lifetimes: while it is scheduled, and no longer."""
    alive, strong = callback
    bh = loop.bh_new(strong.pop())
    bh.schedule()
    bh.cancel()
    del bh
    loop.wait(True)
    assert alive() is None and Callback.calls == 0


def test_an_idle_timer_dies_with_its_last_reference(loop, callback):
    """Section 3, lifetimes: an idle object dies with its last reference."""
    alive, strong = callback
    timer = loop.timer_new(strong.pop())
    del timer
    assert alive() is None
    assert loop.info()["timers"] == 0


def test_a_pending_timer_is_kept_until_it_has_run(loop, callback):
    """Section 3, lifetimes: a timer while it is pending."""
    alive, strong = callback
    loop.timer_new(strong.pop()).mod_ns(time.monotonic_ns() + 1_000_000)
    gc.collect()
    assert alive() is not None
    assert loop.run_until(lambda: Callback.calls, timeout=10)
    assert alive() is None


def test_a_disarmed_timer_is_not_kept(loop, callback):
    """Section 3, lifetimes: while it is pending, and no longer."""
    alive, strong = callback
    timer = loop.timer_new(strong.pop())
    timer.mod_ns(time.monotonic_ns() + 10**12)
    timer.delete()
    del timer
    assert alive() is None


def test_the_object_of_a_handler_is_kept_until_it_is_removed(loop, pipe):
    """Section 3, lifetimes: the object given to set_fd_handler until it is removed."""

    class File:
        def fileno(self):
            return pipe[0]

    file = File()
    alive = weakref.ref(file)
    loop.set_fd_handler(file, print)
    del file
    gc.collect()
    assert alive() is not None
    loop.set_fd_handler(pipe[0])
    assert alive() is None


@pytest.mark.parametrize("how", ["removed", "replaced", "closed"])
def test_the_callback_of_a_handler_goes_with_it(fdmon, pipe, callback, how):
    """Section 3, lifetimes: nothing of a registration outlives it."""
    alive, strong = callback
    with q.MainLoop(fdmon) as loop:
        loop.set_fd_handler(pipe[0], strong.pop())
        loop.wait(True)
        if how != "closed":
            loop.set_fd_handler(pipe[0], print if how == "replaced" else None)
            loop.wait(True)
            assert alive() is None
    assert alive() is None


def test_a_callback_that_removes_itself_lives_until_it_returns(loop, pipe):
    """Section 2.4, bug B1: remove and set anew, from the callback itself."""
    seen = []

    def first():
        loop.set_fd_handler(pipe[1])
        gc.collect()
        loop.set_fd_handler(pipe[1], None, lambda: seen.append("second"))
        seen.append("first")

    loop.set_fd_handler(pipe[1], None, first)
    del first
    loop.wait()
    assert seen == ["first"]
    loop.wait()
    assert seen == ["first", "second"]


@pytest.mark.parametrize("what", ["nothing", "bottom half", "timer", "handler"])
def test_an_unclosed_loop_is_collected_cycles_included(fdmon, pipe, what):
    """Section 3, lifetimes: the leak guard counts its descriptors."""
    loop = q.MainLoop(fdmon)
    if what == "bottom half":
        loop.bh_new(lambda keep=loop: keep).schedule()
    elif what == "timer":
        loop.timer_new(lambda keep=loop: keep).mod_ns(10**18)
    elif what == "handler":
        loop.set_fd_handler(pipe[0], lambda keep=loop: keep)
    alive = weakref.ref(loop)
    del loop
    gc.collect()
    assert alive() is None


def test_an_object_keeps_its_loop_alive():
    """Section 3, lifetimes: a timer and a bottom half belong to a loop that is there."""
    timer = q.MainLoop().timer_new(lambda: None)
    bh = q.MainLoop().bh_new(lambda: None)
    gc.collect()
    timer.mod(0)
    bh.schedule()
    assert timer.loop.wait() == bh.loop.wait() == 0


def test_a_child_callback_goes_after_its_call(loop, callback):
    """Section 3, lifetimes: kept while it watches, and no longer."""
    alive, strong = callback
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 0"], os.environ)
    loop.add_child_watch(pid, strong.pop())
    gc.collect()
    assert loop.run_until(lambda: Callback.calls, timeout=10)
    assert alive() is None


def test_a_signal_callback_goes_with_its_removal(loop, callback):
    """Section 3, lifetimes: until remove_signal_handler()."""
    alive, strong = callback
    loop.add_signal_handler(signal.SIGTERM, strong.pop())
    gc.collect()
    assert alive() is not None
    loop.remove_signal_handler(signal.SIGTERM)
    loop.wait(True)
    assert alive() is None


def test_close_and_delete_may_be_called_twice(loop):
    """Section 3, lifetimes: stop() and close() may be called twice."""
    bh = loop.bh_new(print)
    bh.delete()
    bh.delete()
    loop.close()
    loop.close()
    loop.stop()


def test_the_main_loop_is_one_object(main_loop):
    """Section 3: the process's main loop, one object."""
    assert q.main_loop() is main_loop
