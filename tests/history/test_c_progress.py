"""Starvation, spinning, progress: bugs C1 to C18 of docs/reliability.md."""

import os
import threading
import time

import pytest
from sleeping import until_it_spins

import qemu_mainloop as q
from qemu_mainloop import Clock

pytestmark = [pytest.mark.slow, pytest.mark.timeout(60)]
MS = 1_000_000


def test_c2_a_wait_object_that_stays_signalled_starves_no_bottom_half_and_no_timer(header):
    calls = []
    event = os.eventfd(1)
    q.qemu_add_wait_object(event, lambda o: calls.append("object"), None)
    timer = header.timer_new(lambda: calls.append("timer"))
    bh = header.bh_new(lambda: calls.append("bottom half"))
    for _ in range(3):
        bh.schedule()
        timer.mod_ns(0)
        q.main_loop_wait(False)
    q.qemu_del_wait_object(event, None, None)
    os.close(event)
    assert calls == ["object", "timer", "bottom half"] * 3


def test_c6_busy_polling_looks_at_descriptors_too(loop, pipe):
    loop.poll_max_ns = 3600 * 10**9
    calls = []
    loop.set_fd_handler(pipe[0], lambda: calls.append(os.read(pipe[0], 1)))
    before = loop.info()["sleeps"]
    # Not in the main thread, which would end its wait now and then to look for signals.
    thread = threading.Thread(target=loop.run_until, args=(lambda: calls,), daemon=True)
    thread.start()
    while loop.info()["sleeps"] == before:
        os.sched_yield()
    until_it_spins(thread)
    os.write(pipe[1], b"x")
    thread.join(20)
    assert not thread.is_alive()


def sleep_until_fired(loop, ns):
    fired = []
    timer = loop.timer_new(lambda: fired.append(1))
    timer.mod_ns(q.clock_get_ns() + ns)
    while not fired:
        loop.wait()


def test_c7_busy_polling_ends_where_nothing_comes_in_time(loop):
    loop.poll_max_ns = 200_000
    assert loop.info()["poll_ns"] == 200_000
    sleep_until_fired(loop, 2 * MS)
    assert loop.info()["poll_ns"] == 0


def test_c7_the_time_of_a_slow_handler_is_not_waiting_time(loop, pipe):
    loop.poll_max_ns = 100 * MS
    os.write(pipe[1], b"x")
    loop.set_fd_handler(pipe[0], lambda: time.sleep(0.15))
    for _ in range(2):
        assert loop.wait() == 1
    assert loop.info()["poll_ns"] == 100 * MS


def test_c9_one_that_is_ready_to_be_written_is_not_read(loop, sockets):
    calls = []
    a, b = sockets
    loop.set_fd_handler(a, lambda: calls.append("read"), lambda: calls.append("write"))
    assert loop.wait() == 1
    assert calls == ["write"]
    b.send(b"x")
    assert loop.wait() == 1
    assert calls == ["write", "read", "write"]


@pytest.mark.parametrize("kind", ["timer", "bottom half", "descriptor"])
def test_c11_the_first_of_two_may_wait_for_the_second(loop, sockets, kind):
    """Both are due in the same phase; the first one's nested wait must not sleep over it."""
    done = []

    def first():
        if not done:
            done.append("first")
            assert loop.run_until(lambda: "second" in done, timeout=10)

    def second():
        if "first" in done:
            done.append("second")

    before = loop.info()["sleeps"]
    if kind == "timer":
        timers = [loop.timer_new(first), loop.timer_new(second)]
        for timer in timers:
            timer.mod_ns(1)
    elif kind == "bottom half":
        for callback in (first, second):
            loop.bh_new(callback).schedule()
    else:
        # Whichever comes first waits for the other.
        for mine, other in (sockets, sockets[::-1]):
            other.send(b"x")
            loop.set_fd_handler(
                mine, lambda mine=mine: (mine.recv(1), second() if done else first()))
    loop.wait(True)
    assert done == ["first", "second"]
    assert loop.info()["sleeps"] == before


def test_c12_long_chains_need_no_stack(elsewhere):
    """Bottom halves that wake each other, and one-shots that make the next one."""
    assert elsewhere("memory.chained(300000)") == [300_000, 300_000]


def test_c13_a_signal_that_came_is_read_and_makes_no_second_iteration(elsewhere):
    ran, iterations = elsewhere("signals.iterations_after_a_signal()")
    assert ran == 1
    assert iterations <= 3


@pytest.mark.parametrize("when", [2**63 - 1, 2**63 - 2, 2**62, 4 * 10**18])
@pytest.mark.parametrize("clock", [Clock.REALTIME, Clock.HOST, Clock.VIRTUAL])
def test_c14_a_timer_in_the_far_future_lets_the_loop_sleep(loop, clock, when):
    fired = []
    far = loop.timer_new(lambda: fired.append("far"), clock)
    far.mod_ns(when)
    q.clock_enable(Clock.VIRTUAL, True)
    try:
        before = loop.info()["iterations"]
        sleep_until_fired(loop, 10 * MS)
        assert loop.info()["iterations"] - before <= 4
    finally:
        q.clock_enable(Clock.VIRTUAL, False)
    assert fired == []
    far.delete()


@pytest.mark.parametrize("clock", [Clock.REALTIME, Clock.HOST, Clock.VIRTUAL])
def test_c14_a_timeout_is_not_what_its_lowest_32_bits_say(loop, clock):
    """They say 5 ms, the timer some weeks."""
    far = loop.timer_new(lambda: None, clock)
    q.clock_enable(Clock.VIRTUAL, True)
    try:
        far.mod_ns(q.clock_get_ns(clock) + 2**32 * 1_000_000 + 5 * MS)
        before = loop.info()["sleeps"]
        woke = threading.Event()
        thread = threading.Thread(target=lambda: (loop.wait(), woke.set()))
        thread.start()
        while loop.info()["sleeps"] == before:
            os.sched_yield()
        assert not woke.wait(0.05)
        loop.notify()
        thread.join()
    finally:
        q.clock_enable(Clock.VIRTUAL, False)
    far.delete()


def test_c15_changes_that_nobody_takes_up_do_not_pile_up(elsewhere, fdmon):
    bytes_, calls = elsewhere(f"memory.changed_unpolled({fdmon.encode()!r}, 20000)")
    assert bytes_ < 4096
    assert calls == 1
