"""Arguments that are of the wrong type or out of range: the error names what is wrong.

Section 3.  No call may change anything before it has looked at all that it was given: the
loop is as it was, and the next right call works.
"""

import signal
import sys

import pytest

import qemu_mainloop as q

NAN = float("nan")
HUGE = 2**70


class Odd:
    """An object whose fileno() gives what it was made with."""

    def __init__(self, number):
        self.number = number

    def fileno(self):
        return self.number


DESCRIPTORS = [
    (True, TypeError, "bool"),
    (1.0, TypeError, "float"),
    (b"0", TypeError, "bytes"),
    (Odd("0"), TypeError, "str"),
    (Odd(None), TypeError, "NoneType"),
    (Odd(True), TypeError, "bool"),
    (Odd(-1), ValueError, "descriptor -1 is negative"),
    (-HUGE, ValueError, f"descriptor -{HUGE} is negative"),
    (2**31 - 1, OSError, str(2**31 - 1)),
    (2**31, OSError, str(2**31)),
    (HUGE, OSError, str(HUGE)),
]
TAKES_DESCRIPTOR = {
    "set_fd_handler": lambda loop, f: loop.set_fd_handler(f, print),
    "qemu_set_fd_handler": lambda loop, f: q.qemu_set_fd_handler(f, print, None, None),
    "qemu_add_wait_object": lambda loop, f: q.qemu_add_wait_object(f, print, None),
}


@pytest.mark.parametrize("call", TAKES_DESCRIPTOR)
@pytest.mark.parametrize("thing, error, message", DESCRIPTORS)
def test_what_is_no_open_descriptor(loop, main_loop, call, thing, error, message):
    """Section 3: TypeError, ValueError for a negative number, OSError(EBADF)."""
    with pytest.raises(error, match=message):
        TAKES_DESCRIPTOR[call](loop, thing)
    assert loop.info()["handlers"] == main_loop.info()["handlers"] == 0


