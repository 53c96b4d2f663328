"""Fixtures for many threads at once.

The tests run on every Python; on one without the GIL the threads are in the library at the
same time.  QEMU_MAINLOOP_ROUNDS multiplies how often each thread does its part.
"""

import contextlib
import os
import threading
import time

import pytest

ROUNDS = int(os.environ.get("QEMU_MAINLOOP_ROUNDS", "1"))
PATIENCE = 100


class Oops(Exception):
    """What the callbacks of these tests raise."""


@pytest.fixture
def oops():
    """The exception that driven() expects."""
    return Oops


@pytest.fixture
def at_once():
    """at_once(*functions, times): each in a thread of its own, that often, begun together."""

    def run(*functions, times=200):
        barrier = threading.Barrier(len(functions))
        failures = []

        def work(function):
            try:
                barrier.wait(PATIENCE)
                for _ in range(times * ROUNDS):
                    function()
            except BaseException as e:
                failures.append(e)

        threads = [
            threading.Thread(target=work, args=(function,), daemon=True) for function in functions
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in threads)
        if failures:
            raise failures[0]

    return run


@pytest.fixture
def driven():
    """with driven(loop) as raised: a thread runs it, and notes what its callbacks raised."""

    @contextlib.contextmanager
    def driving(loop):
        raised = []
        over = threading.Event()

        def drive():
            while not over.is_set():
                try:
                    loop.run()
                except Oops as e:
                    raised.append(e)

        thread = threading.Thread(target=drive, daemon=True)
        thread.start()
        try:
            yield raised
        finally:
            over.set()
            loop.stop()
            thread.join(PATIENCE)
            assert not thread.is_alive()

    return driving


@pytest.fixture
def either():
    """either(function, *messages): calls it; it may raise a RuntimeError that says one of them."""

    def call(function, *messages):
        try:
            return function()
        except RuntimeError as e:
            if not any(message in str(e) for message in messages):
                raise

    return call


@pytest.fixture
def wait_for():
    """wait_for(condition): until it holds, which other threads see to."""

    def wait(condition):
        end = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.0001)

    return wait
