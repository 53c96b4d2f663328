"""IOThreads with C callbacks, through the public headers."""

from errno import EDEADLK


def test_a_callback_runs_in_its_thread_without_gil_and_iothread_lock(iothreads):
    assert iothreads.callback_in_its_thread() == (0, 1, True, True, 0, 0)


def test_stopping_twice_is_no_error(iothreads):
    assert iothreads.stopped_twice() == (0, 0)


def test_a_thread_cannot_end_itself_and_goes_on(iothreads):
    assert iothreads.ended_from_its_own_thread() == (-EDEADLK, EDEADLK, 1)


def test_after_removal_and_barrier_a_handler_never_runs(iothreads):
    assert iothreads.removed_then_barrier(200) == (True, 0)


def test_oneshots_of_one_thread_have_run_when_its_barrier_has(iothreads):
    assert iothreads.oneshots_run_before_the_barrier(1000) == 1000


def test_the_barrier_lets_the_gil_go(iothreads):
    assert iothreads.barrier_with_the_gil_held() == (0, 1)