CALLS = {
    "timer.mod_ns": lambda at: at.timer.mod_ns(at.bad),
    "timer.mod": lambda at: at.timer.mod(at.bad),
    "timer.mod scale": lambda at: at.timer.mod(1, at.bad),
    "timer.mod_anticipate_ns": lambda at: at.timer.mod_anticipate_ns(at.bad),
    "timer_new clock": lambda at: at.loop.timer_new(print, at.bad),
    "clock_get_ns": lambda at: q.clock_get_ns(at.bad),
    "clock_enable": lambda at: q.clock_enable(at.bad, False),
    "clock_step": lambda at: q.clock_step(at.bad),
    "clock_set": lambda at: q.clock_set(at.bad),
    "add_child_watch": lambda at: at.loop.add_child_watch(at.bad),
    "add_signal_handler": lambda at: at.loop.add_signal_handler(at.bad, print),
    "remove_signal_handler": lambda at: at.loop.remove_signal_handler(at.bad),
    "poll_max_ns": lambda at: setattr(at.loop, "poll_max_ns", at.bad),
    "run_until timeout": lambda at: at.loop.run_until(lambda: True, timeout=at.bad),
    "run_until predicate": lambda at: at.loop.run_until(at.bad),
    "lock.acquire timeout": lambda at: q.main_loop().lock.acquire(timeout=at.bad),
    "bh_new": lambda at: at.loop.bh_new(at.bad),
    "timer_new": lambda at: at.loop.timer_new(at.bad),
    "signal callback": lambda at: at.loop.add_signal_handler(signal.SIGUSR2, at.bad),
    "IOThread": lambda at: q.IOThread(at.bad),
    "MainLoop": lambda at: q.MainLoop(at.bad),
    "qemu_bh_new": lambda at: q.qemu_bh_new(at.bad, None),
    "qemu_bh_schedule": lambda at: q.qemu_bh_schedule(at.bad),
    "qemu_bh_schedule_idle": lambda at: q.qemu_bh_schedule_idle(at.bad),
    "qemu_bh_cancel": lambda at: q.qemu_bh_cancel(at.bad),
    "qemu_bh_delete": lambda at: q.qemu_bh_delete(at.bad),
    "qemu_bh_update_timeout": lambda at: q.qemu_bh_update_timeout(at.bad),
    "qemu_add_child_watch": lambda at: q.qemu_add_child_watch(at.bad),
    "qemu_add_polling_cb": lambda at: q.qemu_add_polling_cb(at.bad, None),
    "qemu_add_wait_object": lambda at: q.qemu_add_wait_object(0, at.bad, None),
    "qemu_set_fd_handler read": lambda at: q.qemu_set_fd_handler(0, at.bad, None, None),
    "qemu_set_fd_handler write": lambda at: q.qemu_set_fd_handler(0, None, at.bad, None),
    "qemu_set_fd_handler2": lambda at: q.qemu_set_fd_handler2(0, at.bad, None, None, None),
    "qemu_fd_register": lambda at: q.qemu_fd_register(at.bad),
    "qemu_iohandler_poll set": lambda at: q.qemu_iohandler_poll({at.bad}, set(), set(), 1),
    "qemu_iohandler_poll rc": lambda at: q.qemu_iohandler_poll(set(), set(), set(), at.bad),
}
# call: what is wrong, the error, what its message says
WRONG = """
timer.mod_ns             | 1.5   | TypeError  | a time is an int, not float
timer.mod_ns             | NAN   | TypeError  | a time is an int, not float
timer.mod_ns             | None  | TypeError  | a time is an int, not NoneType
timer.mod                | "1"   | TypeError  | a time is an int, not str
timer.mod scale          | 0     | ValueError | scale 0 is below 1
timer.mod scale          | -HUGE | ValueError | is below 1
timer.mod scale          | 1.5   | TypeError  | scale is an int, not float
timer.mod scale          | None  | TypeError  | scale is an int, not NoneType
timer.mod_anticipate_ns  | "1"   | TypeError  | a time is an int, not str
timer_new clock          | 3     | ValueError | 3 is not a Clock
timer_new clock          | -1    | ValueError | -1 is not a Clock
timer_new clock          | HUGE  | ValueError | is not a Clock
timer_new clock          | None  | ValueError | None is not a Clock
timer_new clock          | 1.0   | ValueError | 1.0 is not a Clock
clock_get_ns             | 3     | ValueError | 3 is not a Clock
clock_enable             | "x"   | ValueError | 'x' is not a Clock
clock_step               | -1    | ValueError | does not go backwards
clock_step               | 2**63 | ValueError | ns 9223372036854775808 is out of range
clock_step               | 1.5   | TypeError  | ns is an int, not float
clock_set                | -1    | ValueError | does not go backwards
clock_set                | HUGE  | ValueError | is out of range
clock_set                | None  | TypeError  | ns is an int, not NoneType
add_child_watch          | 0     | ValueError | pid 0
add_child_watch          | 2**31 | ValueError | pid 2147483648 is out of range
add_child_watch          | HUGE  | ValueError | is out of range
add_child_watch          | 1.0   | TypeError  | pid is an int, not float
add_child_watch          | None  | TypeError  | pid is an int, not NoneType
add_child_watch          | 2**31-1 | ChildProcessError | process 2147483647
add_signal_handler       | 0     | ValueError | signal 0
add_signal_handler       | 65    | ValueError | signal 65
add_signal_handler       | HUGE  | ValueError | signal .* out of range
add_signal_handler       | "x"   | TypeError  | signal is an int, not str
remove_signal_handler    | HUGE  | ValueError | signal .* out of range
remove_signal_handler    | None  | TypeError  | signal is an int, not NoneType
poll_max_ns              | -1    | ValueError | poll_max_ns -1 is out of range
poll_max_ns              | 2**63 | ValueError | poll_max_ns .* out of range
poll_max_ns              | 1.5   | TypeError  | poll_max_ns is an int, not float
run_until timeout        | NAN   | ValueError | timeout
run_until timeout        | "1"   | TypeError  | timeout is a number, not str
run_until timeout        | 1j    | TypeError  | timeout is a number, not complex
run_until predicate      | None  | TypeError  | predicate must be callable, not NoneType
lock.acquire timeout     | NAN   | ValueError | timeout is not a number
lock.acquire timeout     | -2    | ValueError | timeout
lock.acquire timeout     | "1"   | TypeError  | timeout is a number, not str
lock.acquire timeout     | None  | TypeError  | timeout is a number, not NoneType
bh_new                   | None  | TypeError  | bottom half.* must be callable, not NoneType
timer_new                | None  | TypeError  | timer.* must be callable, not NoneType
signal callback          | None  | TypeError  | callback must be callable, not NoneType
IOThread                 | "a\\0b" | ValueError | 'a.x00b'
IOThread                 | None  | TypeError  | name is a str, not NoneType
IOThread                 | b"x"  | TypeError  | name is a str, not bytes
MainLoop                 | "poll\\0" | ValueError | unknown fdmon 'poll.x00'
MainLoop                 | ""    | ValueError | unknown fdmon ''
MainLoop                 | "\\udc80" | ValueError | unknown fdmon
MainLoop                 | b"poll" | TypeError | fdmon is a str or None, not bytes
qemu_bh_new              | None  | TypeError  | cb must be callable, not NoneType
qemu_bh_new              | 3     | TypeError  | cb must be callable, not int
qemu_bh_schedule         | None  | TypeError  | bh is a BottomHalf, not NoneType
qemu_bh_schedule_idle    | 3     | TypeError  | bh is a BottomHalf, not int
qemu_bh_cancel           | print | TypeError  | bh is a BottomHalf
qemu_bh_delete           | None  | TypeError  | bh is a BottomHalf, not NoneType
qemu_bh_update_timeout   | -1    | ValueError | timeout -1 is out of range
qemu_bh_update_timeout   | 2**32 | ValueError | timeout 4294967296 is out of range
qemu_bh_update_timeout   | "x"   | TypeError  | timeout is an int, not str
qemu_add_child_watch     | -1    | ValueError | pid -1
qemu_add_polling_cb      | None  | TypeError  | func must be callable, not NoneType
qemu_add_wait_object     | None  | TypeError  | func must be callable, not NoneType
qemu_set_fd_handler read | 3     | TypeError  | fd_read must be callable, not int
qemu_set_fd_handler write | 3    | TypeError  | fd_write must be callable, not int
qemu_set_fd_handler2     | 3     | TypeError  | fd_read_poll must be callable, not int
qemu_fd_register         | "x"   | TypeError  | str
qemu_fd_register         | -1    | ValueError | descriptor -1 is negative
qemu_iohandler_poll set  | -1    | ValueError | descriptor -1 is negative
qemu_iohandler_poll set  | 5000  | ValueError | descriptor 5000 does not fit an fd_set
qemu_iohandler_poll set  | "x"   | TypeError  | str
qemu_iohandler_poll rc   | "x"   | TypeError  | rc is an int, not str
qemu_iohandler_poll rc   | HUGE  | ValueError | rc .* out of range
"""
ROWS = [[part.strip() for part in line.split("|")] for line in WRONG.strip().splitlines()]
if sys.platform == "win32":
    # Where an fd_set counts its members any number fits.
    ROWS = [row for row in ROWS if "fit an fd_set" not in row[3]]


