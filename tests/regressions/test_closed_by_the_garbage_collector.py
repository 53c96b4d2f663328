"""A collection while a handler was allocated ran a finaliser that closed the loop: the handler
was registered in memory that was free.  (From Python 3.12 on no allocation collects.)"""

import gc
import signal

import pytest

import qemu_mainloop as q


class ClosesTheLoop:
    def __init__(self, loop):
        self.loop = loop
        self.cycle = self

    def __del__(self):
        self.loop.close()


@pytest.fixture
def collecting():
    """Each allocation may collect."""
    gc.collect()
    before = gc.get_threshold()
    yield lambda: gc.set_threshold(1)
    gc.set_threshold(*before)


REGISTER = {
    "fd handler": lambda loop, fd: loop.set_fd_handler(fd, print),
    "wait object": lambda loop, fd: loop._add_wait_object(fd, print),
    "polling callback": lambda loop, fd: loop._add_polling_callback(print, None),
    "bottom half": lambda loop, fd: loop.bh_new(print),
    "timer": lambda loop, fd: loop.timer_new(print),
}


@pytest.mark.parametrize("register", REGISTER.values(), ids=REGISTER)
def test_a_finaliser_closes_the_loop(register, collecting, pipe):
    for _ in range(3):
        loop = q.MainLoop()
        ClosesTheLoop(loop)
        collecting()
        try:
            register(loop, pipe[0])
        except RuntimeError as e:
            assert "is closed" in str(e)
        loop.close()


@pytest.mark.parametrize("own", [True, False], ids=["own", "main"])
def test_a_finaliser_closes_what_is_being_closed(own, collecting, pipe):
    for _ in range(3):
        loop = q.MainLoop() if own else q.main_loop()
        loop.set_fd_handler(pipe[0], print)
        loop.add_signal_handler(signal.SIGUSR1, print)
        before = signal.getsignal(signal.SIGUSR1)
        ClosesTheLoop(loop)
        collecting()
        loop.close()
        gc.set_threshold(1000)
        gc.collect()
        assert loop.closed
        assert signal.getsignal(signal.SIGUSR1) is before
