"""Bottom halves scheduled by the thread that polls, which keeps them in a list of its own: the
order and all else is that of any other thread's."""

import os
import signal
import threading

import pytest

pytestmark = pytest.mark.timeout(20)


def elsewhere(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def test_threads_in_turn_keep_the_order(loop):
    order = []
    halves = [loop.bh_new(lambda n=n: order.append(n)) for n in range(8)]

    def schedule_all():
        for n, bh in enumerate(halves):
            if n % 4 in (1, 2):
                elsewhere(bh.schedule)
            else:
                bh.schedule()

    loop.bh_new(schedule_all).schedule()
    loop.wait(True)
    assert order == list(range(8))


def test_what_ran_already_runs_in_the_next_iteration_in_order(loop):
    order = []
    first = loop.bh_new(lambda: order.append("first"))
    second = loop.bh_new(lambda: order.append("second"))

    def last():
        order.append("last")
        if len(order) == 3:
            second.schedule()
            elsewhere(first.schedule)
            last_bh.schedule()

    last_bh = loop.bh_new(last)
    for bh in (first, second, last_bh):
        bh.schedule()
    loop.wait(True)
    assert order == ["first", "second", "last"]
    loop.wait()
    assert order[3:] == ["second", "first", "last"]
    assert loop.info()["sleeps"] == 0


def test_cancelled_and_idle_ones(loop):
    order = []
    halves = [loop.bh_new(lambda n=n: order.append(n)) for n in range(4)]

    def schedule():
        for bh in halves:
            bh.schedule()
        halves[0].cancel()
        halves[1].cancel()
        halves[1].schedule()
        halves[2].delete()
        halves[3].schedule_idle()
        halves[3].schedule()

    loop.bh_new(schedule).schedule()
    loop.wait(True)
    assert order == [1, 3]
    loop.wait(True)
    assert order == [1, 3]
    assert not any(bh.scheduled for bh in halves)


def test_a_nested_iteration_takes_them(loop):
    order = []
    inner = loop.bh_new(lambda: order.append("inner"))

    def outer():
        inner.schedule()
        loop.wait(True)
        order.append("outer")
        inner.schedule()
        outer_bh.schedule()

    outer_bh = loop.bh_new(outer)
    outer_bh.schedule()
    loop.wait(True)
    assert order == ["inner", "outer"]
    outer_bh.cancel()
    loop.wait(True)
    assert order == ["inner", "outer", "inner"]


@pytest.fixture
def a_signal_soon():
    """a_signal_soon(function): a signal handler calls it in a moment."""
    old = signal.getsignal(signal.SIGUSR1)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1))

    def arrange(function):
        signal.signal(signal.SIGUSR1, lambda *_: function())
        timer.start()

    yield arrange
    timer.join()
    signal.signal(signal.SIGUSR1, old)


@pytest.mark.posix_only(reason="there is no kill()")
@pytest.mark.parametrize("run", [True, False], ids=["run", "wait"])
def test_a_python_signal_handler_before_the_sleep(loop, a_signal_soon, run):
    calls = []

    def callback():
        calls.append(1)
        loop.stop()

    a_signal_soon(loop.bh_new(callback).schedule)
    if run:
        loop.run()
    while not calls:
        loop.wait()
    assert calls == [1]


@pytest.mark.posix_only(reason="there is no fork")
@pytest.mark.thread_unsafe(reason="fork")
def test_a_forked_child_has_them(loop):
    order = []
    halves = [loop.bh_new(lambda n=n: order.append(n)) for n in range(3)]
    child = []

    def callback():
        for bh in halves:
            bh.schedule()
        child.append(os.fork())

    loop.bh_new(callback).schedule()
    loop.wait(True)
    if child[0] == 0:
        try:
            loop.wait(True)
            os._exit(0 if order == [0, 1, 2] else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child[0], 0)[1]) == 0
    assert order == [0, 1, 2]


def test_some_ran_already_and_some_did_not(loop):
    order = []
    a, b, c = (loop.bh_new(lambda name=name: order.append(name)) for name in "abc")

    def schedule():
        for bh in (a, c, b):
            bh.schedule()

    a.schedule()
    b.schedule()
    loop.bh_new(schedule).schedule()
    loop.wait(True)
    assert order == ["a", "b", "c"]
    loop.wait()
    assert order == ["a", "b", "c", "a", "b"]
    assert loop.wait(True) == 0
    assert len(order) == 5


@pytest.mark.parametrize("between", ["schedule", "nested"])
def test_one_that_schedules_itself_around_a_nested_iteration(loop, between):
    order = []

    def other():
        order.append("other")

    def again():
        order.append("again")
        if len(order) == 1:
            again_bh.schedule()
            if between == "schedule":
                other_bh.schedule()
            loop.wait(True)
            order.append("back")
            again_bh.schedule()

    again_bh, other_bh = loop.bh_new(again), loop.bh_new(other)
    again_bh.schedule()
    loop.wait(True)
    nested = ["again", "other"] if between == "schedule" else ["again"]
    assert order == ["again", *nested, "back"]
    loop.wait()
    assert order == ["again", *nested, "back", "again"]


def test_what_a_timer_schedules_after_its_phase_ran_it_runs_in_the_next_phase(loop):
    calls = []
    bh = loop.bh_new(lambda: calls.append(1))
    timer = loop.timer_new(bh.schedule)
    for n in range(1, 4):
        timer.mod_ns(0)
        loop.wait(True)
        assert len(calls) == n
