"""The contract of _core/fdmon.pxd on every fdmon of this build."""

import errno
import os
import select
import signal
import socket
import threading
import time

import pytest

import qemu_mainloop

MS = 1_000_000
LONG = 20_000 * MS


@pytest.fixture
def mon(probe_fdmon, fdmon):
    mon = probe_fdmon.Mon()
    assert mon.open(fdmon) == 0
    yield mon
    mon.close()


@pytest.fixture
def IN(probe_fdmon):
    return probe_fdmon.IN


@pytest.fixture
def OUT(probe_fdmon):
    return probe_fdmon.OUT


@pytest.fixture
def pipes():
    """Five pipes."""
    pairs = [os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC) for _ in range(5)]
    yield pairs
    for pair in pairs:
        for fd in pair:
            os.close(fd)


@pytest.fixture
def regular_file(tmp_path):
    (tmp_path / "file").write_bytes(b"x")
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CLOEXEC)
    yield fd
    os.close(fd)


def closed_number():
    """A number that no descriptor has."""
    fd = os.dup(0)
    os.close(fd)
    return fd


# ---- opening

def test_every_fdmon_is_registered_in_the_order_of_preference(probe_fdmon):
    assert probe_fdmon.registered() == list(qemu_mainloop.fdmons())


def test_the_first_is_the_default(probe_fdmon):
    mon = probe_fdmon.Mon()
    assert mon.open(None) == 0
    assert mon.name == probe_fdmon.registered()[0]
    mon.close()
    assert not mon.is_open()
    mon.close()


def test_unknown_and_unavailable_names(probe_fdmon):
    mon = probe_fdmon.Mon()
    assert mon.open("no_such_thing") == -errno.EINVAL
    assert not mon.is_open()
    assert mon.open("win32") == -errno.ENOTSUP
    assert not mon.is_open()


def test_opening_says_its_name(mon, fdmon):
    assert mon.name == fdmon


def test_an_empty_one_finds_nothing(mon):
    assert mon.wait(0) == []
    assert not mon.has_hidden()


# ---- update and wait

def test_add_change_remove(mon, sockets, IN, OUT):
    fd = sockets[0].fileno()
    assert mon.update(fd, 1, 0, IN) == 0
    assert mon.wait(0) == []
    assert mon.update(fd, 1, IN, IN | OUT) == 0
    assert mon.wait(0) == [(fd, 1, OUT)]
    sockets[1].send(b"x")
    assert mon.wait(0) == [(fd, 1, IN | OUT)]
    assert mon.update(fd, 1, IN | OUT, IN) == 0
    assert mon.wait(0) == [(fd, 1, IN)]
    assert mon.update(fd, 1, IN, 0) == 0
    assert mon.wait(0) == []
    assert mon.update(fd, 2, 0, OUT) == 0
    assert mon.wait(0) == [(fd, 2, OUT)]


def test_reports_are_level_triggered(mon, pipe, IN):
    os.write(pipe[1], b"xy")
    assert mon.update(pipe[0], 1, 0, IN) == 0
    for _ in range(3):
        assert mon.wait(0) == [(pipe[0], 1, IN)]
    os.read(pipe[0], 2)
    assert mon.wait(0) == []


def test_what_came_and_went_between_two_waits_is_not_reported(mon, pipe, IN):
    assert mon.update(pipe[0], 1, 0, IN) == 0
    assert mon.wait(0) == []
    os.write(pipe[1], b"x")
    os.read(pipe[0], 1)
    assert mon.wait(0) == []


def test_another_thread_sees_at_once_what_it_has_made_ready(mon, pipe, IN):
    """The kernel may have been asked by the thread that waited last."""
    seen = []

    def work():
        os.write(pipe[1], b"x")
        seen.append(mon.wait(0))

    assert mon.update(pipe[0], 1, 0, IN) == 0
    for _ in range(20):
        assert mon.wait(0) == []
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        os.read(pipe[0], 1)
        assert seen.pop() == [(pipe[0], 1, IN)]


@pytest.mark.parametrize("tag", [0, 1, 2**31, 2**32 - 1])
def test_reports_carry_the_tag(mon, pipe, OUT, tag):
    assert mon.update(pipe[1], tag, 0, OUT) == 0
    assert mon.wait(0) == [(pipe[1], tag, OUT)]


