"""What C functions do with arguments, and at times, that do not fit: refuse, and change nothing."""

import ctypes
import errno
import os
import signal
import threading
from ctypes import CFUNCTYPE, c_bool, c_char_p, c_int, c_uint32, c_void_p

import pytest
from c_functions import c_function

import qemu_mainloop as q

pytestmark = pytest.mark.timeout(60)
CALLBACK = CFUNCTYPE(None, c_void_p)
REALTIME = 0


@pytest.fixture
def main_context(main_loop):
    return c_function("aio", "qemu_get_aio_context", c_void_p)()


@pytest.fixture
def barrier():
    return c_function("aio", "aio_wait_bh_oneshot", c_int, c_void_p, CALLBACK, c_void_p)


class Polled:
    """While it is open, a thread sleeps in main_loop_wait()."""

    def __init__(self, loop):
        self.loop = loop

    def __enter__(self):
        before = self.loop.info()["sleeps"]
        self.thread = threading.Thread(target=self.loop.run)
        self.thread.start()
        while self.loop.info()["sleeps"] == before:
            os.sched_yield()

    def __exit__(self, *_):
        self.loop.stop()
        self.thread.join()


def test_a_wait_object_needs_a_function_and_a_descriptor(main_loop):
    add = c_function("main_loop", "qemu_add_wait_object", c_int, c_void_p, CALLBACK, c_void_p)
    delete = c_function("main_loop", "qemu_del_wait_object", None, c_void_p, CALLBACK, c_void_p)
    callback = CALLBACK(lambda opaque: None)
    before = main_loop.info()["handlers"]
    assert add(0, CALLBACK(), None) == -errno.EINVAL
    assert add(2**40, callback, None) == add(-1, callback, None) == -errno.EBADF
    delete(-1, callback, None)
    assert main_loop.info()["handlers"] == before


@pytest.mark.parametrize("clock", [-1, 3, 77])
def test_a_clock_that_there_is_not_is_left_alone(clock):
    c_function("timer", "qemu_clock_enable", None, c_int, c_int)(clock, 1)
    assert not c_function("timer", "qemu_clock_run_timers", c_bool, c_int)(clock)
    assert q.clock_get_ns(q.Clock.VIRTUAL) == q.clock_step(0)


@pytest.mark.parametrize("number", [-1, 0, 65, 1000])
def test_a_signal_that_there_is_not_is_not_trapped(number):
    trap = c_function("_core.signals", "signal_trap", c_int, c_int, c_void_p)
    untrap = c_function("_core.signals", "signal_untrap", None, c_int, c_void_p)
    assert trap(number, None) == -errno.EINVAL
    untrap(number, None)


def test_the_barrier_is_refused_under_the_iothread_lock(main_loop, main_context, barrier):
    """Whoever holds it would wait for a loop that waits for it."""
    answers = []

    def ask():
        with main_loop.lock:
            answers.append(barrier(main_context, CALLBACK(lambda opaque: None), None))

    thread = threading.Thread(target=ask)      # not the loop's: that one is refused anyway
    thread.start()
    thread.join(20)
    assert answers == [-errno.EDEADLK]


def test_the_parts_of_an_iteration_are_refused_while_another_thread_polls(main_loop, main_context):
    poll = c_function("main_loop", "qemu_bh_poll", c_int)
    run_timers = c_function("timer", "qemu_clock_run_timers", c_bool, c_int)
    update = c_function("main_loop", "qemu_bh_update_timeout", None, ctypes.POINTER(c_uint32))
    fileno = c_function("aio", "aio_context_fileno", c_int, c_void_p)
    timeout = c_uint32(1234)
    timer = main_loop.timer_new(lambda: None)
    timer.mod_ns(2**62)
    with Polled(main_loop):
        assert poll() == -errno.EBUSY
        assert not run_timers(REALTIME)
        update(ctypes.byref(timeout))
        assert timeout.value == 1234
        assert fileno(main_context) == -errno.EBUSY
    timer.delete()
    assert poll() == 0


def test_a_foreign_select_does_nothing_while_another_thread_polls(main_loop, pipe):
    """What is registered is filled in all the same, nothing is dispatched in this thread."""
    fill = c_function("iohandler", "qemu_iohandler_fill", None, ctypes.POINTER(c_int),
                      c_void_p, c_void_p, c_void_p)
    dispatch = c_function("iohandler", "qemu_iohandler_poll", None, c_void_p, c_void_p,
                          c_void_p, c_int)
    called = []
    main_loop.set_fd_handler(pipe[0], lambda: called.append(threading.get_ident()))
    sets = [ctypes.create_string_buffer(128) for _ in range(3)]
    highest = c_int(-1)
    with Polled(main_loop):
        fill(ctypes.byref(highest), *sets)
        dispatch(*sets, 1)
        assert called == []
    main_loop.set_fd_handler(pipe[0])


def test_a_descriptor_closed_under_its_handler_is_not_for_a_foreign_select(main_loop):
    """A select() with a number that is not open would fail for all."""
    fill = c_function("iohandler", "qemu_iohandler_fill", None, ctypes.POINTER(c_int),
                      c_void_p, c_void_p, c_void_p)
    reading, writing = os.pipe()
    main_loop.set_fd_handler(reading, lambda: None)
    main_loop.wait(True)
    os.close(reading)
    os.close(writing)
    sets = [ctypes.create_string_buffer(128) for _ in range(3)]
    highest = c_int(-1)
    fill(ctypes.byref(highest), *sets)
    assert not sets[0].raw[reading // 8] & 1 << reading % 8
    assert main_loop.info()["closed_descriptors"] == 1
    main_loop.set_fd_handler(reading)
    main_loop.wait(True)


def in_a_child(function):
    """The child's exit status; it gives up after twenty seconds."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            signal.alarm(20)
            status = function()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_an_iothread_of_the_parent_is_not_there_to_be_stopped():
    create = c_function("aio", "iothread_create", c_void_p, c_char_p)
    stop = c_function("aio", "iothread_stop", c_int, c_void_p)
    destroy = c_function("aio", "iothread_destroy", None, c_void_p)
    thread = create(b"parent's")

    def use_it():
        refused = stop(thread) == -errno.ESRCH
        destroy(thread)                        # the memory is the child's own
        return 0 if refused else 1

    assert in_a_child(use_it) == 0
    assert stop(thread) == 0
    destroy(thread)


def test_a_barrier_whose_callback_forks(main_loop, main_context, barrier):
    """In the child nobody waits for it: it is dropped, and the loop goes on."""
    pids, answers = [], []
    callback = CALLBACK(lambda opaque: pids.append(os.fork()))
    waiter = threading.Thread(
        target=lambda: answers.append(barrier(main_context, callback, None)))
    waiter.start()
    try:
        main_loop.run_until(lambda: pids, timeout=20)
    finally:
        if pids == [0]:
            status = 1
            try:
                signal.alarm(20)
                ran = []
                bh = main_loop.bh_new(lambda: ran.append(1))
                bh.schedule()
                main_loop.run_until(lambda: ran, timeout=10)
                status = 0 if ran and not answers else 2
            finally:
                os._exit(status)
    waiter.join(20)
    assert answers == [0]
    assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 0

