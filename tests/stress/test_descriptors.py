"""Descriptors that are closed and used again under the loop, and very many of them."""

import resource

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.mark.parametrize("mode", ["own", "hosted"])
def test_closed_duplicated_and_used_again(descriptors, seed, times, fdmon, mode):
    """Rows "descriptor closed while registered" and D6: nobody else notices."""
    counts = descriptors.churn(seed, times(500), mode, fdmon)
    assert counts["closed"] and counts["reused"] and counts["duplicated"]


@pytest.fixture
def room_for_many():
    """A limit that admits ten thousand descriptors."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert before[1] >= 10_200, "the hard limit of open files is too low for this test"
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(before[0], 10_200), before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_ten_thousand_descriptors(descriptors, seed, times, fdmon, room_for_many):
    """A random part of them is ready, all of that is served, and once."""
    counts = descriptors.many(seed, 10_000, times(20), fdmon)
    assert counts["many_served"] > 10_000
