"""Every name of main-loop.h in Python: one behaviour each, on the main loop."""

import os
import signal
import threading

import pytest

import qemu_mainloop as q


@pytest.fixture
def ran():
    """What the callbacks were given."""
    return []


@pytest.mark.posix_only(reason="there is no such signal")
def test_sig_ipi_is_sigusr1():
    """Section 2.1: SIG_IPI."""
    assert q.SIG_IPI == signal.SIGUSR1


@pytest.mark.parametrize("init", [q.qemu_init_main_loop, q.main_loop_init])
def test_init_again_returns_zero_and_leaves_the_lock_alone(main_loop, init):
    """Row who holds it: a later call returns 0 and leaves it as it is."""
    assert init() == 0
    assert not q.qemu_mutex_iothread_locked()


def test_main_loop_wait_returns_the_number_of_descriptors(main_loop, pipe, ran):
    """Row main_loop_wait returns."""
    assert q.main_loop_wait(True) == 0
    q.qemu_set_fd_handler(pipe[1], None, ran.append, "opaque")
    assert q.main_loop_wait(False) == 1


def test_notify_event_ends_the_next_wait(main_loop):
    """Row notification: sticky, and it counts 0."""
    q.qemu_notify_event()
    assert q.main_loop_wait(False) == 0


def test_set_fd_handler_gives_opaque_to_its_callbacks(main_loop, sockets, ran):
    """Section 3: the same argument order, each callback receiving opaque."""
    a, b = sockets
    b.send(b"x")
    assert (
        q.qemu_set_fd_handler(
            a.fileno(), lambda o: ran.append(("r", o)), lambda o: ran.append(("w", o)), "x"
        )
        == 0
    )
    q.main_loop_wait(False)
    assert ran == [("r", "x"), ("w", "x")]


def test_set_fd_handler_with_no_callback_removes(main_loop, pipe, ran):
    """Row fd handler: both NULL is removal, and never an error."""
    q.qemu_set_fd_handler(pipe[1], None, ran.append, None)
    assert q.qemu_set_fd_handler(pipe[1], None, None, None) == 0
    assert q.qemu_set_fd_handler(pipe[1], None, None, None) == 0
    assert q.main_loop_wait(True) == 0
    assert ran == []


def test_set_fd_handler2_asks_fd_read_poll_first(main_loop, pipe, ran):
    """Row fd_read_poll: it gets opaque, and while it says no there is no reading."""
    answers = [0, 7]

    def can_read(opaque):
        ran.append(("poll", opaque))
        return answers.pop(0)

    os.write(pipe[1], b"x")
    q.qemu_set_fd_handler2(pipe[0], can_read, lambda o: ran.append(("read", o)), None, "x")
    assert q.main_loop_wait(True) == 0
    assert q.main_loop_wait(True) == 1
    assert ran == [("poll", "x"), ("poll", "x"), ("read", "x")]


def test_fd_read_poll_alone_does_not_register(main_loop, pipe, ran):
    """Row fd_read_poll: without fd_read there is nothing to ask for."""
    q.qemu_set_fd_handler2(pipe[0], ran.append, None, None, None)
    q.main_loop_wait(True)
    assert ran == []


def test_bh_new_gives_opaque_to_its_callback(main_loop, ran):
    """Section 3: qemu_bh_new(cb, opaque), qemu_bh_schedule(bh)."""
    bh = q.qemu_bh_new(ran.append, "opaque")
    q.qemu_bh_schedule(bh)
    q.main_loop_wait(True)
    assert ran == ["opaque"]


def test_bh_schedule_idle_runs_within_ten_milliseconds(main_loop, ran):
    """Row blocking wait: until an idle bottom half (10 ms)."""
    bh = q.qemu_bh_new(ran.append, 1)
    q.qemu_bh_schedule_idle(bh)
    q.main_loop_wait(False)
    assert ran == [1]


