"""Notifications: sticky, coalesced, from callbacks and from other threads."""

import os
import threading

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)


def sleeps(loop):
    return loop.info()["sleeps"]


def test_notification_makes_the_next_blocking_wait_return_at_once(loop):
    """Row "notification": sticky; row "main_loop_wait returns": counts 0."""
    loop.notify()
    assert loop.wait() == 0
    assert sleeps(loop) == 0


def test_several_notifications_make_one_blocking_wait_return(loop, iterations_in):
    """Row "notification": at once, once."""
    for _ in range(10):
        loop.notify()
    loop.wait()
    assert sleeps(loop) == 0
    assert iterations_in(loop, 20) <= 3
    assert sleeps(loop) >= 1


def test_notification_seen_by_a_non_blocking_wait_is_gone(loop, iterations_in):
    """Row "notification": one since the loop last looked."""
    loop.notify()
    loop.wait(True)
    timer = loop.timer_new(lambda: None)
    timer.mod_ns(q.clock_get_ns() + 5_000_000)
    loop.wait()
    assert sleeps(loop) == 1
    assert not timer.pending


@pytest.mark.parametrize("phase", ["descriptor", "timer", "bottom half"])
def test_notification_from_a_callback_makes_the_next_wait_return(loop, pipe, phase):
    """Row "notification": never lost, in whatever phase it is sent (A3)."""
    if phase == "descriptor":
        loop.set_fd_handler(pipe[1], write=lambda: (loop.set_fd_handler(pipe[1]), loop.notify()))
    elif phase == "timer":
        timer = loop.timer_new(loop.notify)
        timer.mod_ns(0)
    else:
        loop.bh_new(loop.notify).schedule()
    loop.wait(True)
    assert loop.wait() == 0
    assert sleeps(loop) == 0


def test_notification_from_another_thread_ends_a_sleep(loop):
    """Row "blocking wait": until a notification."""

    def other():
        while sleeps(loop) == 0:
            os.sched_yield()
        loop.notify()

    thread = threading.Thread(target=other)
    thread.start()
    assert loop.wait() == 0
    thread.join()


def test_registrations_in_the_loops_own_thread_do_not_notify(loop, pipe):
    """Row "notification": they take effect in its next wait."""
    loop.set_fd_handler(pipe[0], read=print)
    timer = loop.timer_new(lambda: None)
    timer.mod_ns(q.clock_get_ns() + 5_000_000)
    loop.wait()
    assert not timer.pending
    assert sleeps(loop) == 1


def test_registration_from_another_thread_wakes_a_sleeping_loop(loop, pipe, calls):
    """Row "notification": registrations from other threads notify (A14)."""

    def other():
        while sleeps(loop) == 0:
            os.sched_yield()
        loop.set_fd_handler(pipe[1], write=lambda: calls.append("write"))

    thread = threading.Thread(target=other)
    thread.start()
    while not calls:
        loop.wait()
    thread.join()
