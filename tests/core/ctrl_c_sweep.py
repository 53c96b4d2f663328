"""The program under sweep.c: Ctrl-C at every point of one way into the sleep.

usage: ctrl_c_sweep.py WAY.  Prints the number of points tried; what is lost ends it with an
error, and what hangs by SIGALRM.
"""

import contextlib
import ctypes
import itertools
import os
import signal
import sys
import threading
import time

import qemu_mainloop as q

# Signals of threads that took one from the main thread are looked for every 250 ms.
PROMPT_S = 3
HANG_S = 20

sweep = ctypes.PyDLL(None)
NOT_YET, LAST = 0, 2


def wait(loop, arm):
    arm()
    loop.wait()


def waits(loop, arm):
    arm()
    while True:
        loop.wait()


def run(loop, arm):
    arm()
    loop.run()


def run_again(loop, arm):
    """In the second iteration, which trusts the look of the first for some time."""
    bh = loop.bh_new(arm)
    bh.schedule()
    loop.run()


def run_after_read(loop, arm):
    """Armed by a read callback: the rest of its iteration is on the way, too."""
    reading, writing = os.pipe()
    try:
        os.write(writing, b"x")
        loop.set_fd_handler(reading, lambda: (os.read(reading, 1), arm()))
        loop.run()
    finally:
        loop.set_fd_handler(reading)
        os.close(reading)
        os.close(writing)


def run_after_timer(loop, arm):
    timer = loop.timer_new(arm)
    timer.mod_ns(0)
    loop.run()


def run_until(loop, arm):
    arm()
    loop.run_until(lambda: False)


def run_until_timeout(loop, arm):
    arm()
    loop.run_until(lambda: False, timeout=2 * HANG_S)


def nested_wait(loop, arm):
    caught = []

    def nested():
        arm()
        try:
            loop.wait()
        except KeyboardInterrupt as error:
            caught.append(error)

    bh = loop.bh_new(nested)
    bh.schedule()
    loop.wait()
    raise caught[0]


def with_a_timer(loop, arm):
    timer = loop.timer_new(print)
    timer.mod_ns(q.clock_get_ns() + 2 * HANG_S * 10**9)
    run_again(loop, arm)


def with_a_gate(loop, arm):
    """Armed by can_read, which is asked before the wait."""
    reading, writing = os.pipe()
    try:
        loop.set_fd_handler(reading, print, can_read=lambda: arm() or True)
        loop.wait()
    finally:
        loop.set_fd_handler(reading)
        os.close(reading)
        os.close(writing)


def with_busy_polling(loop, arm):
    loop.poll_max_ns = 20_000
    waits(loop, arm)


def hosted(loop, arm):
    loop.fileno()
    loop.wait(True)
    waits(loop, arm)


def with_a_wakeup_fd(loop, arm):
    reading, writing = os.pipe2(os.O_NONBLOCK)
    old = signal.set_wakeup_fd(writing)
    try:
        wait(loop, arm)
    finally:
        assert signal.set_wakeup_fd(old) == writing
        assert os.read(reading, 10) == bytes([signal.SIGINT])
        os.close(reading)
        os.close(writing)


def polling_callback(loop, arm):
    """On the main loop; armed by a polling callback."""
    def ask(opaque):
        arm()
        return False

    q.qemu_add_polling_cb(ask, None)
    try:
        loop.wait()
    finally:
        q.qemu_del_polling_cb(ask, None)


@contextlib.contextmanager
def other_threads():
    """Two threads that may take the process's signals."""
    over = threading.Event()
    threads = [threading.Thread(target=over.wait) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


# name: (how it drives, what is around it, on the main loop, is the signal the process's)
nothing = contextlib.nullcontext
WAYS = {
    "wait": (wait, nothing, False, False),
    "run": (run, nothing, False, False),
    "run again": (run_again, nothing, False, False),
    "run after a read": (run_after_read, nothing, False, False),
    "run after a timer": (run_after_timer, nothing, False, False),
    "run_until": (run_until, nothing, False, False),
    "run_until with a timeout": (run_until_timeout, nothing, False, False),
    "nested wait": (nested_wait, nothing, False, False),
    "with a timer": (with_a_timer, nothing, False, False),
    "can_read": (with_a_gate, nothing, False, False),
    "busy polling": (with_busy_polling, nothing, False, False),
    "hosted": (hosted, nothing, False, False),
    "set_wakeup_fd": (with_a_wakeup_fd, nothing, False, False),
    "main loop": (wait, nothing, True, False),
    "main loop, run again": (run_again, nothing, True, False),
    "main loop, nested": (nested_wait, nothing, True, False),
    "polling callback": (polling_callback, nothing, True, False),
    "beside an IOThread": (wait, q.IOThread, False, True),
    "beside threads": (wait, other_threads, False, True),
    "run again beside threads": (run_again, other_threads, False, True),
}


def one(drive, loop, n, process_directed):
    """True: the signal went off before the last point; it ended what drove the loop."""
    signal.alarm(HANG_S)
    begin = time.monotonic()
    try:
        drive(loop, lambda: sweep.sweep_arm(n, process_directed))
    except KeyboardInterrupt:
        how = sweep.sweep_disarm()
    else:
        raise SystemExit(f"returned at point {n}, sent: {sweep.sweep_disarm()}")
    assert how != NOT_YET
    assert time.monotonic() - begin < PROMPT_S, f"late at point {n}"
    return how != LAST


def main(way):
    drive, around, on_main_loop, process_directed = WAYS[way]
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for fdmon in q.fdmons():
        with around():
            for n in itertools.count():
                loop = q.main_loop() if on_main_loop else q.MainLoop(fdmon=fdmon)
                if on_main_loop:
                    loop._use_fdmon(fdmon)
                goes_on = one(drive, loop, n, process_directed)
                loop.close()
                if not goes_on:
                    break
        print(fdmon, n)


if __name__ == "__main__":
    main(*sys.argv[1:])
