"""``python -m qemu_mainloop bench``: what this machine takes for the loop's basic operations."""

import socket
import statistics
import time

import qemu_mainloop

# As long as a slice may take, and how many there are; the middle one counts.
SLICE_NS = 20_000_000
SLICES = 5


def timed(operation):
    """Nanoseconds for each of the operations that operation(count) does count of."""
    count, took = 16, 0
    while took < SLICE_NS // 4:
        count *= 4
        begin = time.thread_time_ns()
        operation(count)
        took = time.thread_time_ns() - begin
    count = max(1, count * SLICE_NS // took)
    slices = []
    for _ in range(SLICES):
        begin = time.thread_time_ns()
        operation(count)
        slices.append((time.thread_time_ns() - begin) / count)
    return statistics.median(slices)


def again(function):
    """An operation that calls function() count times."""

    def operation(count):
        for _ in range(count):
            function()

    return operation


def idle(loop):
    """A non-blocking iteration with nothing to do."""
    wait = loop.wait

    def operation(count):
        for _ in range(count):
            wait(True)

    return operation


def one_ready(loop):
    """An iteration with a descriptor that is always ready, and its callback."""
    ends = socket.socketpair()
    loop.set_fd_handler(ends[0], None, lambda ends=ends: None)
    return again(loop.wait)


def chain(loop):
    """A bottom half that schedules itself, one a pass."""
    left = 0

    def step():
        nonlocal left
        left -= 1
        if left:
            schedule()
        else:
            loop.stop()

    schedule = loop.bh_new(step).schedule

    def operation(count):
        nonlocal left
        left = count
        schedule()
        loop.run()

    return operation


def thousand(loop):
    """A thousand bottom halves in a pass, each."""
    schedules = [loop.bh_new(lambda: None).schedule for _ in range(1000)]

    def operation(count):
        for _ in range(0, count, 1000):
            for schedule in schedules:
                schedule()
            loop.wait(True)

    return operation


def rearm(loop):
    """One of a thousand armed timers is armed anew."""
    begin = time.monotonic_ns() + 10**12
    timers = [loop.timer_new(lambda: None) for _ in range(1000)]
    for i, timer in enumerate(timers):
        timer.mod_ns(begin + i)

    def operation(count):
        for i in range(0, count, 1000):
            when = begin + i
            for timer in timers:
                timer.mod_ns(when)

    return operation


def call(_loop):
    """For comparison: Python calls a function that does nothing."""
    return again(lambda: None)


ROWS = [
    ("idle iteration, wait(True)", idle),
    ("iteration with one ready descriptor, wait()", one_ready),
    ("bottom half that schedules itself, run()", chain),
    ("one of 1000 bottom halves in a pass", thousand),
    ("one of 1000 timers armed anew", rearm),
    ("a call of a Python function", call),
]


def measure(fdmon=None):
    """(what, nanoseconds) of each row, in a loop of its own."""
    for what, prepare in ROWS:
        with qemu_mainloop.MainLoop(fdmon) as loop:
            yield what, timed(prepare(loop))
