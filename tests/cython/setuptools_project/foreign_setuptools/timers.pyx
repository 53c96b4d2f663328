# Timers of the main loop and the process's clocks, from C.

from libc.stdint cimport int64_t, uintptr_t

from qemu_mainloop.main_loop cimport main_loop_wait
from qemu_mainloop.timer cimport (
    NANOSECONDS_PER_SECOND, QEMU_CLOCK_HOST, QEMU_CLOCK_REALTIME, QEMU_CLOCK_VIRTUAL,
    QEMUClockType, QEMUTimer, SCALE_MS, SCALE_NS, SCALE_US, qemu_clock_deadline_ns,
    qemu_clock_enable, qemu_clock_get_ms, qemu_clock_get_ns, qemu_clock_get_us,
    qemu_clock_run_timers, qemu_clock_set, qemu_clock_step, timer_del, timer_expire_time_ns,
    timer_expired, timer_free, timer_mod, timer_mod_anticipate, timer_mod_anticipate_ns,
    timer_mod_ns, timer_new, timer_new_ms, timer_new_ns, timer_new_us, timer_pending)

cdef enum:
    MOST = 16

cdef int64_t HOUR_NS = 3600 * <int64_t> NANOSECONDS_PER_SECOND

cdef int64_t log[MOST]
cdef int runs = 0
cdef QEMUTimer *armed = NULL


cdef void begin() noexcept nogil:
    global runs
    runs = 0


cdef void note(void *opaque) noexcept nogil:
    global runs
    if runs < MOST:
        log[runs] = <int64_t> <uintptr_t> opaque
    runs += 1


cdef void note_virtual_time(void *opaque) noexcept nogil:
    global runs
    log[runs] = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL)
    runs += 1


cdef list logged():
    return [log[i] for i in range(runs)]


def scales():
    return SCALE_NS, SCALE_US, SCALE_MS, NANOSECONDS_PER_SECOND


def clock_numbers():
    return QEMU_CLOCK_REALTIME, QEMU_CLOCK_VIRTUAL, QEMU_CLOCK_HOST


def clock_units(int clock):
    """The time in ns, us, ms, ns, read in that order."""
    cdef QEMUClockType type = <QEMUClockType> clock
    return (qemu_clock_get_ns(type), qemu_clock_get_us(type), qemu_clock_get_ms(type),
            qemu_clock_get_ns(type))


def due_timer(int clock):
    """A timer of that clock armed for its present: how often it ran after two iterations."""
    cdef QEMUClockType type = <QEMUClockType> clock
    with nogil:
        begin()
        ts = timer_new_ns(type, note, NULL)
        timer_mod_ns(ts, qemu_clock_get_ns(type))
        main_loop_wait(True)
        main_loop_wait(True)
        timer_free(ts)
    return runs


def never_early(int64_t delay_ns):
    """Nanoseconds by which a blocking loop ran a timer after its time."""
    cdef int64_t when, late
    with nogil:
        begin()
        ts = timer_new(QEMU_CLOCK_REALTIME, SCALE_NS, note, NULL)
        when = qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + delay_ns
        timer_mod(ts, when)
        while runs == 0:
            main_loop_wait(False)
        late = qemu_clock_get_ns(QEMU_CLOCK_REALTIME) - when
        timer_free(ts)
    return late


def expiry_by_scale(int64_t expire):
    """What a time given to timers in ns, us and ms is in ns; saturated."""
    cdef QEMUTimer *ts[3]
    ts[0] = timer_new_ns(QEMU_CLOCK_VIRTUAL, note, NULL)
    ts[1] = timer_new_us(QEMU_CLOCK_VIRTUAL, note, NULL)
    ts[2] = timer_new_ms(QEMU_CLOCK_VIRTUAL, note, NULL)
    result = []
    for i in range(3):
        timer_mod(ts[i], expire)
        result.append(timer_expire_time_ns(ts[i]))
        timer_free(ts[i])
    return result


cdef tuple state(QEMUTimer *ts, int64_t base):
    return timer_pending(ts), timer_expire_time_ns(ts) - base


