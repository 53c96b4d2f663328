"""The iothread lock from Python."""

import os
import threading
import time

import pytest

import qemu_mainloop as q


@pytest.fixture
def lock(main_loop):
    """The one lock there is."""
    return main_loop.lock


def test_only_the_main_loop_has_the_lock(loop):
    """Section 3: `with loop.lock`, on the main loop only."""
    with pytest.raises(AttributeError, match="main loop"):
        loop.lock  # noqa: B018


def test_with_takes_it_and_gives_it_back(lock):
    """Section 3: as threading.Lock; row who holds it: nobody, outside wait()."""
    assert not lock.locked()
    with lock:
        assert lock.locked()
        assert q.qemu_mutex_iothread_locked()
    assert not lock.locked()


def test_every_callback_of_the_main_loop_holds_it(main_loop, pipe):
    """Section 2.4: held through every callback of the main loop."""
    held = []

    def note():
        held.append(q.qemu_mutex_iothread_locked())

    main_loop.set_fd_handler(pipe[1], None, note)
    timer, bh = main_loop.timer_new(note), main_loop.bh_new(note)
    timer.mod(0)
    bh.schedule()
    main_loop.wait()
    assert held == [True] * 3
    assert not main_loop.lock.locked()


def test_a_callback_of_another_loop_does_not_hold_it(loop):
    """Section 2.4: contexts of one's own run without it."""
    held = []
    bh = loop.bh_new(lambda: held.append(q.qemu_mutex_iothread_locked()))
    bh.schedule()
    loop.wait()
    assert held == [False]


def test_a_caller_that_holds_it_holds_it_after_the_wait(main_loop):
    """Row who holds it: wait() takes it for the call only if the caller has not."""
    with main_loop.lock:
        main_loop.wait(True)
        assert q.qemu_mutex_iothread_locked()


def test_acquire_without_blocking_is_false_if_another_has_it(lock):
    """Section 3: acquire as threading.Lock has it."""
    results = []
    with lock:
        thread = threading.Thread(target=lambda: results.append(lock.acquire(blocking=False)))
        thread.start()
        thread.join()
    assert results == [False]


def test_acquire_without_blocking_takes_a_free_one(lock):
    """Section 3: acquire as threading.Lock has it."""
    assert lock.acquire(blocking=False) is True
    lock.release()


def test_acquire_gives_up_after_its_timeout_and_no_earlier(lock):
    """Section 3: acquire(timeout=...)."""
    results = []

    def run():
        begin = time.monotonic_ns()
        results.append(lock.acquire(timeout=0.02))
        results.append(time.monotonic_ns() - begin >= 20_000_000)

    with lock:
        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
    assert results == [False, True]
    assert lock.acquire(timeout=1)
    lock.release()


@pytest.mark.parametrize("how", [{"blocking": False, "timeout": 1}, {"timeout": -2}])
def test_acquire_refuses_what_threading_lock_refuses(lock, how):
    """Section 3: acquire as threading.Lock has it."""
    with pytest.raises(ValueError, match="timeout"):
        lock.acquire(**how)


def test_a_sleeping_loop_has_dropped_it(main_loop):
    """Row iothread lock: dropped in every wait that may block."""
    got = []
    before = main_loop.info()["sleeps"]

    def take():
        while main_loop.info()["sleeps"] == before:
            os.sched_yield()
        got.append(main_loop.lock.acquire(timeout=10))
        main_loop.lock.release()
        main_loop.stop()

    thread = threading.Thread(target=take)
    thread.start()
    main_loop.run()
    thread.join()
    assert got == [True]


def test_no_callback_runs_while_another_thread_holds_it(main_loop):
    """Section 2.4: a woken loop takes it back before it calls anybody."""
    ran, seen = [], []
    bh = main_loop.bh_new(lambda: (ran.append(1), main_loop.stop()))
    before = main_loop.info()["sleeps"]

    def take():
        while main_loop.info()["sleeps"] == before:
            os.sched_yield()
        with main_loop.lock:
            bh.schedule()
            for _ in range(1000):
                os.sched_yield()
            seen.extend(ran)

    thread = threading.Thread(target=take)
    thread.start()
    main_loop.run()
    thread.join()
    assert (seen, ran) == ([], [1])


def test_a_wait_that_waits_for_the_lock_leaves_python_to_others(main_loop):
    """Section 2.4: nobody waits for the iothread lock while holding the GIL."""
    taken, begun = threading.Event(), threading.Event()

    def hold():
        with main_loop.lock:
            taken.set()
            begun.wait()
            for _ in range(1000):
                os.sched_yield()

    thread = threading.Thread(target=hold)
    thread.start()
    taken.wait()
    begun.set()
    assert main_loop.wait(True) == 0
    thread.join()
