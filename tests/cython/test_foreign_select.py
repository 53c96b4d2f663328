"""The main loop's descriptors under somebody else's select(), through the public headers."""

import resource

import pytest


@pytest.fixture
def many_descriptors():
    """Room for descriptors that do not fit an fd_set."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_foreign_loop_runs_what_select_says_and_the_bottom_halves(foreign_select):
    assert foreign_select.round_trip(True) == (True, 1, 1, 1)


def test_what_select_did_not_say_is_not_run(foreign_select):
    assert foreign_select.round_trip(False) == (True, 0, 1, 1)


def test_fill_lowers_no_maximum_and_clears_no_set(foreign_select):
    assert foreign_select.fill_keeps_what_is_there() == (True, True)


@pytest.mark.parametrize(("rc", "reads"), [(1, 1), (0, 0), (-1, 0)])
def test_poll_does_nothing_unless_the_result_is_positive(foreign_select, rc, reads):
    assert foreign_select.poll_of_nothing(rc) == reads


def test_a_descriptor_that_does_not_fit_is_left_out(foreign_select, many_descriptors):
    assert foreign_select.beyond_the_set() == (True, True, True, 1, 0)
