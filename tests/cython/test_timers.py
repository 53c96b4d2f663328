"""Timers and clocks from C, through the public headers."""

from errno import EBUSY, EINVAL

import pytest

REALTIME, VIRTUAL, HOST = range(3)


def test_scales_and_clocks_have_qemu_s_numbers(timers):
    assert timers.scales() == (1, 1000, 1000000, 1000000000)
    assert timers.clock_numbers() == (REALTIME, VIRTUAL, HOST)


@pytest.mark.parametrize("clock", [REALTIME, VIRTUAL, HOST])
def test_a_clock_says_the_same_in_every_unit(timers, clock):
    first, us, ms, last = timers.clock_units(clock)
    assert first // 1000 <= us and us // 1000 <= ms and ms * 1_000_000 <= last


@pytest.mark.parametrize("clock", [REALTIME, HOST])
def test_a_due_timer_runs_once(timers, clock):
    assert timers.due_timer(clock) == 1


def test_a_timer_never_runs_early(timers):
    assert all(timers.never_early(delay) >= 0 for delay in (1, 1_000, 1_000_000))


def test_a_time_is_in_the_timer_s_scale(timers):
    assert timers.expiry_by_scale(5) == [5, 5_000, 5_000_000]


def test_a_time_that_does_not_fit_saturates_and_a_negative_one_counts_as_zero(timers):
    latest = 2**63 - 1
    assert timers.expiry_by_scale(2**62) == [2**62, latest, latest]
    assert timers.expiry_by_scale(-5) == [0, 0, 0]


def test_arming_anticipating_and_deleting(timers):
    states, expired, never = timers.life()
    assert states == [(0, -1), (1, 0), (1, 0), (1, -1000), (1, -2000), (0, -1)]
    assert expired == (0, 1)
    assert never == 0


def test_a_timer_without_callback_scale_or_clock_is_refused(timers):
    assert timers.refused() == (True, True, True)


def test_a_deadline_is_none_ahead_due_or_disabled(timers):
    assert timers.deadlines() == [-1, True, 0, -1]


def test_run_timers_runs_what_is_due_unless_the_clock_is_disabled(timers):
    assert timers.run_by_hand() == (0, 1, 0, 1)


def test_a_step_runs_what_is_due_deadline_by_deadline(timers):
    assert timers.stepped() == ([10, 20, 30], 25, 40)


def test_a_step_backwards_inside_a_timer_or_of_a_running_clock_is_refused(timers):
    assert timers.refused_steps() == [-EINVAL, -EINVAL, -EBUSY, -EBUSY]


def test_equal_deadlines_run_in_the_order_of_arming(timers):
    assert timers.equal_deadlines(5) == [4, 3, 2, 1, 0]


def test_one_armed_for_the_past_by_its_callback_runs_in_the_next_iteration(timers):
    assert timers.rearmed_for_the_past(3) == 3 + 1
