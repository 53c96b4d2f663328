"""The stopped virtual clock moved by hand: deadline by deadline, and what may refuse it."""

import gc
import threading

import pytest

import qemu_mainloop as q
from qemu_mainloop import Clock

pytestmark = pytest.mark.timeout(20)


def test_step_moves_the_clock_and_returns_the_new_time(virtual, base):
    assert q.clock_step(1000) == base + 1000 == virtual()


def test_set_moves_the_clock_and_returns_the_new_time(virtual, base):
    assert q.clock_set(base + 500) == base + 500 == virtual()
    assert q.clock_set(base + 500) == base + 500


def test_step_runs_each_timer_at_its_deadline(noted, calls, virtual, base):
    """Row "virtual clock": deadline by deadline."""
    for name, after_ns in (("c", 300), ("a", 100), ("late", 1001), ("b", 200), ("b2", 200)):
        noted(name, after_ns)
    q.clock_step(1000)
    assert calls == [("a", 100), ("b", 200), ("b2", 200), ("c", 300)]
    assert virtual() == base + 1000
    q.clock_step(1)
    assert calls[-1] == ("late", 1001)


def test_set_runs_each_timer_at_its_deadline(noted, calls, base):
    """Row "virtual clock": deadline by deadline."""
    noted("b", 20)
    noted("a", 10)
    q.clock_set(base + 20)
    assert calls == [("a", 10), ("b", 20)]


def test_step_by_nothing_runs_what_is_due_now(noted, calls):
    """F3: a timer exactly at the clock's time has expired."""
    noted("t", 0)
    q.clock_step(0)
    assert calls == [("t", 0)]


def test_step_runs_a_periodic_timer_at_each_of_its_deadlines(loop, calls, virtual, base):
    """Row "virtual clock": what a callback arms within the step is run within it."""

    def tick():
        calls.append(virtual() - base)
        timer.mod_ns(virtual() + 100)

    timer = loop.timer_new(tick, Clock.VIRTUAL)
    timer.mod_ns(base + 100)
    q.clock_step(450)
    assert calls == [100, 200, 300, 400]
    timer.delete()


def test_step_runs_a_timer_that_rearms_itself_as_due_a_bounded_number_of_times(
        loop, calls, virtual, base):
    """Row "timers", C17, F8: armed as due by its own callback, it does not hold the clock."""

    def again():
        calls.append(1)
        if len(calls) < 100:
            timer.mod_ns(virtual())

    timer = loop.timer_new(again, Clock.VIRTUAL)
    timer.mod_ns(base + 10)
    assert q.clock_step(1_000_000) == base + 1_000_000
    assert len(calls) <= 2
    timer.delete()


def test_step_runs_the_timers_of_all_loops_of_this_thread_in_order_of_time(
        loop, main_loop, fdmon, noted, calls):
    """Row "virtual clock": of the main loop and of contexts of the calling thread."""
    with q.MainLoop(fdmon=fdmon) as other:
        noted("one", 30)
        noted("other", 20, other)
        noted("main", 10, main_loop)
        noted("main later", 40, main_loop)
        q.clock_step(50)
    assert calls == [("main", 10), ("other", 20), ("one", 30), ("main later", 40)]


def test_step_holds_the_iothread_lock_in_the_main_loops_timers(main_loop, virtual, base, calls):
    """Row "who holds it": through every callback of the main loop."""
    timer = main_loop.timer_new(
        lambda: calls.append(q.qemu_mutex_iothread_locked()), Clock.VIRTUAL)
    timer.mod_ns(base + 1)
    q.clock_step(1)
    assert calls == [True]
    assert not q.qemu_mutex_iothread_locked()


def test_step_wakes_the_loop_of_another_thread(base):
    """Row "virtual clock": then wake the others."""
    fired = threading.Event()
    with q.IOThread("other") as io:
        timer = io.loop.timer_new(fired.set, Clock.VIRTUAL)
        timer.mod_ns(base + 100)
        q.clock_step(99)
        assert not fired.is_set()
        q.clock_step(1)
        assert fired.wait(10)
        del timer


def test_step_may_be_called_from_another_timers_callback(loop, noted, calls):
    noted("t", 5)
    timer = loop.timer_new(lambda: q.clock_step(5))
    timer.mod_ns(0)
    loop.wait(True)
    assert calls == [("t", 5)]


def test_step_leaves_descriptors_and_bottom_halves_alone(loop, pipe, noted, calls):
    loop.set_fd_handler(pipe[1], write=lambda: calls.append("fd"))
    bh = loop.bh_new(lambda: calls.append("bottom half"))
    bh.schedule()
    noted("t", 1)
    q.clock_step(1)
    assert calls == [("t", 1)]


def test_step_goes_on_to_the_next_deadline_behind_one_armed_for_the_past(
        loop, noted, calls, virtual, base):
    """What a callback arms for the past runs at the next instant, which is another timer's."""
    past = noted("past", 1000)
    setter = loop.timer_new(lambda: past.mod_ns(base + 5), Clock.VIRTUAL)
    setter.mod_ns(base + 10)
    for name, after_ns in (("third", 40), ("second", 30)):
        noted(name, after_ns)
    q.clock_step(100)
    assert calls == [("past", 30), ("second", 30), ("third", 40)]
    assert virtual() == base + 100


def test_a_destructor_steps_the_clock_while_its_loop_goes(virtual, base, pipe):
    """The loop is on its way out: its timers are not run any more, and the clock moves."""
    ran, stepped = [], []

    class Callback:
        def __call__(self):
            raise AssertionError("nothing came")

        def __del__(self):
            stepped.append(q.clock_step(10))

    def use_a_loop():
        loop = q.MainLoop()
        loop.set_fd_handler(pipe[0], Callback())
        loop.timer_new(lambda: ran.append(1), Clock.VIRTUAL).mod_ns(base + 5)

    use_a_loop()
    gc.collect()
    assert stepped == [base + 10]
    assert ran in ([], [1])
