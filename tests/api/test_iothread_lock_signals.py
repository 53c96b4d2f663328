"""Waiting for the iothread lock does not hold signals up, and Ctrl-C ends it."""

import os
import signal
import threading
import time

import pytest

import qemu_mainloop as q

# "Promptly", on a machine that is busy with other things.
PROMPT_S = 3


class Holder(threading.Thread):
    """Holds the lock until it is told to let go, and at the end of the test."""

    def __init__(self, lock):
        super().__init__()
        self.lock = lock
        self.holds, self.let_go = threading.Event(), threading.Event()

    def run(self):
        with self.lock:
            self.holds.set()
            self.let_go.wait(60)


@pytest.fixture
def holder(main_loop):
    """A thread that is about to hold the lock when it is started."""
    holder = Holder(main_loop.lock)
    yield holder
    holder.let_go.set()
    if holder.ident:
        holder.join()


@pytest.fixture
def usr1():
    """What SIGUSR1 had before comes back after the test."""
    old = signal.getsignal(signal.SIGUSR1)
    yield signal.SIGUSR1
    signal.signal(signal.SIGUSR1, old)


def send_until(signo, over):
    """A started thread that sends this process signo until over is set."""

    def run():
        while not over.wait(0.01):
            os.kill(os.getpid(), signo)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


WAITS = {
    "acquire": lambda loop: loop.lock.acquire(),
    "acquire with a timeout": lambda loop: loop.lock.acquire(timeout=60),
    "with": lambda loop: loop.lock.__enter__(),
    "qemu_mutex_lock_iothread": lambda loop: q.qemu_mutex_lock_iothread(),
    "wait": lambda loop: loop.wait(),
    "non-blocking wait": lambda loop: loop.wait(True),
    "run": lambda loop: loop.run(),
    "run_until": lambda loop: loop.run_until(lambda: False),
    "clock_step": lambda loop: q.clock_step(0),
    "clock_set": lambda loop: q.clock_set(2**62),
}


def interrupted(wait, loop):
    """Ctrl-C while wait(loop) waits for the lock: KeyboardInterrupt, and soon."""
    over = threading.Event()
    begin = []

    def run():
        begin.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)
        over.set()

    timer = threading.Timer(0.05, run)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        wait(loop)
        over.wait()  # a signal of the last moment is no concern of the wait
    took = time.monotonic() - begin[0]
    timer.join()
    assert took < PROMPT_S


@pytest.mark.parametrize("what", WAITS)
def test_ctrl_c_ends_waiting_for_the_lock(main_loop, holder, what):
    """Section 3: promptly, also when another thread holds the iothread lock for long."""
    holder.start()
    assert holder.holds.wait(20)
    interrupted(WAITS[what], main_loop)
    assert main_loop.lock.locked() and not q.qemu_mutex_iothread_locked()
    holder.let_go.set()
    holder.join()
    assert not main_loop.lock.locked()
    main_loop.notify()
    assert main_loop.wait() == 0


@pytest.mark.parametrize("what", ["wait", "run", "run_until"])
def test_ctrl_c_ends_a_wait_that_cannot_get_the_lock_back(main_loop, holder, pipe, what):
    """Section 3: the sleep is over, but the lock that it let go is another thread's now.

    Nothing is called without the lock; what was reported is reported again.
    """
    ran = []
    main_loop.set_fd_handler(pipe[0], lambda: ran.append(os.read(pipe[0], 10)))
    before = main_loop.info()["sleeps"]

    def work():
        while main_loop.info()["sleeps"] == before:
            os.sched_yield()
        holder.start()
        holder.holds.wait(20)
        os.write(pipe[1], b"x")

    worker = threading.Thread(target=work)
    worker.start()

    def wait(loop):
        WAITS[what](loop)
        raise AssertionError("the wait got the lock")

    over = threading.Event()

    def interrupt():
        worker.join()
        os.kill(os.getpid(), signal.SIGINT)
        over.set()

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        wait(main_loop)
    interrupter.join()
    assert ran == [] and not q.qemu_mutex_iothread_locked()
    holder.let_go.set()
    assert main_loop.run_until(lambda: ran, timeout=10)
    assert ran == [b"x"]


def test_a_caller_that_came_with_the_lock_leaves_with_it(main_loop, holder):
    """Row who holds it: Ctrl-C is raised once the wait has the lock back."""
    before = main_loop.info()["sleeps"]

    def work():
        while main_loop.info()["sleeps"] == before:
            os.sched_yield()
        holder.start()
        holder.holds.wait(20)
        os.kill(os.getpid(), signal.SIGINT)
        main_loop.notify()
        holder.let_go.set()

    worker = threading.Thread(target=work)
    worker.start()
    with main_loop.lock:
        with pytest.raises(KeyboardInterrupt):
            while True:
                main_loop.wait()
        assert q.qemu_mutex_iothread_locked()
    worker.join()


@pytest.mark.parametrize("what", ["acquire", "non-blocking wait"])
def test_a_handler_runs_while_the_lock_is_waited_for(main_loop, holder, usr1, what):
    """Section 3: the handler runs, the wait goes on and gets the lock."""
    ran = []
    over = threading.Event()

    def handler(signo, frame):
        if not ran:                       # not once more inside itself
            ran.append(holder.is_alive())
            over.set()
            holder.let_go.set()

    signal.signal(usr1, handler)
    holder.start()
    assert holder.holds.wait(20)
    sender = send_until(usr1, over)
    try:
        result = WAITS[what](main_loop)
    finally:
        over.set()
        sender.join()
    assert ran[0] is True
    if what == "acquire":
        assert result is True
        main_loop.lock.release()


def test_a_handler_may_take_the_lock_itself(main_loop, holder, usr1):
    """Section 2.4: who waits is not in its own way."""
    began, ran = [], []
    over = threading.Event()

    def handler(signo, frame):
        if not began:                     # not once more inside itself
            began.append(1)
            over.set()
            holder.let_go.set()
            with main_loop.lock:
                ran.append(1)

    signal.signal(usr1, handler)
    holder.start()
    assert holder.holds.wait(20)
    sender = send_until(usr1, over)
    try:
        with main_loop.lock:
            assert ran == [1]
    finally:
        over.set()
        sender.join()
