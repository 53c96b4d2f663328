"""Waiting for the iothread lock while asking whether to go on, as Python does for its signals."""

import errno
import threading

import pytest

MS = 1_000_000


class Asker(threading.Thread):
    """Acquires, asking; then notes its name and gives the lock back."""

    def __init__(self, lock, name, order, question, timeout_ns=-1):
        super().__init__(name=name)
        self.lock, self.order, self.question = lock, order, question
        self.timeout_ns = timeout_ns
        self.rc = None

    def run(self):
        self.rc = self.lock.acquire_asking(self.question, self.timeout_ns)
        if self.rc == 0:
            self.order.append(self.name)
            self.lock.release()


@pytest.fixture
def lock(probe_lock):
    """A lock that this thread holds."""
    lock = probe_lock.Lock()
    assert lock.acquire() == 0
    yield lock
    assert not lock.is_held() and lock.queue_is_empty() and not lock.is_wanted()


@pytest.fixture
def askers(lock):
    """enqueue(name, order, question): a thread that waits behind those before it."""
    threads = []

    def enqueue(name, order, question, timeout_ns=-1):
        threads.append(Asker(lock, name, order, question, timeout_ns))
        threads[-1].start()
        assert lock.await_waiters(sum(thread.is_alive() for thread in threads))
        return threads[-1]

    yield enqueue
    if lock.is_mine():
        lock.release()
    for thread in threads:
        thread.join(20)


class Question:
    """Asked; answers False until it is told otherwise, or what it is given."""

    def __init__(self, answer=lambda: False):
        self.answer = answer
        self.asked = threading.Semaphore(0)
        self.times = 0

    def __call__(self):
        self.times += 1
        self.asked.release()
        return self.answer()


def test_who_asks_keeps_the_place(lock, askers):
    """Once it is back from asking; whoever is behind goes first meanwhile."""
    for _ in range(50):
        order, question = [], Question()
        first = askers("first", order, question)
        second = askers("second", order, lambda: False)
        for _ in range(2):
            assert question.asked.acquire(timeout=20)
        assert lock.await_all_at_home()
        times = question.times
        lock.release()
        first.join(20)
        second.join(20)
        if question.times == times:
            assert order == ["first", "second"]
            return
        # The release took so long that it was away again.
        assert sorted(order) == ["first", "second"]
        assert lock.acquire() == 0
    raise AssertionError("it is always away")


def test_who_has_enough_leaves_the_queue_to_the_others(lock, askers):
    order = []
    enough = threading.Event()
    first = askers("first", order, enough.is_set)
    enough.set()
    first.join(20)
    assert first.rc == -errno.EINTR
    assert lock.is_mine() and not lock.is_wanted()
    assert lock.queue_is_empty()


def test_one_in_the_middle_has_enough(lock, askers):
    order, enough = [], threading.Event()
    others = [askers("first", order, lambda: False)]
    middle = askers("middle", order, enough.is_set)
    others.append(askers("last", order, lambda: False))
    enough.set()
    middle.join(20)
    assert middle.rc == -errno.EINTR
    lock.release()
    for other in others:
        other.join(20)
    assert order == ["first", "last"]


def test_who_is_away_asking_holds_nobody_up(lock, askers):
    order, back = [], threading.Event()
    question = Question(lambda: back.wait(20) and False)
    first = askers("first", order, question)
    second = askers("second", order, lambda: False)
    assert question.asked.acquire(timeout=20)
    lock.release()
    second.join(20)
    assert order == ["second"]
    assert not lock.is_held()
    back.set()
    first.join(20)
    assert order == ["second", "first"]


def test_what_is_asked_may_take_the_lock_and_give_it_back(lock, askers):
    order, away, done = [], threading.Event(), threading.Event()

    def nested():
        if not done.is_set():
            away.set()
            assert lock.acquire() == 0
            order.append("nested")
            assert lock.release() == 0
            done.set()
        return False

    first = askers("first", order, nested)
    assert away.wait(20)
    lock.release()
    first.join(20)
    assert order == ["nested", "first"]


def test_what_is_asked_may_leave_the_lock_held(lock, askers):
    def keep():
        lock.acquire()
        return False

    first = Asker(lock, "first", [], keep)
    first.run = lambda: setattr(first, "rc", (lock.acquire_asking(keep), lock.release()))
    first.start()
    assert lock.await_waiters(1)
    lock.release()
    first.join(20)
    assert first.rc in [(-errno.EDEADLK, 0), (0, 0)]  # (0, 0): it got it before it asked


def test_a_timeout_ends_also_who_asks(lock, askers):
    question = Question()
    first = askers("first", [], question, 50 * MS)
    first.join(20)
    assert first.rc == -errno.ETIMEDOUT
    assert question.asked.acquire(blocking=False)


def test_a_forked_child_queues_anew(lock, askers):
    """What fork does to the queue, in the thread that forked: nobody but itself waits."""
    order, repaired = [], []

    def fork():
        if not repaired:
            lock.repair()
            repaired.append(1)
        return False

    first = askers("first", order, fork)
    first.join(20)
    assert first.rc == 0 and order == ["first"]


def test_who_holds_it_after_asking_is_told_so(lock, askers):
    """What is asked may take the very lock, as a Python signal handler does: it keeps it."""
    came, go_on = threading.Event(), threading.Event()

    def take_it():
        came.set()
        assert go_on.wait(20)
        assert lock.acquire() == 0
        return False

    done = []

    def acquire():
        done.append(lock.acquire_asking(take_it))
        done.append(lock.is_mine())
        lock.release()

    thread = threading.Thread(target=acquire)
    thread.start()
    assert came.wait(20)
    lock.release()
    go_on.set()
    thread.join(20)
    assert done == [-errno.EDEADLK, True]
