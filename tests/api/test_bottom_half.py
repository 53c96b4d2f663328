"""Bottom halves: when they run, how often, in which order."""

import os
import random
import threading

import pytest

pytestmark = pytest.mark.timeout(20)


def test_scheduled_one_runs_once_and_counts_nothing(loop):
    """Row "main_loop_wait returns": bottom halves count 0."""
    calls = []
    loop.bh_new(lambda: calls.append(1)).schedule()
    assert calls == []
    assert loop.wait() == 0
    assert calls == [1]
    assert loop.wait(True) == 0
    assert calls == [1]


def test_scheduling_often_before_it_runs_is_one_run(loop):
    calls = []
    bh = loop.bh_new(lambda: calls.append(1))
    for _ in range(5):
        bh.schedule()
    loop.wait(True)
    loop.wait(True)
    assert calls == [1]


def test_one_that_schedules_itself_runs_once_an_iteration(loop):
    """Row "scheduled inside a bottom half": at most once an iteration (C1)."""
    calls = []

    def callback():
        calls.append(1)
        if len(calls) < 10:
            bh.schedule()

    bh = loop.bh_new(callback)
    bh.schedule()
    for n in range(1, 11):
        loop.wait(n % 2 == 0)
        assert len(calls) == n
    loop.wait(True)
    assert len(calls) == 10


def test_one_that_schedules_itself_keeps_the_loop_from_sleeping(loop):
    """Row "scheduled inside a bottom half": the loop does not sleep."""
    bh = loop.bh_new(lambda: bh.schedule())
    bh.schedule()
    for _ in range(5):
        loop.wait()
    assert loop.info()["sleeps"] == 0
    bh.delete()


def test_one_that_schedules_itself_lets_descriptors_and_timers_have_their_turn(loop, pipe):
    """Row "scheduled inside a bottom half": others still get their turn (C1, C4)."""
    calls = []
    bh = loop.bh_new(lambda: bh.schedule())
    timer = loop.timer_new(lambda: calls.append("timer"))
    loop.set_fd_handler(pipe[0], read=lambda: calls.append(os.read(pipe[0], 1)))
    bh.schedule()
    loop.wait()
    os.write(pipe[1], b"x")
    timer.mod_ns(0)
    assert loop.wait() == 1
    assert calls == [b"x", "timer"]
    bh.delete()


def test_one_that_schedules_itself_lets_another_thread_run(loop):
    """Row "scheduled inside a bottom half": other threads get their turn (C4)."""
    done = []
    bh = loop.bh_new(lambda: bh.schedule())
    bh.schedule()
    thread = threading.Thread(target=lambda: done.append(1))
    thread.start()
    assert loop.run_until(lambda: done, timeout=10)
    thread.join()
    bh.delete()


def test_order_is_that_of_scheduling_not_of_making(loop):
    """Row "bottom-half order": first in, first out."""
    calls = []
    bhs = {name: loop.bh_new(lambda name=name: calls.append(name)) for name in "ABC"}
    for name in "CAB":
        bhs[name].schedule()
    loop.wait(True)
    assert calls == ["C", "A", "B"]


def test_order_of_a_thousand(loop):
    """Row "bottom-half order": first in, first out."""
    calls = []
    bhs = [loop.bh_new(lambda i=i: calls.append(i)) for i in range(1000)]
    order = list(range(1000))
    random.Random(1).shuffle(order)
    for i in order:
        bhs[i].schedule()
    loop.wait(True)
    assert calls == order


def test_order_of_one_thread_is_kept_when_several_schedule(loop):
    """Row "bottom-half order": for each scheduling thread."""
    calls = []

    def schedule(name):
        for i in range(200):
            loop.bh_new(lambda i=i: calls.append((name, i))).schedule()

    threads = [threading.Thread(target=schedule, args=(name,)) for name in "ABC"]
    for thread in threads:
        thread.start()
    assert loop.run_until(lambda: len(calls) == 600, timeout=10)
    for thread in threads:
        thread.join()
    for name in "ABC":
        assert [i for who, i in calls if who == name] == list(range(200))


def test_one_scheduled_inside_another_runs_in_the_same_phase(loop):
    """Row "scheduled inside a bottom half": the same phase, whoever is older."""
    calls = []
    older = loop.bh_new(lambda: calls.append("older"))
    middle = loop.bh_new(lambda: (calls.append("middle"), older.schedule(), newer.schedule()))
    newer = loop.bh_new(lambda: calls.append("newer"))
    middle.schedule()
    loop.wait(True)
    assert calls == ["middle", "older", "newer"]


def test_one_made_inside_another_runs_in_the_same_phase(loop):
    """Row "scheduled inside a bottom half"."""
    calls = []
    outer = loop.bh_new(lambda: loop.bh_new(lambda: calls.append("inner")).schedule())
    outer.schedule()
    loop.wait(True)
    assert calls == ["inner"]


def test_two_that_schedule_each_other_run_once_each_an_iteration(loop):
    """Row "scheduled inside a bottom half": each at most once an iteration."""
    calls = []
    ping = loop.bh_new(lambda: (calls.append("ping"), pong.schedule()))
    pong = loop.bh_new(lambda: (calls.append("pong"), ping.schedule()))
    ping.schedule()
    for n in range(1, 4):
        loop.wait()
        assert calls == ["ping", "pong"] * n
    ping.delete()
    pong.delete()
