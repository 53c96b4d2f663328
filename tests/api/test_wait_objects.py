"""Wait objects, through the header's names on the main loop, on each fdmon."""

import os
import threading

import pytest
from wait_objects import add_event

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(20)


def test_signalled_object_calls_its_function_with_opaque_and_counts(header, events, calls):
    """Row "main_loop_wait returns": descriptors and wait objects."""
    add_event(events[0], calls)
    os.eventfd_write(events[0], 1)
    assert q.main_loop_wait(False) == 1
    assert calls == ["opaque"]
    assert q.main_loop_wait(True) == 0


def test_object_that_is_not_signalled_calls_nobody(header, events, calls):
    add_event(events[0], calls)
    assert q.main_loop_wait(True) == 0
    assert calls == []


def test_object_that_stays_signalled_calls_again(header, events, calls):
    add_event(events[0], calls, drain=False)
    os.eventfd_write(events[0], 1)
    assert [q.main_loop_wait(True) for _ in range(3)] == [1, 1, 1]
    assert len(calls) == 3


def test_all_signalled_objects_are_called_in_one_iteration(header, events, calls):
    for i, fd in enumerate(events):
        add_event(fd, calls, opaque=i)
        os.eventfd_write(fd, 1)
    assert q.main_loop_wait(True) == 2
    assert sorted(calls) == [0, 1]


def test_object_signalled_by_another_thread_ends_a_sleep(header, events, calls):
    """Row "blocking wait": until an event."""
    add_event(events[0], calls)
    before = header.info()["sleeps"]

    def other():
        while header.info()["sleeps"] == before:
            os.sched_yield()
        os.eventfd_write(events[0], 1)

    thread = threading.Thread(target=other)
    thread.start()
    while not calls:
        q.main_loop_wait(False)
    thread.join()


def test_function_that_cannot_be_called_is_a_type_error(header, events):
    with pytest.raises(TypeError, match="callable"):
        q.qemu_add_wait_object(events[0], None, None)


def test_handle_that_is_not_open_is_refused(header, events):
    os.close(events[0])
    with pytest.raises(OSError):
        q.qemu_add_wait_object(events[0], print, None)


def test_exception_in_a_function_is_raised_by_the_wait(header, events):
    def func(o):
        os.eventfd_read(events[0])
        raise LookupError(o)

    q.qemu_add_wait_object(events[0], func, "opaque")
    os.eventfd_write(events[0], 1)
    with pytest.raises(LookupError, match="opaque"):
        q.main_loop_wait(True)
