"""run(), stop() and run_until()."""

import os
import threading
import time

import pytest
from sleeping import start_when_asleep


def test_stop_from_a_callback_ends_run_after_its_iteration(loop):
    """Row `stop()`: ends the run() in progress after its iteration."""
    ran = []
    first = loop.bh_new(lambda: (ran.append("first"), loop.stop()))
    second = loop.bh_new(lambda: ran.append("second"))
    first.schedule()
    second.schedule()
    loop.run()
    assert ran == ["first", "second"]


def test_stop_from_another_thread_ends_a_sleeping_run(loop):
    """Row `stop()`; section 3: stop is safe from any thread."""
    thread = start_when_asleep(loop, loop.stop)
    loop.run()
    thread.join()


def test_stop_from_an_fd_handler_ends_run(loop, pipe):
    """Row `stop()`, from a descriptor's callback: the bottom halves of the pass still run."""
    ran = []
    bh = loop.bh_new(lambda: ran.append("bh"))
    loop.set_fd_handler(pipe[0], lambda: (bh.schedule(), loop.stop()))
    os.write(pipe[1], b"x")
    loop.run()
    assert ran == ["bh"]


def test_stop_before_run_ends_it_after_one_iteration(loop):
    """Row `stop()`: if none runs, the next one, after one iteration, what is due included."""
    ran = []
    bh = loop.bh_new(lambda: ran.append("bh"))
    bh.schedule()
    loop.stop()
    before = loop.info()["iterations"]
    loop.run()
    assert ran == ["bh"]
    assert loop.info()["iterations"] == before + 1


def test_stop_before_run_of_an_idle_loop_does_not_block(loop):
    """Row `stop()`: the one iteration is non-blocking."""
    loop.stop()
    before = loop.info()["sleeps"]
    loop.run()
    assert loop.info()["sleeps"] == before


def test_stop_twice_before_run_ends_one_run_only(loop):
    """Section 3, lifetimes: stop() may be called twice; it is a flag, not a count."""
    loop.stop()
    loop.stop()
    loop.run()
    ran = []
    again = loop.timer_new(lambda: (ran.append("timer"), loop.stop()))
    again.mod_ns(time.monotonic_ns() + 5_000_000)
    loop.run()
    assert ran == ["timer"]


def test_stop_twice_in_one_callback_ends_one_run_only(loop):
    """Row `stop()`: two stops of one iteration end one run()."""
    bh = loop.bh_new(lambda: (loop.stop(), loop.stop()))
    bh.schedule()
    loop.run()
    ran = []
    again = loop.timer_new(lambda: (ran.append("timer"), loop.stop()))
    again.mod_ns(time.monotonic_ns() + 5_000_000)
    loop.run()
    assert ran == ["timer"]


def test_a_stop_in_the_iteration_that_raises_does_not_end_the_next_run(loop):
    """Row `stop()`: it was for the run in progress, which the exception ended."""

    def stop_and_fail():
        loop.stop()
        raise ValueError("in the callback")

    bh = loop.bh_new(stop_and_fail)
    bh.schedule()
    with pytest.raises(ValueError, match="in the callback"):
        loop.run()
    ran = []
    again = loop.timer_new(lambda: (ran.append("timer"), loop.stop()))
    again.mod_ns(time.monotonic_ns() + 5_000_000)
    loop.run()
    assert ran == ["timer"]


@pytest.mark.slow
def test_stop_is_never_lost_at_the_brink_of_the_sleep(loop):
    """Bugs A6 and A7: the flag is set, and the loop notified, as it is about to sleep."""
    turn = threading.Semaphore(0)
    rounds = 2000

    def stop_again_and_again():
        for _ in range(rounds):
            turn.acquire()
            loop.stop()

    thread = threading.Thread(target=stop_again_and_again)
    thread.start()
    for _ in range(rounds):
        turn.release()
        loop.run()
    thread.join()


def test_run_until_of_what_holds_already_runs_no_iteration(loop):
    """Section 3, run_until: the predicate is asked first."""
    before = loop.info()["iterations"]
    assert loop.run_until(lambda: True)
    assert loop.info()["iterations"] == before


def test_run_until_returns_when_a_callback_made_it_true(loop):
    """Section 3: run_until waits until predicate() holds."""
    ran = []
    timer = loop.timer_new(lambda: ran.append(1))
    timer.mod_ns(time.monotonic_ns() + 2_000_000)
    assert loop.run_until(lambda: ran, timeout=10)
    assert ran == [1]


def test_run_until_gives_false_no_earlier_than_the_timeout(loop):
    """Section 3, run_until: timeout in seconds; nanosecond deadlines, never early."""
    begin = time.monotonic_ns()
    assert loop.run_until(lambda: False, timeout=0.02) is False
    assert time.monotonic_ns() - begin >= 20_000_000


def test_run_until_asks_again_after_a_notification_from_another_thread(loop):
    """Rows notification and blocking wait: notify() makes run_until look at its predicate."""
    done = []
    thread = start_when_asleep(loop, lambda: (done.append(1), loop.notify()))
    assert loop.run_until(lambda: done, timeout=10)
    thread.join()


def test_run_until_raises_what_the_predicate_raises(loop):
    """Section 3, run_until: the predicate is the caller's own code."""
    with pytest.raises(ZeroDivisionError):
        loop.run_until(lambda: 1 // 0)


def test_run_until_raises_what_a_callback_raises(loop):
    """Section 3, exceptions: as wait() and run() do."""
    bh = loop.bh_new(lambda: 1 // 0)
    bh.schedule()
    with pytest.raises(ZeroDivisionError):
        loop.run_until(lambda: False, timeout=10)


def test_run_works_inside_a_callback_of_the_same_loop(loop):
    """Row nested main_loop_wait: run() in a callback serves the others until it is stopped."""
    ran = []

    def outer():
        timer.mod_ns(0)
        assert loop.run_until(lambda: "timer" in ran, timeout=10)
        ran.append("outer")

    timer = loop.timer_new(lambda: ran.append("timer"))
    bh = loop.bh_new(outer)
    bh.schedule()
    loop.wait()
    assert ran == ["timer", "outer"]