class At:
    """What a call gets."""

    def __init__(self, loop, bad):
        self.loop, self.bad = loop, bad
        self.timer = loop.timer_new(print)


def registered(loop):
    """info(), but for what counts the process's use of the GIL."""
    return {name: value for name, value in loop.info().items() if name != "gil_taken"}


@pytest.mark.parametrize("call, thing, error, message", ROWS, ids=lambda part: part)
def test_what_is_wrong_is_named(main_loop, call, thing, error, message):
    """Section 3: a clear error at the call that made the mistake; nothing is changed by it."""
    bad = eval(thing, {"NAN": NAN, "HUGE": HUGE, "print": print, "None": None})
    with q.MainLoop() as loop:
        before = registered(loop), registered(main_loop)
        with pytest.raises(eval(error), match=message):
            CALLS[call](At(loop, bad))
        assert (registered(loop), registered(main_loop)) == before
        assert not main_loop.lock.locked()
        loop.run_until(lambda: True)


def test_every_call_of_the_table_is_tried():
    """The table's calls and its rows belong together."""
    assert {row[0] for row in ROWS} == set(CALLS)


@pytest.mark.parametrize("when", [2**63 - 1, 2**63, 2**200])
def test_times_beyond_64_bits_saturate(loop, when):
    """Row timers: scale multiplication saturates."""
    timer = loop.timer_new(print)
    for arm in (timer.mod_ns, timer.mod, timer.mod_anticipate_ns, lambda t: timer.mod(1, t)):
        arm(when)
        assert timer.expire_time_ns == 2**63 - 1
        timer.delete()


@pytest.mark.parametrize("when", [-1, -(2**63), -(2**200)])
def test_negative_times_count_as_zero(loop, when):
    """Row timers: negative times count as 0."""
    timer = loop.timer_new(print)
    for arm in (timer.mod_ns, timer.mod, timer.mod_anticipate_ns):
        arm(when)
        assert timer.expire_time_ns == 0
        timer.delete()


@pytest.mark.parametrize("timeout", [0, -1, -1e300, float("-inf"), -HUGE, -(10**400)])
def test_a_timeout_that_is_over_already_looks_once(loop, timeout):
    """Section 3, run_until: one iteration that does not block, then the answer."""
    before = loop.info()["iterations"]
    assert loop.run_until(lambda: False, timeout=timeout) is False
    assert loop.info()["iterations"] - before == 1


@pytest.mark.parametrize("timeout", [None, float("inf"), 1e300, HUGE, 10**400])
def test_a_timeout_that_never_comes_waits(loop, timeout):
    """Section 3, run_until: without end, and what comes is served."""
    ran = []
    bh = loop.bh_new(lambda: ran.append(1))
    bh.schedule()
    assert loop.run_until(lambda: ran, timeout=timeout) is True