def test_a_new_tag_for_the_same_events(mon, pipe, OUT):
    mon.update(pipe[1], 7, 0, OUT)
    assert mon.update(pipe[1], 8, OUT, OUT) == 0
    assert mon.wait(0) == [(pipe[1], 8, OUT)]


def test_many(mon, IN):
    """More than any array begins with."""
    fds = [os.eventfd(1, os.EFD_CLOEXEC) for _ in range(100)]
    for tag, fd in enumerate(fds):
        assert mon.update(fd, tag, 0, IN) == 0
    assert mon.wait(0, 200) == sorted((fd, tag, IN) for tag, fd in enumerate(fds))
    for fd in fds[::2]:
        assert mon.update(fd, 0, IN, 0) == 0
    assert [fd for fd, _, _ in mon.wait(0, 200)] == sorted(fds[1::2])
    for fd in fds:
        os.close(fd)


def test_a_timeout_takes_its_time(mon, pipe, IN):
    mon.update(pipe[0], 1, 0, IN)
    for timeout_ns in (1, MS // 2, 3 * MS):
        before = time.monotonic_ns()
        assert mon.wait(timeout_ns) == []
        assert time.monotonic_ns() - before >= timeout_ns


def test_what_is_ready_ends_the_wait(mon, pipe, IN):
    mon.update(pipe[0], 1, 0, IN)
    os.write(pipe[1], b"x")
    for timeout_ns in (0, LONG, -1):
        assert mon.wait(timeout_ns) == [(pipe[0], 1, IN)]


@pytest.mark.parametrize("timeout_ns", [LONG, -1])
def test_what_becomes_ready_ends_the_wait(mon, pipe, IN, timeout_ns):
    mon.update(pipe[0], 1, 0, IN)
    writer = threading.Thread(target=os.write, args=(pipe[1], b"x"))
    writer.start()
    assert mon.wait(timeout_ns) == [(pipe[0], 1, IN)]
    writer.join()


@pytest.mark.parametrize("timeout_ns", [LONG, -1])
def test_the_mask_is_in_force_while_it_waits(mon, pipe, IN, timeout_ns):
    mon.update(pipe[0], 1, 0, IN)
    came = []
    before = signal.signal(signal.SIGUSR1, lambda *args: came.append(args[0]))
    try:
        assert mon.wait_for_signal(timeout_ns, signal.SIGUSR1) == -errno.EINTR
        assert came == [signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_more_ready_than_asked_for(mon, pipes, IN):
    for tag, (fd, end) in enumerate(pipes):
        mon.update(fd, tag, 0, IN)
        os.write(end, b"x")
    expected = {(fd, tag, IN) for tag, (fd, _) in enumerate(pipes)}
    seen = set()
    while len(seen) < 5:
        reports = mon.wait(0, 2)
        assert len(reports) == min(2, 5 - len(seen))
        assert expected.issuperset(reports) and seen.isdisjoint(reports)
        seen.update(reports)
        for fd, _, _ in reports:
            os.read(fd, 1)
    assert mon.wait(0, 2) == []


# ---- regular files, which some kernels refuse to watch

def test_a_regular_file_is_always_ready(mon, regular_file, IN, OUT):
    assert mon.update(regular_file, 5, 0, IN) == 0
    assert mon.has_hidden()
    for timeout_ns in (0, LONG, -1):
        assert mon.wait(timeout_ns) == [(regular_file, 5, IN)]
    assert mon.update(regular_file, 6, IN, IN | OUT) == 0
    assert mon.wait(0) == [(regular_file, 6, IN | OUT)]
    assert mon.update(regular_file, 6, IN | OUT, 0) == 0
    assert mon.wait(0) == [] and not mon.has_hidden()


@pytest.mark.parametrize("most", [1, 2, 3, 64])
def test_a_regular_file_beside_others(mon, regular_file, pipes, IN, most):
    mon.update(regular_file, 9, 0, IN)
    expected = {(regular_file, 9, IN)}
    for tag, (fd, end) in enumerate(pipes):
        mon.update(fd, tag, 0, IN)
        os.write(end, b"x")
        expected.add((fd, tag, IN))
    reports = mon.wait(LONG, most)
    assert len(reports) == min(most, 6) and expected.issuperset(reports)
    mon.update(regular_file, 9, IN, 0)
    expected.discard((regular_file, 9, IN))
    assert set(mon.wait(0)) == expected


def test_the_number_of_a_regular_file_comes_to_name_a_pipe(mon, regular_file, pipe, IN):
    number = os.dup(regular_file)
    mon.update(number, 1, 0, IN)
    os.dup2(pipe[0], number, False)
    assert mon.update(number, 2, IN, IN) == 0
    assert mon.wait(0) == []
    os.write(pipe[1], b"x")
    assert mon.wait(0) == [(number, 2, IN)]
    os.dup2(regular_file, number, False)
    os.read(pipe[0], 1)
    assert mon.update(number, 3, IN, IN) == 0
    assert (number, 3, IN) in mon.wait(0)
    mon.update(number, 3, IN, 0)
    os.close(number)


# ---- ends

def test_a_hang_up_is_reported(mon, probe_fdmon, IN):
    ours, theirs = os.pipe2(os.O_CLOEXEC)
    mon.update(ours, 1, 0, IN)
    os.close(theirs)
    (fd, tag, events), = mon.wait(LONG)
    assert (fd, tag) == (ours, 1) and events & probe_fdmon.HUP
    assert mon.update(ours, 1, IN, 0) == 0
    assert mon.wait(0) == []                          # who wants nothing hears nothing
    os.close(ours)


def test_an_error_is_reported(mon, probe_fdmon, OUT):
    theirs, ours = os.pipe2(os.O_CLOEXEC)
    mon.update(ours, 1, 0, OUT)
    os.close(theirs)
    (fd, tag, events), = mon.wait(LONG)
    assert (fd, tag) == (ours, 1) and events & probe_fdmon.ERR
    mon.update(ours, 1, OUT, 0)
    os.close(ours)


def test_the_peer_is_gone(mon, probe_fdmon, IN):
    ours, theirs = socket.socketpair()
    mon.update(ours.fileno(), 1, 0, IN)
    theirs.close()
    (_, _, events), = mon.wait(LONG)
    assert events & IN and events & probe_fdmon.HUP
    mon.update(ours.fileno(), 1, IN, 0)
    ours.close()


def test_a_number_that_is_not_open(mon, probe_fdmon, IN):
    """Said at once, or, by one that leaves asking to the wait, by its report."""
    number = closed_number()
    rc = mon.update(number, 1, 0, IN)
    if rc == 0:
        assert mon.wait(LONG) == [(number, 1, probe_fdmon.NVAL)]
        mon.update(number, 1, IN, 0)
    else:
        assert rc == -errno.EBADF
    assert mon.wait(0) == []


def test_closed_while_it_is_watched(mon, IN, OUT):
    ours, theirs = socket.socketpair()
    number = ours.fileno()
    mon.update(number, 1, 0, IN)
    ours.close()
    assert mon.update(number, 1, IN, 0) == 0
    assert mon.wait(0) == []
    theirs.close()


def test_the_number_comes_to_name_another_file(mon, pipes, IN):
    number = os.dup(pipes[0][0])
    mon.update(number, 1, 0, IN)
    os.close(number)
    assert os.dup(pipes[1][0]) == number
    assert mon.update(number, 2, IN, IN) == 0
    os.write(pipes[1][1], b"x")
    assert (number, 2, IN) in mon.wait(0)
    mon.update(number, 2, IN, 0)
    os.close(number)


def test_told_of_nothing_watched_where_there_is_something(mon, pipe, OUT):
    mon.update(pipe[1], 1, 0, OUT)
    assert mon.update(pipe[1], 2, 0, OUT) == 0
    assert mon.wait(0) == [(pipe[1], 2, OUT)]


def test_what_nobody_has_ever_watched_is_removed(mon):
    assert mon.update(5000, 0, 0, 0) == 0
    assert mon.wait(0) == []


def test_many_are_watched_by_another_thread(mon, pipe, IN):
    """More than the kernel is told of in one call."""
    numbers = [os.dup(pipe[0]) for _ in range(600)]
    try:
        for tag, fd in enumerate(numbers):
            mon.update(fd, tag, 0, IN)
        assert mon.wait(0) == []
        waits = []
        thread = threading.Thread(target=lambda: waits.append(mon.wait(0)))
        thread.start()
        thread.join()
        assert waits == [[]]
        os.write(pipe[1], b"x")
        expected = sorted((fd, tag, IN) for tag, fd in enumerate(numbers))
        assert mon.wait(LONG, 1000) == expected
    finally:
        for fd in numbers:
            mon.update(fd, 0, IN, 0)
            os.close(fd)


# ---- detaching

def test_detaching_at_once_or_not_now(mon, pipe, OUT):
    mon.update(pipe[1], 1, 0, OUT)
    rc = mon.detach(pipe[1])
    if rc != 0:
        assert rc == -errno.EAGAIN
        assert mon.wait(0) == [(pipe[1], 1, OUT)]
        assert mon.update(pipe[1], 1, OUT, 0) == 0
    assert mon.wait(0) == []


def until_asleep(thread):
    """It has nothing to do but to wait."""
    stat = f"/proc/self/task/{thread.native_id}/stat"
    while open(stat).read().rpartition(")")[2].split()[0] != "S":  # noqa: SIM115
        os.sched_yield()


@pytest.mark.parametrize("order,talks", [(1, True), (-1, True), (1, False)],
                         ids=["the first one", "the last one", "a silent one"])
def test_detaching_while_another_thread_waits(mon, pipes, IN, order, talks):
    (gone, end), (kept, kept_end) = pipes[:2]
    for fd, tag in [(gone, 1), (kept, 2)][::order]:
        mon.update(fd, tag, 0, IN)
    waits = []

    def wait():
        # What ends a request to the kernel may end the wait for all: it goes on.
        while not waits or waits[-1] == -errno.EINTR:
            waits.append(mon.wait(LONG))

    waiter = threading.Thread(target=wait)
    waiter.start()
    until_asleep(waiter)
    rc = mon.detach(gone)
    if rc == 0 and talks:
        os.write(end, b"x")                           # nobody looks any more
    os.write(kept_end, b"x")
    waiter.join()
    assert rc in (0, -errno.EAGAIN)
    assert waits[-1] == [(kept, 2, IN)]


def test_a_regular_file_is_not_detached_under_the_kernel(mon, regular_file, IN):
    mon.update(regular_file, 1, 0, IN)
    rc = mon.detach(regular_file)
    assert rc == (-errno.EAGAIN if mon.wait(0) else 0)
    mon.update(regular_file, 1, IN, 0)
    assert mon.wait(0) == []


# ---- being waited for

def readable(fd):
    return bool(select.select([fd], [], [], 0)[0])


def test_its_descriptor_is_readable_when_it_would_report(mon, pipe, IN):
    assert mon.update(pipe[0], 1, 0, IN) == 0
    if mon.fileno() < 0:
        assert mon.has_hidden()                       # so a host knows that it cannot see
        return
    assert not mon.has_hidden()
    assert not readable(mon.fileno())
    os.write(pipe[1], b"x")
    assert readable(mon.fileno())
    assert mon.wait(0) == [(pipe[0], 1, IN)]
    os.read(pipe[0], 1)
    assert not readable(mon.fileno())
    os.write(pipe[1], b"x")
    mon.update(pipe[0], 1, IN, 0)
    assert not readable(mon.fileno())


# ---- starting anew

def test_rebuilding_forgets_everything(mon, pipes, regular_file, IN):
    number = mon.fileno()
    for tag, (fd, end) in enumerate(pipes):
        mon.update(fd, tag, 0, IN)
        os.write(end, b"x")
    mon.update(regular_file, 9, 0, IN)
    assert len(mon.wait(0)) == 6
    assert mon.rebuild() == 0
    assert mon.fileno() == number
    assert mon.wait(0) == [] and not mon.has_hidden()
    for tag, (fd, _) in enumerate(pipes):
        assert mon.update(fd, 10 + tag, 0, IN) == 0
    assert mon.update(regular_file, 19, 0, IN) == 0
    assert mon.wait(0) == sorted(
        [(fd, 10 + tag, IN) for tag, (fd, _) in enumerate(pipes)] + [(regular_file, 19, IN)])


def test_rebuilding_drops_what_cannot_be_named(mon, pipe, IN):
    """An entry that outlived its number, because a duplicate keeps the file open."""
    number = os.dup(pipe[0])
    mon.update(number, 1, 0, IN)
    os.write(pipe[1], b"x")
    os.close(number)
    assert len(mon.wait(0)) == 1                      # stale, or invalid
    assert mon.rebuild() == 0
    assert mon.wait(0) == []
