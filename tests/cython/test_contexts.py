"""Contexts of one's own from C, through the public headers."""

from errno import ECHILD, EDEADLK, EINVAL

import pytest

import qemu_mainloop


def test_poll_says_one_for_a_bottom_half_and_zero_for_notifications_and_idle_ones(contexts):
    assert contexts.results_of_poll() == (0, 0, 0, 1, 2)


def test_the_current_context_is_the_polled_one_inside_and_null_outside(contexts):
    assert contexts.current_context() == (True, True, True)


def test_a_oneshot_runs_once(contexts):
    assert contexts.oneshot() == (-EINVAL, 1, 1)


def test_a_oneshot_runs_on_the_main_loop_s_context(contexts):
    assert contexts.oneshot_on_the_main_loop() == (1, True)


def test_waiting_for_oneself_is_refused(contexts):
    assert contexts.barrier_in_its_own_thread() == -EDEADLK


def test_a_nested_poll_runs_what_was_scheduled_inside_once(contexts):
    assert contexts.nested_poll() == (1, 1, 1)


def test_a_context_lives_until_its_last_reference(contexts):
    assert contexts.two_references() == 1


def test_an_fd_handler_waits_for_can_read_and_ends_with_its_removal(contexts):
    assert contexts.fd_handler() == (0, 1, 0, 1)


def test_a_due_timer_runs(contexts):
    assert contexts.timer() == 1


@pytest.mark.parametrize("name", qemu_mainloop.fdmons())
def test_every_fdmon_can_be_chosen(contexts, name):
    assert contexts.fdmon(name.encode()) == (0, name.encode())


def test_null_chooses_the_best_fdmon_and_a_wrong_name_none(contexts):
    best = qemu_mainloop.fdmons()[0].encode()
    assert contexts.fdmon(None) == (0, best)
    assert contexts.fdmon(b"select") == (-EINVAL, best)


def test_busy_polling_can_be_set_and_a_negative_time_cannot(contexts):
    assert contexts.poll_params(1000, 2, 2) == (0, 1)
    assert contexts.poll_params(-1, 0, 0) == (-EINVAL, 1)


def test_the_descriptor_of_a_context_is_readable_once_something_is_scheduled(contexts):
    assert contexts.hosted() == (True, 1)


@pytest.mark.parametrize("status", [0, 7])
def test_a_child_watch_calls_with_the_status_and_not_inside_the_call(contexts, status):
    assert contexts.child_watch(status) == (0, 1, 0, 1, True, status)


def test_only_children_can_be_watched(contexts):
    assert contexts.bad_children() == (-EINVAL, -EINVAL, -ECHILD, -ECHILD)


def test_the_main_loop_reaps_a_watched_child(contexts, main_loop):
    reaped = contexts.main_loop_child_watch(
        lambda: main_loop.run_until(lambda: main_loop.info()["child_watches"] == 0))
    assert reaped == ((0, 1), -1)
