"""Threads without the GIL do everything to one loop at a time, under a storm of signals."""

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("mode", ["own", "hosted"])
def test_a_storm_on_a_loop(storm, seed, times, fdmon, mode):
    """Nothing is lost, nothing comes after the barrier, everything within the deadline."""
    counts = storm.storm(seed, times(700), mode, fdmon)
    assert counts["polls"] and counts["struck"] and counts["barriers"]


@pytest.mark.parametrize("mode", ["own", "hosted"])
def test_a_storm_with_forks_in_the_middle(storm, seed, times, fdmon, mode):
    """The child's loop works and the parent's does not notice."""
    counts = storm.storm(seed, times(700), mode, fdmon, forks=True)
    assert counts["forks"]


@pytest.mark.parametrize("forks", [False, True])
def test_a_storm_on_the_main_loop(storm, seed, times, main_loop, forks):
    """With the iothread lock, which is also a way to know that no callback runs."""
    counts = storm.storm(seed, times(700), "main", main_loop.fdmon, forks=forks)
    assert counts["polls"] and counts["struck"] and counts["barriers"]


def test_a_storm_of_eight_threads(storm, seed, times, fdmon):
    counts = storm.storm(seed, times(700), "own", fdmon, actors=8)
    assert counts["polls"]
