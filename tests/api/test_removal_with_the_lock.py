"""Who holds the iothread lock has the last word: what it takes back is not called again.

Section 2.4: after a removal returns in a thread that holds the lock, the callback is not
started again, though the main loop may be on its way to it at that moment.
"""

import os
import threading

import pytest

import qemu_mainloop as q

ROUNDS = 150


def bottom_half(loop, callback, fd):
    bh = loop.bh_new(lambda: (callback(), bh.schedule()))
    bh.schedule()
    return bh.delete


def cancelled_bottom_half(loop, callback, fd):
    bh = loop.bh_new(lambda: (callback(), bh.schedule()))
    bh.schedule()
    return bh.cancel


def timer(loop, callback, fd):
    timer = loop.timer_new(lambda: (callback(), timer.mod_ns(0)))
    timer.mod_ns(0)
    return timer.delete


def fd_handler(loop, callback, fd):
    loop.set_fd_handler(fd, None, callback)
    return lambda: loop.set_fd_handler(fd)


def wait_object(loop, callback, fd):
    q.qemu_add_wait_object(fd, lambda _: callback(), None)
    return lambda: q.qemu_del_wait_object(fd, None, None)


def polling_callback(loop, callback, fd):
    def ask(opaque):
        callback()
        return True

    q.qemu_add_polling_cb(ask, None)
    return lambda: q.qemu_del_polling_cb(ask, None)


# A wait object is one that polls readable: here an eventfd that is signalled for ever.
KINDS = [bottom_half, cancelled_bottom_half, timer, fd_handler, wait_object, polling_callback]


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_holder_of_the_lock_takes_back_is_not_called_again(main_loop, pipe, kind):
    """Section 2.4, while the loop runs at full speed."""
    fd = pipe[1] if kind is fd_handler else os.eventfd(1)
    late, called = [], []

    def work():
        for _ in range(ROUNDS):
            gone = threading.Event()
            ran = threading.Event()

            def callback(gone=gone, ran=ran):
                ran.set()
                called.append(1)
                if gone.is_set():
                    late.append(1)

            with main_loop.lock:
                take_back = kind(main_loop, callback, fd)
            main_loop.notify()
            ran.wait(20)
            with main_loop.lock:
                take_back()
                gone.set()
        main_loop.stop()

    worker = threading.Thread(target=work)
    worker.start()
    main_loop.run()
    worker.join()
    os.close(fd)                         # the fixture knows that it may be closed
    assert late == []
    assert len(called) >= ROUNDS
