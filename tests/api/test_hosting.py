"""fileno(): another loop hosts this one, with no timeout of its own."""

import os
import select
import signal
import threading
import time

import pytest

pytestmark = pytest.mark.posix_only(reason="no kernel object shows what a loop waits for")


class Host:
    """A loop in epoll's hands: it is iterated only when its descriptor is readable."""

    def __init__(self, loop):
        self.loop = loop
        self.epoll = select.epoll()
        self.epoll.register(loop.fileno(), select.EPOLLIN)

    def is_readable(self):
        return bool(self.epoll.poll(0))

    def settle(self):
        """Iterate until the descriptor is quiet: it may be readable for nothing, not for ever."""
        for _ in range(20):
            if not self.is_readable():
                return
            self.loop.wait(True)
        raise AssertionError("readable for ever, with nothing to do")

    def serve(self, predicate):
        """Iterate when told to until predicate(), within ten seconds."""
        end = time.monotonic() + 10
        while not predicate():
            assert self.epoll.poll(max(0, end - time.monotonic())), "the host was never told"
            self.loop.wait(True)


@pytest.fixture
def host(loop):
    """A settled host of a loop on each fdmon."""
    host = Host(loop)
    host.settle()
    yield host
    host.epoll.close()


def test_a_descriptor_is_told_at_once(host, pipe):
    """Section 2.5: interest goes to a kernel object at once, no iteration needed."""
    got = []
    host.loop.set_fd_handler(pipe[0], lambda: got.append(os.read(pipe[0], 10)))
    host.settle()
    os.write(pipe[1], b"x")
    assert host.is_readable()
    host.serve(lambda: got)
    host.settle()


def test_a_descriptor_that_is_ready_when_it_is_registered_is_told(host, pipe):
    """Section 2.5: also without a call of wait() in between."""
    got = []
    os.write(pipe[1], b"x")
    host.loop.set_fd_handler(pipe[0], lambda: got.append(os.read(pipe[0], 10)))
    host.serve(lambda: got)


def test_a_descriptor_registered_before_the_first_fileno_is_told(loop, pipe):
    """Section 2.5: the first call puts the context into nested mode, with all it has."""
    got = []
    loop.set_fd_handler(pipe[0], lambda: got.append(os.read(pipe[0], 10)))
    host = Host(loop)
    os.write(pipe[1], b"x")
    host.serve(lambda: got)
    host.epoll.close()


def test_a_removed_descriptor_is_quiet_at_once(host, pipe):
    """Section 2.5: descriptor changes at once."""
    host.loop.set_fd_handler(pipe[1], None, lambda: None)
    assert host.is_readable()
    host.loop.set_fd_handler(pipe[1])
    host.settle()


def test_a_timer_needs_no_timeout_of_the_host(host):
    """Section 2.5: a timerfd has the earliest deadline."""
    ran = []
    timer = host.loop.timer_new(lambda: ran.append(time.monotonic_ns()))
    due = time.monotonic_ns() + 10_000_000
    timer.mod_ns(due)
    host.serve(lambda: ran)
    assert ran[0] >= due
    host.settle()


def test_an_earlier_deadline_is_armed_anew(host):
    """Section 2.5: a changed earliest deadline re-arms it."""
    ran = []
    timer = host.loop.timer_new(lambda: ran.append(1))
    timer.mod_ns(time.monotonic_ns() + 3600 * 10**9)
    host.settle()
    timer.mod_ns(time.monotonic_ns() + 1_000_000)
    host.serve(lambda: ran)


@pytest.mark.parametrize("method", ["schedule", "schedule_idle"])
@pytest.mark.parametrize("elsewhere", [False, True])
def test_a_bottom_half_is_told(host, method, elsewhere):
    """Section 2.5: outside wait the context counts as asleep, for every thread."""
    ran = []
    bh = host.loop.bh_new(lambda: ran.append(1))
    if elsewhere:
        thread = threading.Thread(target=getattr(bh, method))
        thread.start()
        thread.join()
    else:
        getattr(bh, method)()
    host.serve(lambda: ran)
    host.settle()


def test_a_bottom_half_scheduled_before_the_first_fileno_is_told(loop):
    """Section 2.5: what is pending keeps it readable."""
    ran = []
    bh = loop.bh_new(lambda: ran.append(1))
    bh.schedule()
    host = Host(loop)
    host.serve(lambda: ran)
    host.epoll.close()


def test_a_bottom_half_that_schedules_itself_keeps_it_readable(host):
    """Section 2.5: what is pending keeps it readable, also after wait()."""
    ran = []
    bh = host.loop.bh_new(lambda: (ran.append(1), len(ran) < 5 and bh.schedule()))
    bh.schedule()
    host.serve(lambda: len(ran) == 5)


def test_a_notification_is_told(host):
    """Section 2.5: every notify writes the eventfd."""
    host.loop.notify()
    assert host.is_readable()
    host.settle()


def test_a_regular_file_keeps_it_readable(host, tmp_path):
    """Section 2.5: what is always ready keeps it readable."""
    calls = []
    with open(tmp_path / "file", "w+") as file:
        host.loop.set_fd_handler(file, lambda: calls.append(1))
        for _ in range(3):
            assert host.is_readable()
            assert host.loop.wait(True) == 1
        host.loop.set_fd_handler(file)
        host.settle()
    assert calls == [1, 1, 1]


def test_a_child_and_a_signal_are_told(host):
    """Section 2.5: child watches and trapped signals too."""
    seen = []
    host.loop.add_signal_handler(signal.SIGUSR2, lambda: seen.append("signal"))
    signal.raise_signal(signal.SIGUSR2)
    host.serve(lambda: seen)
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 0"], os.environ)
    host.loop.add_child_watch(pid, lambda *_: seen.append("child"))
    host.serve(lambda: len(seen) == 2)
    assert seen == ["signal", "child"]


def test_the_fdmon_cannot_be_changed_any_more(host):
    """Section 2.5: hosted for good; the number would be another one."""
    with pytest.raises(OSError, match="poll"):
        host.loop._use_fdmon("poll")
