"""The IOThreads that run were kept in a set: of two that a subclass takes for equal one was not,
and ended with its last reference; and one that cannot be hashed was not made."""

import gc
import threading

import pytest

import qemu_mainloop as q


class Named(q.IOThread):
    def __eq__(self, other):
        return self.name == other.name

    def __hash__(self):
        return hash(self.name)


class NotHashable(q.IOThread):
    def __eq__(self, other):
        return self is other


@pytest.mark.parametrize("kind", [Named, NotHashable])
def test_each_runs_until_it_is_stopped(kind):
    threads = [kind("x") for _ in range(2)]
    loops = [thread.loop for thread in threads]
    threads.clear()
    gc.collect()
    for loop in loops:
        done = threading.Event()
        loop.bh_new(done.set).schedule()
        assert done.wait(10)
    threads += [thread for thread in gc.get_objects() if isinstance(thread, kind)]
    assert len(threads) == 2
    for thread in threads:
        thread.stop()
