"""Every kernel call that can fail fails, at every place where a scenario makes it.

One row of RULES is one call of the C library or the kernel.  "served": the user does not
notice; "refused": the call of the library that needed it raises OSError with this very
error.  In both cases the loop that was there before goes on, a second try succeeds, and no
descriptor, allocation or thread is left (child.py looks).
"""

import errno
import os
import subprocess
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import qemu_mainloop

# The first test waits for all sweeps.
pytestmark = pytest.mark.timeout(900)

EACCES, EAGAIN, EINTR, EIO = errno.EACCES, errno.EAGAIN, errno.EINTR, errno.EIO
EMFILE, ENFILE, ENOMEM, ENOSPC = errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC
ENOSYS, EPERM = errno.ENOSYS, errno.EPERM

NO_MORE = dict.fromkeys((EMFILE, ENFILE, ENOMEM), "refused")
FORBIDDEN = dict.fromkeys((ENOSYS, EPERM, EACCES), "served")
LATER = {EINTR: "served", ENOMEM: "refused"}

RULES = {
    "eventfd": {**NO_MORE, **FORBIDDEN},
    "pipe2": NO_MORE,
    "read": {EINTR: "served", EAGAIN: "served"},
    "write": {EINTR: "served"},
    "epoll_create1": dict.fromkeys((EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM), "served"),
    "epoll_ctl_add": dict.fromkeys((ENOSPC, EPERM, ENOMEM, EACCES), "served"),
    "epoll_ctl_mod": dict.fromkeys((ENOMEM, EPERM), "served"),
    "epoll_ctl_del": dict.fromkeys((ENOMEM, EPERM), "served"),
    "epoll_wait": {EINTR: "served"},
    "io_uring_setup": dict.fromkeys((EMFILE, ENOMEM, ENOSYS, EPERM), "served"),
    "io_uring_enter": dict.fromkeys((EAGAIN, EINTR, ENOMEM, EPERM), "served"),
    "mmap": {ENOMEM: "served", EPERM: "served"},
    "poll": LATER,
    "ppoll": LATER,
    "timerfd_create": dict.fromkeys((EMFILE, ENFILE, ENOMEM, ENOSYS, EPERM), "served"),
    "timerfd_settime": {EPERM: "served"},
    "pidfd_open": {**NO_MORE, **FORBIDDEN},
    "waitid": {EINTR: "served"},
    "waitpid": {EINTR: "served"},
    "pthread_create": {EAGAIN: "refused", EPERM: "refused"},
    "fcntl": {EPERM: "served", EINTR: "served"},
    "dup": {EINTR: "served", errno.EBUSY: "served", EMFILE: "served", EPERM: "served"},
    "close": {EINTR: "served", EIO: "served"},
    "allocate": {ENOMEM: "either"},
}

# Where a named fdmon, or a descriptor for a host, cannot be had another way.
EXCEPTIONS = {
    ("make_a_loop_by_name", "epoll_create1"): "either",
    ("change_the_fdmon", "epoll_create1"): "refused",
    ("be_hosted", "epoll_create1"): "either",
    ("run_an_iothread", "poll"): "either",
    ("run_an_iothread", "ppoll"): "either",
    ("be_hosted", "epoll_ctl_add"): "either",
    ("be_hosted", "timerfd_create"): "refused",
    ("be_hosted", "timerfd_settime"): "either",
    **{(act, call): "either" for call in ("io_uring_setup", "mmap")
       for act in ("make_a_loop_by_name", "change_the_fdmon", "be_hosted")},
}

