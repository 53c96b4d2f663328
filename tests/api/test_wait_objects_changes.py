"""Wait objects deleted, added again, closed, while others are signalled."""

import os

import pytest
from wait_objects import add_event

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)


def test_same_handle_twice_is_refused(header, events, calls):
    """The header's -EEXIST."""
    add_event(events[0], calls, opaque=1)
    with pytest.raises(FileExistsError):
        q.qemu_add_wait_object(events[0], print, 2)
    os.eventfd_write(events[0], 1)
    assert q.main_loop_wait(True) == 1
    assert calls == [1]


def test_deleted_object_calls_nobody(header, events, calls):
    func = add_event(events[0], calls)
    os.eventfd_write(events[0], 1)
    q.qemu_del_wait_object(events[0], func, "opaque")
    assert q.main_loop_wait(True) == 0
    assert calls == []


def test_delete_matches_the_handle_alone(header, events, calls):
    """The header's qemu_del_wait_object(): func and opaque do not matter."""
    add_event(events[0], calls)
    q.qemu_del_wait_object(events[0], None, "another")
    os.eventfd_write(events[0], 1)
    assert q.main_loop_wait(True) == 0


def test_deleting_what_is_not_there_is_no_error(header, events, calls):
    q.qemu_del_wait_object(events[0], None, None)
    q.qemu_del_wait_object(999_999, None, None)


def test_deleted_object_may_be_added_again(header, events, calls):
    func = add_event(events[0], calls, opaque=1)
    q.qemu_del_wait_object(events[0], func, 1)
    add_event(events[0], calls, opaque=2)
    os.eventfd_write(events[0], 1)
    assert q.main_loop_wait(True) == 1
    assert calls == [2]


def test_object_may_delete_itself_and_the_next_one_is_still_called(header, events, calls):
    """Row "changed during dispatch": QEMU skips the next one here."""

    def func(o):
        calls.append(o)
        q.qemu_del_wait_object(events[o], func, o)

    for i, fd in enumerate(events):
        q.qemu_add_wait_object(fd, func, i)
        os.eventfd_write(fd, 1)
    assert q.main_loop_wait(True) == 2
    assert sorted(calls) == [0, 1]
    assert q.main_loop_wait(True) == 0


def test_object_that_deletes_another_signalled_one_keeps_it_from_running(header, events, calls):
    """Row "changed during dispatch": a removed one does not run."""
    for i, fd in enumerate(events):
        q.qemu_add_wait_object(
            fd, lambda o: (calls.append(o), q.qemu_del_wait_object(events[1 - o], None, None)), i)
        os.eventfd_write(fd, 1)
    assert q.main_loop_wait(True) == 1
    assert len(calls) == 1


@pytest.mark.posix_only(reason="sockets alone have fd handlers")
@pytest.mark.parametrize("first", ["wait object", "fd handler"])
def test_number_is_a_wait_object_or_has_an_fd_handler(header, events, calls, first):
    """Row "fd handler": one per descriptor; a wait object's is not replaced silently."""
    register = [
        lambda: q.qemu_add_wait_object(events[0], print, None),
        lambda: q.qemu_set_fd_handler(events[0], print, None, None),
    ]
    if first == "fd handler":
        register.reverse()
    register[0]()
    with pytest.raises(OSError):
        register[1]()


def test_closed_object_neither_spins_nor_disturbs(header, events, calls, iterations_in):
    """Row "descriptor closed while registered", of a wait object."""
    add_event(events[0], calls, opaque="closed", drain=False)
    add_event(events[1], calls, opaque="open")
    os.eventfd_write(events[0], 1)
    os.close(events[0])
    assert iterations_in(header, 50) < 40
    os.eventfd_write(events[1], 1)
    assert header.run_until(lambda: "open" in calls, timeout=5)
    assert calls.count("closed") <= 8


@pytest.mark.posix_only(reason="a handle gets the number that the system likes")
def test_number_of_a_closed_object_may_be_added_anew(header, events, calls):
    """Row "descriptor closed while registered": a later registration works at once."""
    add_event(events[0], calls, opaque="old")
    q.main_loop_wait(True)
    os.close(events[0])
    assert header.info()["closed_descriptors"] == 1
    os.dup2(events[1], events[0], inheritable=False)
    add_event(events[0], calls, opaque="new")
    os.eventfd_write(events[1], 1)
    assert q.main_loop_wait(True) == 1
    assert calls == ["new"]


@pytest.mark.posix_only(reason="sockets alone have fd handlers")
def test_number_of_a_closed_object_may_get_an_fd_handler_and_back(header, events, calls):
    """Row "descriptor closed while registered": a later registration works, of either kind."""
    number = events[0]
    add_event(number, calls, opaque="old")
    os.close(number)
    assert header.info()["closed_descriptors"] == 1
    os.dup2(events[1], number, inheritable=False)
    header.set_fd_handler(number, read=lambda: calls.append(os.eventfd_read(number)))
    os.eventfd_write(events[1], 5)
    assert q.main_loop_wait(True) == 1
    os.close(number)
    assert header.info()["closed_descriptors"] == 1
    os.dup2(events[1], number, inheritable=False)
    add_event(number, calls, opaque="new")
    os.eventfd_write(events[1], 1)
    assert q.main_loop_wait(True) == 1
    assert calls == [5, "new"]
