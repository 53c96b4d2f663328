"""main_loop_wait() in C of a loop that a foreign select() had announced as asleep looked at
memory alone and left it so: what failed afterwards woke the next wait for nothing.
"""

import ctypes

import pytest
from c_functions import c_function

import qemu_mainloop as q

main_loop_wait = c_function("main_loop", "main_loop_wait", ctypes.c_int, ctypes.c_int)


def test_an_idle_look_ends_the_announcement(main_loop):
    for _ in range(600):                     # until the kernel need not be asked
        main_loop_wait(1)
    q.qemu_bh_update_timeout(1000)
    main_loop_wait(1)
    with pytest.raises(OSError):
        main_loop.set_fd_handler(987654, print)
    timer = main_loop.timer_new(lambda: None)
    timer.mod_ns(q.clock_get_ns() + 1_000_000)
    main_loop_wait(0)
    assert not timer.pending
