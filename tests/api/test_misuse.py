"""Each wrong call gets its error at the call, and the message names the thing."""

import errno
import os
import signal
import threading

import pytest

import qemu_mainloop as q


@pytest.fixture
def closed_fd():
    """The number of a descriptor that is not open."""
    fd = os.open(os.devnull, os.O_RDONLY)
    os.close(fd)
    return fd


@pytest.mark.parametrize("fd", [-1, -2, -(2**31)])
def test_a_negative_descriptor_is_a_value_error(loop, fd):
    """Section 3: a negative number is a ValueError; bug D2."""
    with pytest.raises(ValueError, match=str(fd)):
        loop.set_fd_handler(fd, print)


def test_a_closed_descriptor_is_ebadf_at_registration(loop, closed_fd):
    """Section 3: OSError(EBADF) at registration; row "when a change takes effect"."""
    with pytest.raises(OSError, match=str(closed_fd)) as caught:
        loop.set_fd_handler(closed_fd, print)
    assert caught.value.errno == errno.EBADF
    assert loop.info()["handlers"] == 0


def test_a_closed_file_object_is_refused(loop):
    """Section 3: what fileno() of a closed file raises reaches the caller."""
    file = open(os.devnull)  # noqa: SIM115
    file.close()
    with pytest.raises(ValueError, match="closed"):
        loop.set_fd_handler(file, print)


@pytest.mark.parametrize("thing", ["3", None, 1.5, object()])
def test_what_is_no_descriptor_is_a_type_error(loop, thing):
    """Section 3: an int or an object with fileno()."""
    with pytest.raises(TypeError, match=type(thing).__name__):
        loop.set_fd_handler(thing, print)


NOT_CALLABLE = {
    "read": lambda loop, fd: loop.set_fd_handler(fd, 3),
    "write": lambda loop, fd: loop.set_fd_handler(fd, None, 3),
    "can_read": lambda loop, fd: loop.set_fd_handler(fd, print, can_read=3),
    "bottom half": lambda loop, fd: loop.bh_new(3),
    "timer": lambda loop, fd: loop.timer_new(3),
    "callback": lambda loop, fd: loop.add_signal_handler(signal.SIGUSR2, 3),
    "predicate": lambda loop, fd: loop.run_until(3),
}


@pytest.mark.parametrize("what", NOT_CALLABLE)
def test_what_cannot_be_called_is_a_type_error(loop, pipe, what):
    """Section 3: not a callable; the message says which argument and what it got."""
    with pytest.raises(TypeError, match=f"{what}.* must be callable, not int"):
        NOT_CALLABLE[what](loop, pipe[0])


def test_a_child_callback_that_cannot_be_called_is_a_type_error(loop):
    """Section 3: checked before the process is looked at."""
    with pytest.raises(TypeError, match="callback must be callable, not int"):
        loop.add_child_watch(os.getpid(), 3)


def test_relocking_is_a_runtime_error(main_loop):
    """Row iothread lock; section 2.1: taking it twice."""
    with main_loop.lock, pytest.raises(RuntimeError, match="iothread lock is held by this thread"):
        main_loop.lock.acquire()


def test_unlocking_what_nobody_holds_is_a_runtime_error(main_loop):
    """Section 2.1: giving back what one does not hold."""
    with pytest.raises(RuntimeError, match="iothread lock is not held"):
        main_loop.lock.release()


def test_unlocking_what_another_thread_holds_is_a_runtime_error(main_loop):
    """Section 2.1: it stays the other thread's."""
    errors = []

    def release():
        try:
            main_loop.lock.release()
        except RuntimeError as error:
            errors.append(str(error))

    with main_loop.lock:
        thread = threading.Thread(target=release)
        thread.start()
        thread.join()
        assert main_loop.lock.locked()
    assert len(errors) == 1 and "iothread lock is not held" in errors[0]


@pytest.mark.parametrize("pid", [0, -1, -12345])
def test_a_pid_that_is_not_positive_is_a_value_error(loop, pid):
    """Row child watch: pid <= 0; bug E9."""
    with pytest.raises(ValueError, match=str(pid)):
        loop.add_child_watch(pid)


@pytest.mark.posix_only(reason="any process can be waited for")
def test_a_process_that_is_no_child_is_a_child_process_error(loop):
    """Row child watch: not a child."""
    with pytest.raises(ChildProcessError, match=str(os.getppid())):
        loop.add_child_watch(os.getppid())


def test_an_unknown_fdmon_is_a_value_error_that_says_which_there_are():
    """Section 3: an unknown fdmon."""
    with pytest.raises(ValueError, match=f"'nonsense'.*{q.fdmons()[-1]}"):
        q.MainLoop(fdmon="nonsense")


@pytest.mark.parametrize("name", sorted({"kqueue", "win32", "epoll", "poll"} - set(q.fdmons())))
def test_an_fdmon_of_another_platform_is_an_os_error(name):
    """Section 3: one that is not to be had here; a named fdmon never falls back."""
    with pytest.raises(OSError, match=name):
        q.MainLoop(fdmon=name)


def test_an_fdmon_that_is_no_string_is_a_type_error():
    """Section 3: fdmon is a name or None."""
    with pytest.raises(TypeError, match="int"):
        q.MainLoop(fdmon=3)


def test_a_clock_that_does_not_exist_is_a_value_error(loop):
    """Section 3: timer_new(cb, clock=Clock...)."""
    with pytest.raises(ValueError, match="7 is not a Clock"):
        loop.timer_new(print, clock=7)


@pytest.mark.parametrize("signo", [signal.SIGKILL, signal.SIGSTOP, 0, -1, 1000])
def test_a_signal_that_cannot_be_caught_is_a_value_error(loop, signo):
    """Section 3, add_signal_handler."""
    with pytest.raises(ValueError, match=str(int(signo))):
        loop.add_signal_handler(signo, print)


def test_can_read_without_read_is_a_value_error(loop, pipe):
    """Section 3, set_fd_handler: there is nothing it could ask for."""
    with pytest.raises(ValueError, match="can_read"):
        loop.set_fd_handler(pipe[0], None, print, can_read=print)


def test_a_timeout_that_is_not_a_number_is_a_value_error(loop):
    """Section 3, run_until."""
    with pytest.raises(ValueError, match="timeout"):
        loop.run_until(lambda: False, timeout=float("nan"))
