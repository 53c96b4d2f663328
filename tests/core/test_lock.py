"""The iothread lock alone: hand-over, timeouts, misuse, what a fork leaves."""

import errno
import threading
import time

import pytest

MS = 1_000_000


@pytest.fixture
def lock(probe_lock):
    return probe_lock.Lock()


class Waiter(threading.Thread):
    """Acquires, notes its name, holds until it is told to let go, releases."""

    def __init__(self, lock, name, order, timeout_ns=-1):
        super().__init__(name=name)
        self.lock, self.order, self.timeout_ns = lock, order, timeout_ns
        self.go = threading.Event()
        self.rc = None

    def run(self):
        self.rc = self.lock.acquire(self.timeout_ns)
        if self.rc == 0:
            self.order.append(self.name)
            self.go.wait(20)
            self.lock.release()


@pytest.fixture
def waiters(lock):
    """enqueue(name): a thread that waits for the lock, behind those before it."""
    threads = []

    def enqueue(name, order, timeout_ns=-1):
        waiter = Waiter(lock, name, order, timeout_ns)
        threads.append(waiter)
        waiter.start()
        return waiter

    yield enqueue
    for waiter in threads:
        waiter.go.set()
    if lock.is_mine():
        lock.release()
    for waiter in threads:
        waiter.join(20)


def test_free_held_free(lock):
    assert not lock.is_held() and not lock.is_mine()
    assert lock.acquire() == 0
    assert lock.is_held() and lock.is_mine() and not lock.is_wanted()
    assert lock.release() == 0
    assert not lock.is_held()


def test_acquiring_twice(lock):
    assert lock.acquire() == 0
    for timeout_ns in (-1, 0, MS):
        assert lock.acquire(timeout_ns) == -errno.EDEADLK
    assert lock.release() == 0
    assert not lock.is_held()


def test_releasing_a_free_one(lock):
    assert lock.release() == -errno.EPERM


def test_releasing_another_threads(lock, waiters):
    order = []
    lock.acquire()
    other = waiters("other", order)
    assert lock.await_waiters(1)
    assert lock.release() == 0
    assert lock.is_held() and not lock.is_mine()
    assert lock.release() == -errno.EPERM
    other.go.set()
    other.join(20)
    assert order == ["other"] and not lock.is_held()


def test_first_come_first_served(lock, waiters):
    order, threads = [], []
    lock.acquire()
    for i in range(6):
        threads.append(waiters(str(i), order))
        assert lock.await_waiters(i + 1)
    assert lock.is_wanted()
    for thread in threads:
        thread.go.set()
    lock.release()
    for thread in threads:
        thread.join(20)
    assert order == [str(i) for i in range(6)]
    assert lock.queue_is_empty() and not lock.is_wanted() and not lock.is_held()


def test_who_releases_does_not_overtake(lock, waiters):
    order = []
    lock.acquire()
    waiter = waiters("waiter", order)
    assert lock.await_waiters(1)
    lock.release()
    assert lock.is_held() and not lock.is_mine()      # handed over, there is nothing to race for
    assert lock.acquire(0) == -errno.ETIMEDOUT
    waiter.go.set()
    assert lock.acquire() == 0
    order.append("main")
    assert order == ["waiter", "main"]


def test_a_timeout_takes_its_time(lock, waiters):
    lock.acquire()
    before = time.monotonic_ns()
    waiter = waiters("late", [], 2 * MS)
    waiter.join(20)
    assert waiter.rc == -errno.ETIMEDOUT
    assert time.monotonic_ns() - before >= 2 * MS
    assert lock.queue_is_empty() and not lock.is_wanted() and lock.is_mine()


def test_no_time_at_all_does_not_queue(lock, waiters):
    lock.acquire()
    waiter = waiters("hasty", [], 0)
    waiter.join(20)
    assert waiter.rc == -errno.ETIMEDOUT and lock.queue_is_empty()


def three_queued(lock, waiters, order, place, patience_ns):
    """Threads that wait for the lock, which is ours; None: the one at place gave up before
    all did, as the machine is slow, and nobody waits any more."""
    threads = []
    lock.acquire()
    for i in range(3):
        threads.append(waiters(str(i), order, patience_ns if i == place else -1))
        if not lock.await_waiters(i + 1):
            break
    else:
        return threads
    for thread in threads:
        thread.go.set()
    lock.release()
    for thread in threads:
        thread.join(20)
    assert threads[place].rc == -errno.ETIMEDOUT
    order.clear()
    return None


@pytest.mark.slow
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_timeout_leaves_the_queue_to_the_others(lock, waiters, place):
    """The first, the middle or the last of three gives up; a fourth comes."""
    order = []
    for patience_ns in (300 * MS, 3000 * MS, 30_000 * MS):
        threads = three_queued(lock, waiters, order, place, patience_ns)
        if threads:
            break
    assert threads
    threads[place].join(20)
    assert threads[place].rc == -errno.ETIMEDOUT
    assert lock.await_waiters(2)
    threads.append(waiters("3", order))
    assert lock.await_waiters(3)
    for thread in threads:
        thread.go.set()
    lock.release()
    for thread in threads:
        thread.join(20)
    assert order == [str(i) for i in range(4) if i != place]
    assert lock.queue_is_empty() and not lock.is_held()


def test_repair_keeps_the_forkers_lock(lock):
    lock.acquire()
    lock.repair()
    assert lock.is_mine() and lock.release() == 0


def test_repair_frees_that_of_a_thread_that_is_gone(lock):
    owner = threading.Thread(target=lock.acquire)
    owner.start()
    owner.join()
    assert lock.is_held()
    # The system may give a new thread the name of one that is gone, but not this one.
    assert not lock.is_mine()
    lock.repair()
    assert not lock.is_held()
    assert lock.acquire(0) == 0 and lock.release() == 0
