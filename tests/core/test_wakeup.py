"""Waking a loop: no system call for one that is awake, and no lost notification."""

import os
import select
import threading

import pytest


@pytest.fixture
def sleeper(probe_wakeup):
    sleeper = probe_wakeup.Sleeper()
    yield sleeper
    sleeper.close()


def writes(sleeper):
    """How often the notifier was written since the last time."""
    try:
        return int.from_bytes(os.read(sleeper.notifier, 8), "little")
    except BlockingIOError:
        return 0


@pytest.mark.parametrize("how", ["kick", "notify", "notify_others"])
def test_an_awake_loop_costs_no_write(sleeper, how):
    for _ in range(3):
        getattr(sleeper, how)()
    assert writes(sleeper) == 0


@pytest.mark.parametrize("how", ["kick", "notify", "notify_others"])
def test_a_sleeping_loop_is_written_to(sleeper, how):
    sleeper.prepare_sleep()
    getattr(sleeper, how)()
    assert writes(sleeper) == 1
    sleeper.end_sleep()
    getattr(sleeper, how)()
    assert writes(sleeper) == 0


def test_a_kick_is_no_notification(sleeper):
    sleeper.prepare_sleep()
    sleeper.kick()
    assert not sleeper.is_notified()


def test_a_notification_is_sticky(sleeper):
    sleeper.notify()
    assert sleeper.is_notified()
    sleeper.prepare_sleep()
    assert sleeper.is_notified()                     # so it does not block
    sleeper.end_sleep()
    assert sleeper.is_notified()
    sleeper.accept()
    assert not sleeper.is_notified()
    sleeper.accept()
    assert not sleeper.is_notified()


def test_the_write_is_not_skipped_for_a_second_notification(sleeper):
    """Whoever was first may not have come to writing."""
    sleeper.notify()
    sleeper.prepare_sleep()
    sleeper.notify()
    assert writes(sleeper) == 1


def test_accepting_leaves_the_notifier_alone(sleeper):
    sleeper.prepare_sleep()
    sleeper.notify()
    sleeper.accept()
    assert select.select([sleeper.notifier], [], [], 0)[0]
    sleeper.clear()
    assert not select.select([sleeper.notifier], [], [], 0)[0]
    sleeper.clear()                                  # nothing there: does not block


def test_a_sleep_in_the_kernel_ends(sleeper):
    sleeper.prepare_sleep()
    waker = threading.Thread(target=sleeper.notify)
    waker.start()
    assert select.select([sleeper.notifier], [], [], 20)[0]
    waker.join()
    assert sleeper.is_notified()


def test_a_parents_notifier_is_not_written(sleeper):
    sleeper.set_parents()
    sleeper.prepare_sleep()
    sleeper.kick()
    sleeper.notify()
    assert sleeper.is_notified() and writes(sleeper) == 0


def test_whose_it_is(sleeper):
    assert sleeper.is_mine()                         # nobody polls
    sleeper.claim()
    assert sleeper.is_mine()
    sleeper.claim_for_another()
    assert not sleeper.is_mine()


def test_own_changes_need_no_notification(sleeper):
    sleeper.claim()
    sleeper.notify_others()
    assert not sleeper.is_notified()


def test_changes_from_elsewhere_do(sleeper):
    sleeper.claim_for_another()
    sleeper.notify_others()
    assert sleeper.is_notified()


def test_changes_on_the_way_to_sleep_do(sleeper):
    """A signal handler's doing, after the loop's last look."""
    sleeper.claim()
    sleeper.prepare_sleep()
    sleeper.notify_others()
    assert sleeper.is_notified() and writes(sleeper) == 1


def test_changes_to_a_hosted_loop_do(sleeper):
    sleeper.claim()
    sleeper.set_hosted(True)
    sleeper.notify_others()
    assert sleeper.is_notified()