# What no error can come from: pure, or given valid arguments only.  (signalfd, sigaction
# and pthread_atfork have tests of their own.)
CANNOT_FAIL = {
    "clock_gettime", "free", "raise", "sigaddset", "sigdelset", "sigemptyset", "sigfillset",
    "munmap", "sigismember", "pthread_sigmask", "pthread_self", "pthread_join",
    "pthread_setname_np", "prctl", "sigpending",
}
CANNOT_FAIL_PREFIXES = ("mem", "str", "pthread_cond", "pthread_mutex", "__", "_ITM", "Py", "_Py")
# Symbols that stand for rows of the table, or for tests of their own.
OTHER_NAMES = {
    "calloc": "allocate", "malloc": "allocate", "realloc": "allocate",
    "fcntl64": "fcntl", "dup2": "dup", "dup3": "dup",
    "epoll_ctl": "epoll_ctl_add", "syscall": "io_uring_setup", "mmap64": "mmap",
    "signalfd": "read", "sigaction": "read", "__register_atfork": "read",
}

FDMONS = qemu_mainloop.fdmons()


def sweep(f, act):
    """call -> how many fault points the scenario has, on all fdmons."""
    import child
    import scenarios

    points = {}
    long = bool(os.environ.get("QEMU_MAINLOOP_LONG_FAULTS"))
    for fdmon in FDMONS:
        for call in f.calls_of(getattr(scenarios, act), fdmon, list(RULES)):
            errors = RULES[call]
            for error, expected in errors.items():
                expected = EXCEPTIONS.get((act, call), expected)
                if fdmon == "poll" and act == "make_a_loop_by_name":
                    expected = errors[error]
                if act == "use_it_in_a_forked_child":
                    # It tries again itself, but for what the parent needs.
                    expected = "either" if call == "allocate" else "served"
                n = f.sweep(getattr(scenarios, act), call, error, expected, fdmon)
                points[call] = points.get(call, 0) + n
                if long and error not in (EINTR, EAGAIN):
                    for times in (2, child.FOR_EVER):
                        f.sweep(getattr(scenarios, act), call, error, "either", fdmon, times)
    return points


def make_without_memory(f, fdmon):
    import child
    import scenarios

    return f.sweep(scenarios.make_a_loop, "allocate", ENOMEM, "either", fdmon, child.FOR_EVER)


@pytest.mark.parametrize("fdmon", FDMONS)
def test_what_cannot_be_made_for_want_of_memory_leaves_nothing_behind(child, fdmon):
    assert child(make_without_memory, fdmon=fdmon) > 0


def scenario_names():
    text = (Path(__file__).parent / "scenarios.py").read_text()
    return [name.strip() for name in text.rpartition("ALL = [")[2].rstrip("]\n").split(",")]


@pytest.fixture(scope="module")
def sweeps(spawn):
    """scenario -> what its sweep gave, or its exception; two at a time."""

    def run(act):
        try:
            return spawn(__file__, "sweep", {"act": act})
        except (AssertionError, subprocess.TimeoutExpired) as e:
            return e

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(scenario_names(), pool.map(run, scenario_names()), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("act", scenario_names())
def test_scenario(sweeps, act):
    if isinstance(sweeps[act], Exception):
        raise sweeps[act]


def test_every_call_was_made_to_fail(sweeps):
    hit = {call for points in sweeps.values() if isinstance(points, dict)
           for call, n in points.items() if n}
    # pipe2 is called where an eventfd is refused: test_old_kernels.  So is epoll_pwait2, which
    # is not called for some seconds after a ring was closed.
    assert hit == set(RULES) - {"pipe2"}


def test_the_table_knows_every_call_of_the_modules():
    root = Path(qemu_mainloop.__file__).parent
    modules = sorted(root.rglob("*" + sysconfig.get_config_var("EXT_SUFFIX")))
    listing = subprocess.run(["nm", "-D", "--undefined-only", *modules], check=True,
                             capture_output=True, text=True).stdout
    names = {line.split()[-1].partition("@")[0] for line in listing.splitlines() if " U " in line}
    assert "epoll_create1" in names
    unknown = {name for name in names
               if OTHER_NAMES.get(name, name) not in RULES and name not in CANNOT_FAIL
               and not name.startswith(CANNOT_FAIL_PREFIXES)}
    assert not unknown, f"calls that nobody makes fail: {sorted(unknown)}"
