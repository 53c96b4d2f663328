"""What goes with a registration may use the loop while it goes.

Section 2.4: no Python reference is dropped under the loop's internal lock, so a destructor
that registers, schedules and arms at that very moment does not wait for itself.
"""

import gc
import os
import signal

import pytest

import qemu_mainloop as q


class Callback:
    """A callback whose destructor uses everything that takes the lock."""

    def __init__(self, loop, gone):
        self.loop, self.gone = loop, gone
        self.bh, self.timer = loop.bh_new(print), loop.timer_new(print)

    def __call__(self, *_):
        return True

    def __del__(self):
        if not self.loop.closed:
            reading, writing = os.pipe()
            self.bh.schedule()
            self.timer.mod_ns(2**62)
            self.loop.set_fd_handler(reading, print)
            self.loop.set_fd_handler(reading)
            self.loop.info()
            self.bh.cancel()
            self.timer.delete()
            os.close(reading)
            os.close(writing)
        self.gone.append(1)


def bottom_half(loop, callback, fd):
    bh = loop.bh_new(callback)
    bh.schedule()
    return bh.delete


def timer(loop, callback, fd):
    timer = loop.timer_new(callback)
    timer.mod_ns(2**62)
    return timer.delete


def fd_handler(loop, callback, fd):
    loop.set_fd_handler(fd, callback, can_read=callback)
    return lambda: loop.set_fd_handler(fd)


def replaced_fd_handler(loop, callback, fd):
    loop.set_fd_handler(fd, callback)
    return lambda: loop.set_fd_handler(fd, None, print)


def signal_handler(loop, callback, fd):
    loop.add_signal_handler(signal.SIGTERM, callback)
    return lambda: loop.remove_signal_handler(signal.SIGTERM)


KINDS = [bottom_half, timer, fd_handler, replaced_fd_handler, signal_handler]


@pytest.mark.parametrize("inside", [False, True], ids=["outside", "in a callback"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_destructor_uses_the_loop(loop, pipe, kind, inside):
    """Outside an iteration the last reference goes with the call, inside when it has ended."""
    gone = []

    def take_back(take):
        take()
        take = None

    take = [kind(loop, Callback(loop, gone), pipe[0])]
    if inside:
        bh = loop.bh_new(lambda: take_back(take.pop()))
        bh.schedule()
        loop.wait()
    else:
        take_back(take.pop())
    gc.collect()
    assert gone == [1]
    loop.set_fd_handler(pipe[0])


def test_a_destructor_of_a_polling_callback_uses_the_loop(main_loop):
    """The same for what only the main loop has."""
    gone = []
    callback = Callback(main_loop, gone)
    q.qemu_add_polling_cb(callback, None)
    q.qemu_del_polling_cb(callback, None)
    del callback
    gc.collect()
    assert gone == [1]
