"""A stop was missed when somebody else accepted its notification before the sleep.

run(), run_until() and an IOThread look at a flag, or ask a predicate, and then sleep unless
they were notified.  A notification that came after that look could be accepted, and a
callback that the loop waits for could run, in an iteration of another thread, between two of
the loop's own, or in one nested in its polling callbacks: the loop slept for ever.  And a
run() that was refused, since another thread polled, took the stop of the run in progress.
"""

import threading

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(60)


def in_a_thread(call):
    """Not in the main thread, whose waits begin anew for signals' sake; and it has to end."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()


@pytest.fixture
def polling():
    """polling(loop, call): has it called once by the next iteration, before its sleep."""
    added = []

    def once(loop, call):
        def poll(opaque):
            if not called:
                called.append(1)
                call()
            return 0

        called = []
        loop._add_polling_callback(poll, None)
        added.append((loop, poll))
        return called

    yield once
    for loop, poll in added:
        loop._remove_polling_callback(poll, None)
    added.clear()


def test_stop_accepted_by_a_wait_of_a_polling_callback(loop, polling):
    def stop():
        loop.stop()
        loop.wait(True)

    polling(loop, stop)
    in_a_thread(loop.run)


def test_stop_of_another_thread_accepted_so(loop, polling):
    waits = threading.Event()

    def wait():
        waits.set()
        loop.wait()                      # until the stop's notification

    def stop():
        assert waits.wait(20)
        loop.stop()

    polling(loop, wait)
    stopper = threading.Thread(target=stop)
    stopper.start()
    in_a_thread(loop.run)
    stopper.join()


def test_iothread_stopped_while_a_polling_callback_waits(polling):
    waits = threading.Event()

    def wait():
        waits.set()
        loop.wait()

    io = q.IOThread()
    loop = io.loop
    polling(loop, wait)
    assert waits.wait(20)
    in_a_thread(io.stop)


def test_what_the_predicate_waits_for_came_with_a_notification(loop):
    """It was false a moment ago; and another thread polls before the loop does."""
    done = []

    def finish():
        done.append(1)
        loop.notify()
        loop.wait(True)

    def predicate():
        if done:
            return True
        in_a_thread(finish)
        return False

    in_a_thread(lambda: loop.run_until(predicate))
    assert done


@pytest.mark.parametrize("how", ["schedule", "schedule_idle"])
def test_what_the_predicate_waits_for_ran_in_another_thread(loop, how):
    done = []
    bh = loop.bh_new(lambda: done.append(1))

    def predicate():
        if done:
            return True
        getattr(bh, how)()
        in_a_thread(lambda: loop.wait(True))
        return False

    in_a_thread(lambda: loop.run_until(predicate))
    assert done


def test_what_the_predicate_waits_for_ran_in_a_polling_callback(loop, polling):
    done = []
    timer = loop.timer_new(lambda: done.append(1))

    def run_it():
        timer.mod_ns(0)
        loop.wait(True)

    polling(loop, run_it)
    in_a_thread(lambda: loop.run_until(lambda: done))
    assert done


def test_a_polling_callback_that_waits_keeps_nobody_awake(loop):
    """Where nothing came of it, the iteration sleeps."""
    calls = []
    inside = []

    def poll(opaque):
        calls.append(1)
        if not inside:
            inside.append(1)
            loop.wait(True)
            inside.clear()
        return 0

    loop._add_polling_callback(poll, None)
    in_a_thread(lambda: loop.run_until(lambda: False, timeout=0.1))
    loop._remove_polling_callback(poll, None)
    assert len(calls) <= 8


def test_a_run_that_is_refused_leaves_the_stop_to_the_one_in_progress(loop):
    entered, go_on = threading.Event(), threading.Event()

    def hold():
        entered.set()
        assert go_on.wait(20)

    bh = loop.bh_new(hold)
    bh.schedule()
    runner = threading.Thread(target=loop.run, daemon=True)
    runner.start()
    assert entered.wait(20)
    loop.stop()
    with pytest.raises(RuntimeError, match="polled by another thread"):
        loop.run()
    go_on.set()
    runner.join(20)
    assert not runner.is_alive()
