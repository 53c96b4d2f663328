"""A forked child ran what another thread waited for in aio_wait_bh_oneshot().

The waiter's mutex and condition lay on a stack that has no thread in the child: the child's
loop wrote to it, and once a thread of the child had got that stack, glibc aborted.
"""

import ctypes
import os
import signal
import threading

import pytest
from c_functions import c_function

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(60)
CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
barrier = c_function("aio", "aio_wait_bh_oneshot", ctypes.c_int, ctypes.c_void_p, CALLBACK,
                     ctypes.c_void_p)
main_context = c_function("aio", "qemu_get_aio_context", ctypes.c_void_p)


def test_the_child_drops_it_and_the_parent_runs_it():
    loop = q.main_loop()
    ran = []
    callback = CALLBACK(lambda opaque: ran.append(os.getpid()))
    answers = []
    before = loop.info()["bottom_halves"]
    waiter = threading.Thread(
        target=lambda: answers.append(barrier(main_context(), callback, None)))
    waiter.start()
    # Until it is in the queue; nobody polls, so there it stays.
    while loop.info()["bottom_halves"] == before:
        os.sched_yield()
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        status = 1
        try:
            for _ in range(10):
                loop.wait(True)
            status = 2 if ran else 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert loop.run_until(lambda: ran, timeout=20)
    waiter.join(20)
    assert answers == [0] and ran == [os.getpid()]
    loop.close()