def life():
    """(pending, time) fresh, armed, anticipated later and earlier, twice, and deleted."""
    cdef QEMUTimer *ts = timer_new_us(QEMU_CLOCK_VIRTUAL, note, NULL)
    cdef int64_t base = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) // 1000 * 1000 + HOUR_NS
    result = [state(ts, 0)]
    timer_mod(ts, base // 1000)
    result.append(state(ts, base))
    timer_mod_anticipate(ts, base // 1000 + 1)
    result.append(state(ts, base))
    timer_mod_anticipate(ts, base // 1000 - 1)
    result.append(state(ts, base))
    timer_mod_anticipate_ns(ts, base - 2000)
    result.append(state(ts, base))
    expired = (timer_expired(ts, base // 1000 - 3), timer_expired(ts, base // 1000 - 2))
    timer_del(ts)
    result.append(state(ts, 0))
    never = timer_expired(ts, base)
    timer_free(ts)
    timer_free(NULL)
    return result, expired, never


def refused():
    """Is NULL what no callback, a scale of 0 and an unknown clock give?"""
    return (timer_new(QEMU_CLOCK_REALTIME, 1, NULL, NULL) == NULL,
            timer_new(QEMU_CLOCK_REALTIME, 0, note, NULL) == NULL,
            timer_new(<QEMUClockType> 3, 1, note, NULL) == NULL)


def deadlines():
    """The deadline with no timer, one in an hour, one due, and with the clock disabled."""
    cdef QEMUClockType host = QEMU_CLOCK_HOST
    result = [qemu_clock_deadline_ns(host)]
    ts = timer_new_ns(host, note, NULL)
    timer_mod_ns(ts, qemu_clock_get_ns(host) + HOUR_NS)
    result.append(0 < qemu_clock_deadline_ns(host) <= HOUR_NS)
    timer_mod_ns(ts, 0)
    result.append(qemu_clock_deadline_ns(host))
    qemu_clock_enable(host, False)
    result.append(qemu_clock_deadline_ns(host))
    qemu_clock_enable(host, True)
    timer_free(ts)
    return result


def run_by_hand():
    """qemu_clock_run_timers() with a disabled clock, an enabled one, and nothing left."""
    cdef bint held, ran, nothing
    with nogil:
        begin()
        ts = timer_new_ns(QEMU_CLOCK_HOST, note, NULL)
        timer_mod_ns(ts, 0)
        qemu_clock_enable(QEMU_CLOCK_HOST, False)
        held = qemu_clock_run_timers(QEMU_CLOCK_HOST)
        qemu_clock_enable(QEMU_CLOCK_HOST, True)
        ran = qemu_clock_run_timers(QEMU_CLOCK_HOST)
        nothing = qemu_clock_run_timers(QEMU_CLOCK_HOST)
        timer_free(ts)
    return held, ran, nothing, runs


def stepped():
    """The times that timers at 30, 10 and 20 saw in one step of 25; the new time; a second."""
    cdef int64_t base, first, second
    cdef int i
    cdef QEMUTimer *ts[3]
    with nogil:
        begin()
        base = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL)
        for i in range(3):
            ts[i] = timer_new_ns(QEMU_CLOCK_VIRTUAL, note_virtual_time, NULL)
            timer_mod_ns(ts[i], base + (30 if i == 0 else 10 * i))
        first = qemu_clock_step(25)
        second = qemu_clock_set(base + 40)
        for i in range(3):
            timer_free(ts[i])
    return [when - base for when in logged()], first - base, second - base


cdef void step_inside(void *opaque) noexcept nogil:
    (<int64_t *> opaque)[0] = qemu_clock_step(1)


def refused_steps():
    """Stepping backwards, by less than nothing, from a virtual timer, and a running clock."""
    cdef int64_t inside = 0
    base = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL)
    result = [qemu_clock_set(base - 1), qemu_clock_step(-1)]
    ts = timer_new_ns(QEMU_CLOCK_VIRTUAL, step_inside, &inside)
    timer_mod_ns(ts, base)
    qemu_clock_step(1)
    timer_free(ts)
    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, True)
    running = qemu_clock_step(1)
    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, False)
    return result + [inside, running]


def equal_deadlines(int n):
    """In what order timers for the same time run, armed from last to first."""
    cdef QEMUTimer *ts[MOST]
    with nogil:
        begin()
        for i in range(n):
            ts[i] = timer_new_ns(QEMU_CLOCK_REALTIME, note, <void *> <uintptr_t> i)
        for i in range(n - 1, -1, -1):
            timer_mod_ns(ts[i], 1)
        main_loop_wait(True)
        for i in range(n):
            timer_free(ts[i])
    return logged()


cdef void rearm(void *opaque) noexcept nogil:
    note(opaque)
    timer_mod_ns(armed, 0)


cdef void free_itself(void *opaque) noexcept nogil:
    note(opaque)
    timer_free(armed)


def rearmed_for_the_past(int iterations):
    """How often it ran after so many iterations, then once more and freed by itself."""
    global armed
    with nogil:
        begin()
        armed = timer_new_ns(QEMU_CLOCK_REALTIME, rearm, NULL)
        timer_mod_ns(armed, 0)
        for _i in range(iterations):
            main_loop_wait(False)
        timer_free(armed)
        armed = timer_new_ns(QEMU_CLOCK_REALTIME, free_itself, NULL)
        timer_mod_ns(armed, 0)
        main_loop_wait(False)
        main_loop_wait(True)
    return runs
