"""The iothread lock from C threads, through the public headers."""

from errno import EDEADLK, EPERM


def test_misuse_sets_errno_and_does_nothing(locking):
    assert locking.misused() == {
        "held_first": 0, "held_then": 1, "twice_errno": EDEADLK, "held_last": 0,
        "back_errno": EPERM}


def test_a_wait_takes_the_lock_for_its_callbacks_and_keeps_that_of_its_caller(locking):
    assert locking.held_in_callbacks() == (1, 0, 1)


def test_threads_and_callbacks_exclude_one_another_and_nobody_starves(locking):
    counted, expected = locking.excluded()
    assert counted == expected
