"""A step of the virtual clock that another thread was in is not in progress in a forked child.

The loop whose timer it ran counted as polled there for ever, and could not be closed.
"""

import os
import threading

import pytest

import qemu_mainloop as q

pytestmark = [
    pytest.mark.posix_only(reason="there is no fork"),
    pytest.mark.thread_unsafe(reason="steps the process's virtual clock"),
]


def test_child_may_close_the_loop():
    loops = []
    stepping, forked = threading.Event(), threading.Event()

    def callback():
        stepping.set()
        forked.wait(60)

    def step():
        with q.MainLoop() as loop:
            loops.append(loop)
            timer = loop.timer_new(callback, clock=q.Clock.VIRTUAL)
            timer.mod_ns(q.clock_get_ns(q.Clock.VIRTUAL))
            q.clock_step(1)

    thread = threading.Thread(target=step)
    thread.start()
    assert stepping.wait(60)
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            loops[0].wait(True)
            loops[0].close()
            status = 0
        finally:
            os._exit(status)
    forked.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
