"""fileno(): the host is told of every change outside wait(), whoever makes it."""

import fcntl
import os
import select
import signal
import threading
import time

import pytest

import qemu_mainloop as q

pytestmark = pytest.mark.posix_only(reason="no kernel object shows what a loop waits for")

FAR_NS = 3600 * 10**9


class Host:
    """A loop in the hands of poll(), which has no timeout but the test's own patience."""

    def __init__(self, loop):
        self.loop = loop
        self.poll = select.poll()
        self.poll.register(loop.fileno(), select.POLLIN)

    def is_readable(self):
        return bool(self.poll.poll(0))

    def settle(self):
        """Iterate until the descriptor is quiet: it may be readable for nothing, not for ever."""
        for _ in range(20):
            if not self.is_readable():
                return
            self.loop.wait(True)
        raise AssertionError("readable for ever, with nothing to do")

    def serve(self, predicate):
        """Iterate when told to until predicate(), within twenty seconds."""
        end = time.monotonic() + 20
        while not predicate():
            assert self.poll.poll(max(0, end - time.monotonic()) * 1000), "the host was never told"
            self.loop.wait(True)


@pytest.fixture
def host(loop):
    """A settled host of a loop on each fdmon."""
    host = Host(loop)
    host.settle()
    return host


def here(function):
    function()


def elsewhere(function):
    thread = threading.Thread(target=function)
    thread.start()
    thread.join()


def in_a_signal_handler(function):
    old = signal.signal(signal.SIGUSR1, lambda *_: function())
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, old)


@pytest.fixture(params=[here, elsewhere, in_a_signal_handler])
def by(request):
    """Who makes the change."""
    return request.param


def test_a_registration_shows_at_once(host, pipe, by):
    """Section 2.5: interest goes to a kernel object at once, on every fdmon."""
    got = []
    os.write(pipe[1], b"x")
    by(lambda: host.loop.set_fd_handler(pipe[0], lambda: got.append(os.read(pipe[0], 10))))
    assert host.is_readable()
    host.serve(lambda: got)
    host.settle()


def test_a_removal_shows_at_once(host, pipe, by):
    """Section 2.5: the same for what is taken back."""
    host.loop.set_fd_handler(pipe[1], None, lambda: None)
    assert host.is_readable()
    by(lambda: host.loop.set_fd_handler(pipe[1]))
    host.settle()


def test_a_replacement_shows_at_once(host, pipe, by):
    """Section 2.5: interest in writing alone, then in reading, of which there is nothing."""
    with_data, calls = os.dup(pipe[1]), []
    try:
        host.loop.set_fd_handler(with_data, None, lambda: calls.append("write"))
        host.serve(lambda: calls)
        by(lambda: host.loop.set_fd_handler(with_data, lambda: calls.append("read")))
        host.settle()
        assert "read" not in calls
    finally:
        host.loop.set_fd_handler(with_data)
        os.close(with_data)


@pytest.mark.parametrize("what", ["notify", "schedule", "schedule_idle", "mod_ns"])
def test_work_shows_at_once(host, by, what):
    """Section 2.5: outside wait the loop counts as asleep, so every notification is written."""
    ran = []
    bh, timer = host.loop.bh_new(lambda: ran.append(1)), host.loop.timer_new(lambda: ran.append(1))
    change = {"notify": host.loop.notify, "schedule": bh.schedule,
              "schedule_idle": bh.schedule_idle, "mod_ns": lambda: timer.mod_ns(0)}[what]
    by(change)
    assert host.poll.poll(20_000)
    if what == "notify":
        host.settle()
    else:
        host.serve(lambda: ran)
        host.settle()


def test_stop_ends_a_run_of_the_host(host, by):
    """Section 2.5: stop() notifies, as everything does."""
    by(host.loop.stop)
    assert host.is_readable()
    host.loop.run()
    host.settle()


@pytest.mark.parametrize("clock", [q.Clock.REALTIME, q.Clock.HOST], ids=lambda clock: clock.name)
def test_an_earlier_deadline_arms_it_anew(host, by, clock):
    """Section 2.5: a changed earliest deadline re-arms the timerfd, never early."""
    ran = []
    far = host.loop.timer_new(print, clock)
    near = host.loop.timer_new(lambda: ran.append(q.clock_get_ns(clock)), clock)
    far.mod_ns(q.clock_get_ns(clock) + FAR_NS)
    host.settle()
    due = q.clock_get_ns(clock) + 20_000_000
    by(lambda: near.mod_ns(due))
    host.serve(lambda: ran)
    assert ran[0] >= due
    host.settle()
    far.delete()


