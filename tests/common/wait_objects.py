"""Wait objects that are eventfds."""

import os

import qemu_mainloop as q


def add_event(handle, calls, opaque="opaque", drain=True):
    """A registered function that notes its opaque in calls, and clears the event."""
    def func(o):
        calls.append(o)
        if drain:
            os.eventfd_read(handle)

    assert q.qemu_add_wait_object(handle, func, opaque) == 0
    return func
