"""Many C threads use the loop at once."""

import pytest


@pytest.mark.parametrize("schedules", [
    100_000, pytest.param(10_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_four_threads_schedule_while_handlers_come_and_go_and_nothing_is_lost(
        producers, schedules):
    iterations, changes = producers.nothing_is_lost(schedules)
    assert iterations > 0
    assert changes > 0


def test_four_threads_make_and_delete_what_the_loop_has(producers):
    """None of them holds a lock: the books of a loop are for all threads (section 2)."""
    assert producers.all_come_and_go(2_000) > 0