@pytest.mark.parametrize("change", ["mod_ns", "delete"])
def test_a_later_deadline_leaves_it_quiet(host, by, change):
    """Section 2.5: the time that is not wanted any more tells the host nothing in the end."""
    ran = []
    timer = host.loop.timer_new(lambda: ran.append(1))
    timer.mod_ns(q.clock_get_ns() + 1_000_000)
    by(lambda: timer.mod_ns(q.clock_get_ns() + FAR_NS) if change == "mod_ns" else timer.delete())
    with q.MainLoop() as watch:
        over = []
        tick = watch.timer_new(lambda: over.append(1))
        tick.mod_ns(q.clock_get_ns() + 5_000_000)
        assert watch.run_until(lambda: over, timeout=10)
    host.settle()
    assert ran == []


def test_starting_the_virtual_clock_tells_the_host(host, virtual, base, by):
    """Section 2.5: its timers have a deadline then, and none again when it is stopped."""
    ran = []
    timer = host.loop.timer_new(lambda: ran.append(1), q.Clock.VIRTUAL)
    timer.mod_ns(base + 1_000_000)
    host.settle()
    by(lambda: q.clock_enable(q.Clock.VIRTUAL, True))
    host.serve(lambda: ran)
    q.clock_enable(q.Clock.VIRTUAL, False)
    timer.mod_ns(virtual() + 1)
    host.settle()
    assert ran == [1]


def test_stepping_the_virtual_clock_in_another_thread_tells_the_host(host, base):
    """Row virtual clock: the loops of other threads are woken, hosted ones too."""
    ran = []
    timer = host.loop.timer_new(lambda: ran.append(1), q.Clock.VIRTUAL)
    timer.mod_ns(base + 10)
    host.loop.wait(True)
    host.settle()
    elsewhere(lambda: q.clock_step(20))
    host.serve(lambda: ran)
    host.settle()


def test_what_is_left_over_by_an_exception_keeps_it_readable(host):
    """Section 2.5: also when wait() ends by an exception."""
    ran = []

    def fail():
        again.schedule()
        raise ValueError("on purpose")

    failing, again = host.loop.bh_new(fail), host.loop.bh_new(lambda: ran.append(1))
    failing.schedule()
    with pytest.raises(ValueError, match="on purpose"):
        host.loop.wait(True)
    if not ran:
        host.serve(lambda: ran)
    timer = host.loop.timer_new(lambda: again.schedule() or failing.schedule())
    timer.mod_ns(0)
    with pytest.raises(ValueError, match="on purpose"):
        host.serve(lambda: len(ran) == 3)


def test_a_descriptor_that_has_hung_up_is_not_told_for_ever(host, pipe):
    """Section 2.5; fd handlers, hang-up: what nobody asked for is left alone for 10 ms."""
    calls = []
    host.loop.set_fd_handler(pipe[0], None, lambda: calls.append("write"))
    os.close(pipe[1])
    before = host.loop.info()["iterations"]
    end = time.monotonic() + 0.1
    while time.monotonic() < end:
        if host.poll.poll(max(0, (end - time.monotonic()) * 1000)):
            host.loop.wait(True)
    assert host.loop.info()["iterations"] - before < 100
    host.loop.set_fd_handler(pipe[0])


@pytest.mark.parametrize("what", ["schedule", "notify", "timer"])
def test_nothing_is_lost_under_load(host, what):
    """Section 2.5: threads and host at full speed, and no wake-up is lost."""
    rounds, threads = 1000, 2
    seen = [0] * threads
    served = [threading.Semaphore(0) for _ in range(threads)]

    def note(i):
        seen[i] += 1
        served[i].release()

    bhs = [host.loop.bh_new(lambda i=i: note(i)) for i in range(threads)]
    timers = [host.loop.timer_new(lambda i=i: note(i)) for i in range(threads)]

    def produce(i):
        for _ in range(rounds):
            if what == "timer":
                timers[i].mod_ns(0)
            else:
                bhs[i].schedule()
                if what == "notify":
                    host.loop.notify()
            served[i].acquire()

    producers = [threading.Thread(target=produce, args=(i,)) for i in range(threads)]
    for producer in producers:
        producer.start()
    host.serve(lambda: seen == [rounds] * threads)
    for producer in producers:
        producer.join()
    host.settle()


def test_a_closed_descriptor_whose_file_lives_on_is_forgotten(host, pipe, other_pipe):
    """The kernel's set is made anew: the host hears of the new one, and of the old one no more."""
    calls, got = [], []
    number = fcntl.fcntl(pipe[0], fcntl.F_DUPFD_CLOEXEC, 200)
    host.loop.set_fd_handler(number, lambda: calls.append(1))
    os.write(pipe[1], b"x")
    host.serve(lambda: calls)
    os.close(number)
    for _ in range(40):
        host.loop.wait(True)
    assert len(calls) <= 9
    host.settle()
    host.loop.set_fd_handler(other_pipe[0], lambda: got.append(os.read(other_pipe[0], 1)))
    host.settle()
    os.write(other_pipe[1], b"y")
    assert host.is_readable()
    host.serve(lambda: got)
    host.settle()
