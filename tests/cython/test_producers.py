"""Many C threads schedule at once: nothing is lost."""

import pytest


@pytest.mark.parametrize("schedules", [
    100_000, pytest.param(10_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_four_threads_schedule_while_handlers_come_and_go_and_nothing_is_lost(
        producers, schedules):
    iterations, changes = producers.nothing_is_lost(schedules)
    assert iterations > 0
    assert changes > 0
