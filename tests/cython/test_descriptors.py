"""Descriptors, wait objects and polling callbacks from C, through the public headers."""

from errno import EBADF, EBUSY, EEXIST


def test_read_runs_before_write_and_the_descriptor_counts_once(descriptors):
    assert descriptors.read_and_write() == (1, 0, "rw")


def test_one_that_removes_all_is_the_only_one_that_runs(descriptors):
    assert descriptors.removed_inside() == "x"


def test_a_replacement_made_inside_waits_for_the_next_iteration(descriptors):
    assert descriptors.replaced_inside() == ("x", "rw")


def test_one_added_inside_waits_for_the_next_iteration(descriptors):
    assert descriptors.added_inside() == ("x", "r")


def test_fd_read_poll_is_asked_once_an_iteration_and_holds_reading_back(descriptors):
    assert descriptors.gated() == (0, 1, "??r")


def test_a_nested_wait_runs_each_handler_once(descriptors):
    result, story = descriptors.nested_wait()
    assert result in (1, 2)      # the nested wait may have counted the other one
    assert story in ("abBA", "baAB", "aAbB", "bBaA")


def test_a_wait_object_runs_when_signalled_and_not_after_its_removal(descriptors):
    assert descriptors.wait_object() == (0, -EEXIST, -EBUSY, -EBADF, 1, 0, 0, "o")


def test_a_wait_object_may_delete_itself(descriptors):
    assert descriptors.wait_object_that_deletes_itself() == "d"


def test_polling_callbacks_run_in_order_and_one_may_delete_itself(descriptors):
    assert descriptors.polling_callbacks() == (0, "a1!a|!a|")


def test_a_polling_callback_that_insists_does_not_hide_descriptors(descriptors):
    assert descriptors.polling_does_not_hide_descriptors() == (1, "!r")


def test_a_descriptor_that_is_not_open_is_refused(descriptors):
    assert descriptors.bad_descriptor() == (-EBADF, -EBADF)