@pytest.mark.parametrize("take_back", [q.qemu_bh_cancel, q.qemu_bh_delete])
def test_bh_cancel_and_delete_take_the_schedule_back(main_loop, ran, take_back):
    """Row delete / cancel."""
    bh = q.qemu_bh_new(ran.append, 1)
    q.qemu_bh_schedule(bh)
    take_back(bh)
    q.main_loop_wait(True)
    assert ran == []


def test_bh_poll_says_whether_one_that_was_not_idle_ran(main_loop, ran):
    """Section 2.1: qemu_bh_poll runs bottom halves without an iteration."""
    bh = q.qemu_bh_new(ran.append, 1)
    assert q.qemu_bh_poll() == 0
    q.qemu_bh_schedule_idle(bh)
    assert q.qemu_bh_poll() == 0
    q.qemu_bh_schedule(bh)
    assert q.qemu_bh_poll() == 1
    assert ran == [1, 1]


@pytest.mark.parametrize(
    ("scheduled", "given", "expected"),
    [
        (None, 2**32 - 1, 2**32 - 1),
        (None, 5, 5),
        (q.qemu_bh_schedule_idle, 2**32 - 1, 10),
        (q.qemu_bh_schedule_idle, 5, 5),
        (q.qemu_bh_schedule, 2**32 - 1, 0),
        (q.qemu_bh_schedule, 0, 0),
    ],
)
def test_bh_update_timeout_lowers_it_and_never_raises_it(main_loop, scheduled, given, expected):
    """Section 2.1: qemu_bh_update_timeout, in milliseconds."""
    bh = q.qemu_bh_new(print, None)
    if scheduled is not None:
        scheduled(bh)
    assert q.qemu_bh_update_timeout(given) == expected
    q.qemu_bh_delete(bh)


def test_add_child_watch_reaps(main_loop):
    """Row child watch; twice is a ValueError from Python."""
    pid = os.posix_spawn("/bin/sh", ["sh", "-c", "exit 0"], os.environ)
    assert q.qemu_add_child_watch(pid) == 0
    with pytest.raises(ValueError, match=str(pid)):
        q.qemu_add_child_watch(pid)
    assert main_loop.run_until(lambda: not main_loop.info()["child_watches"], timeout=10)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)


def test_the_iothread_mutex_is_the_loops_lock(main_loop):
    """Section 2.1: lock, unlock, and "held by me" is by this thread."""
    q.qemu_mutex_lock_iothread()
    assert main_loop.lock.locked()
    elsewhere = []
    thread = threading.Thread(target=lambda: elsewhere.append(q.qemu_mutex_iothread_locked()))
    thread.start()
    thread.join()
    assert q.qemu_mutex_iothread_locked()
    q.qemu_mutex_unlock_iothread()
    assert elsewhere == [False] and not main_loop.lock.locked()


def test_a_polling_callback_that_says_yes_keeps_the_wait_from_blocking(main_loop, ran):
    """Row wait objects, polling callbacks: non-zero means do not block."""

    def poll(opaque):
        ran.append(opaque)
        return 1

    assert q.qemu_add_polling_cb(poll, "x") == 0
    assert q.main_loop_wait(False) == 0
    q.qemu_del_polling_cb(poll, "x")
    q.main_loop_wait(True)
    assert ran == ["x"]


def test_a_wait_object_calls_back_until_it_is_removed(main_loop, ran):
    """Row wait objects: any descriptor that polls readable; a second one is EEXIST."""
    handle = os.eventfd(1)
    assert q.qemu_add_wait_object(handle, ran.append, "x") == 0
    with pytest.raises(FileExistsError):
        q.qemu_add_wait_object(handle, ran.append, "y")
    assert q.main_loop_wait(False) == 1
    q.qemu_del_wait_object(handle, ran.append, "x")
    assert q.main_loop_wait(True) == 0
    os.close(handle)
    assert ran == ["x"]


def test_fd_register_does_nothing_here(main_loop, pipe):
    """Section 2.1: qemu_fd_register is for Windows."""
    assert q.qemu_fd_register(pipe[0]) is None
    assert q.main_loop_wait(True) == 0
