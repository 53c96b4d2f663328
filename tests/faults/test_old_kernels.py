"""Old kernels and sandboxes: calls that are missing or forbidden altogether.

Once with the shim, once with a seccomp filter, so that the kernel itself says no.
"""

import errno
import os
import select

import pytest

pytestmark = pytest.mark.timeout(320)

ENOSYS, EPERM, EACCES = errno.ENOSYS, errno.EPERM, errno.EACCES
FDMONS = ("adaptive", "epoll", "poll")
# For a named epoll there is no other way, nor for being hosted.
NEED_EPOLL = {"make_a_loop_by_name", "change_the_fdmon", "be_hosted"}


def everything_works(f, without, fdmons=FDMONS):
    import scenarios

    for fdmon in fdmons:
        for act in scenarios.ALL:
            if act.__name__ not in without:
                f.once(act, fdmon)


def missing(f, calls, error, without=(), fdmons=FDMONS):
    for call in calls:
        f.arm(call, error)
    off, f.off = f.off, lambda: 0                     # for the whole of the process
    everything_works(f, without, fdmons)
    assert off() > 0


def forbidden(f, calls, error, without=(), fdmons=FDMONS):
    f.sandbox(error, *calls)
    everything_works(f, without, fdmons)


@pytest.mark.parametrize("error", [ENOSYS, EPERM])
def test_no_epoll_pwait2(child, error):
    child(missing, calls=["io_uring_setup", "epoll_pwait2"], error=error,
          fdmons=["adaptive", "epoll"])


def polls_memory_until_a_timer_is_due(f, fdmon, error):
    import qemu_mainloop as q

    f.arm("io_uring_setup", error)
    f.arm("epoll_pwait2", error)
    with q.MainLoop(fdmon=fdmon) as loop:
        for _ in range(100):
            loop.wait(True)                           # nothing is in the hot set any more
        loop.poll_max_ns = 10_000_000
        ran = []
        timer = loop.timer_new(lambda: ran.append(1))
        for n in range(1, 20):
            timer.mod_ns(q.clock_get_ns() + 50_000)
            while len(ran) < n:
                assert loop.wait() == 0
    return f.off()


@pytest.mark.parametrize("error", [ENOSYS, EPERM])
@pytest.mark.parametrize("fdmon", ["adaptive", "epoll"])
def test_no_epoll_pwait2_and_busy_polling(child, fdmon, error):
    """In the main thread: a look with a signal mask was made by the call that is missing."""
    child(polls_memory_until_a_timer_is_due, fdmon=fdmon, error=error)


def test_an_old_kernel(child):
    child(missing, calls=["io_uring_setup", "epoll_pwait2", "pidfd_open", "eventfd", "signalfd",
                          "membarrier"], error=ENOSYS)


@pytest.mark.parametrize("calls", [["io_uring_setup"], ["io_uring_enter"], ["membarrier"]])
def test_each_alone(child, calls):
    child(missing, calls=calls, error=EPERM, fdmons=["adaptive"])


def test_no_timerfd(child):
    child(missing, calls=["timerfd_create"], error=ENOSYS, without=["be_hosted"])


def test_a_sandbox_with_little(child):
    child(forbidden, calls=["epoll_pwait2", "pidfd_open", "eventfd2", "signalfd4",
                            "io_uring_setup", "io_uring_enter", "io_uring_register"], error=EPERM)


def no_epoll(f, error):
    import qemu_mainloop as q

    f.sandbox(error, "epoll_create1", "epoll_ctl", "epoll_pwait", "epoll_wait", "epoll_pwait2")
    with q.MainLoop() as loop:
        assert loop.fdmon == "poll"
        with pytest.raises(OSError) as caught:
            loop.fileno()
        assert caught.value.errno == error
    with pytest.raises(OSError) as caught:
        q.MainLoop(fdmon="epoll")                     # a named one never falls back
    assert caught.value.errno == error
    everything_works(f, NEED_EPOLL, ["poll"])


@pytest.mark.parametrize("error", [ENOSYS, EPERM])
def test_a_sandbox_without_epoll(child, error):
    child(no_epoll, error=error)


def epoll_refuses_changes(f, error):
    f.sandbox(error, "epoll_ctl")
    everything_works(f, NEED_EPOLL | {"closed_under_its_handler"}, ["epoll", "adaptive"])


def test_a_sandbox_where_epoll_takes_nothing(child):
    """Everything is served by poll(2) then, on the fdmon that was asked for."""
    child(epoll_refuses_changes, error=EACCES)


def is_eventfd(fd):
    try:
        return "eventfd" in os.readlink(f"/proc/self/fd/{fd}")
    except FileNotFoundError:                         # the listing's own
        return False


def a_full_eventfd(f, fdmon):
    import child

    import qemu_mainloop as q

    before = f.resources()[0]
    with q.MainLoop(fdmon=fdmon) as loop:
        mine = [int(fd) for fd in f.resources()[0] if fd not in before]
        notifier, = [fd for fd in mine if is_eventfd(fd)]
        bystander = child.Bystander(loop)
        for _ in range(3):
            os.eventfd_write(notifier, 2**64 - 2)
            assert not select.select([], [notifier], [], 0)[1]     # full
            loop.notify()
            loop.wait()
            assert bystander.works()
            assert not select.select([notifier], [], [], 0)[0]     # and empty again
        bystander.close()


@pytest.mark.parametrize("fdmon", FDMONS)
def test_a_full_eventfd_is_a_set_one(child, fdmon):
    child(a_full_eventfd, fdmon=fdmon)


def a_full_pipe(f, fdmon):
    import child

    import qemu_mainloop as q

    f.arm("eventfd", EPERM)
    with q.MainLoop(fdmon=fdmon) as loop:
        f.off()
        bystander = child.Bystander(loop)
        for _ in range(3):
            loop.fileno()                             # asleep for good: each notify writes
            for _ in range(70000):
                loop.notify()
            loop.wait()
            assert bystander.works()
        bystander.close()


@pytest.mark.parametrize("fdmon", FDMONS)
def test_a_full_pipe_is_a_set_one(child, fdmon):
    child(a_full_pipe, fdmon=fdmon)


def no_pipe_either(f):
    import qemu_mainloop as q

    before = f.resources()
    for error in (errno.EMFILE, errno.ENFILE):
        f.arm("eventfd", EPERM)
        f.arm("pipe2", error)
        with pytest.raises(OSError) as caught:
            q.MainLoop()
        f.off()
        assert caught.value.errno == error
        assert f.resources() == before


def test_neither_an_eventfd_nor_a_pipe(child):
    child(no_pipe_either)


def real_limit(f):
    """The kernel's own EMFILE: one more descriptor at each try."""
    import resource

    import qemu_mainloop as q

    before = f.resources()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = os.dup(0)
    os.close(free)
    results = []
    for room in range(8):
        resource.setrlimit(resource.RLIMIT_NOFILE, (free + room, hard))
        try:
            with q.MainLoop() as loop:
                results.append(loop.fdmon)
                loop.notify()
                loop.wait()
                loop.fileno()
                results[-1] += " hosted"
        except OSError as e:
            assert e.errno == errno.EMFILE
            results.append(results.pop() if len(results) > room else "EMFILE")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert f.resources() == before
    return results


def test_the_limit_of_descriptors(child):
    # An eventfd, an epoll, a ring if there is room for it; then two more for a host.
    assert child(real_limit) == [
        "EMFILE", "poll", "adaptive", "adaptive", "adaptive", "adaptive hosted",
        "adaptive hosted", "adaptive hosted"]
