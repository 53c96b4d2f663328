"""aio_wait_bh_oneshot() was refused to a thread that never polled the context.

A thread that had polled it was over, and the system had given its name to the new one.
"""

import ctypes
import os
import threading

import pytest
from c_functions import c_function

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(60)
CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
barrier = c_function("aio", "aio_wait_bh_oneshot", ctypes.c_int, ctypes.c_void_p, CALLBACK,
                     ctypes.c_void_p)
main_context = c_function("aio", "qemu_get_aio_context", ctypes.c_void_p)


def poll_in_a_thread(loop):
    """The name of a thread that polled loop and is over."""
    names = []
    thread = threading.Thread(
        target=lambda: names.append((loop.run_until(lambda: True), threading.get_ident())))
    thread.start()
    thread.join(20)
    # Its stack, which the name is of, is free once the system has forgotten it.
    while os.path.exists(f"/proc/self/task/{thread.native_id}"):
        os.sched_yield()
    return names[0][1]


def barrier_in_a_thread(loop):
    """Polls only once the barrier waits: its answer, and the thread's name."""
    answers = []
    before = loop.info()["bottom_halves"]
    waiter = threading.Thread(
        target=lambda: answers.append(barrier(main_context(), CALLBACK(), None)))
    waiter.start()
    name = waiter.ident
    while loop.info()["bottom_halves"] == before and not answers:
        os.sched_yield()
    while not answers:
        loop.wait(True)
    waiter.join()
    return answers[0], name


def test_the_barrier_waits_for_whoever_polls_next():
    loop = q.main_loop()
    for _ in range(100):
        used = poll_in_a_thread(loop)
        answer, name = barrier_in_a_thread(loop)
        assert answer == 0
        if name == used:
            break
    else:
        pytest.fail("no name was used twice")
    loop.close()


def test_it_is_refused_to_the_thread_that_polled_last():
    loop = q.main_loop()
    loop.run_until(lambda: True)
    loop.notify()
    loop.wait(True)
    assert barrier(main_context(), CALLBACK(), None) < 0
    loop.close()
