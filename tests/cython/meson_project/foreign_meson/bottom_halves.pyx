# Bottom halves of the main loop, from C; each def runs one story without the GIL.

from libc.stdint cimport uint32_t, uintptr_t

from qemu_mainloop.main_loop cimport (
    QEMUBH, main_loop_wait, qemu_bh_cancel, qemu_bh_delete, qemu_bh_new, qemu_bh_poll,
    qemu_bh_schedule, qemu_bh_schedule_idle, qemu_bh_update_timeout, qemu_notify_event)

cdef enum:
    MANY = 100

cdef int ran[MANY]
cdef int runs = 0
cdef QEMUBH *bhs[MANY]


cdef void note(void *opaque) noexcept nogil:
    global runs
    if runs < MANY:
        ran[runs] = <int> <uintptr_t> opaque
    runs += 1


cdef void begin(int n) noexcept nogil:
    global runs
    runs = 0
    for i in range(n):
        bhs[i] = qemu_bh_new(note, <void *> <uintptr_t> i)


cdef void end(int n) noexcept nogil:
    for i in range(n):
        qemu_bh_delete(bhs[i])


cdef list noted():
    return [ran[i] for i in range(runs)]


# ---- the header's shape: a start bottom half, then "while (...) main_loop_wait(false)"

cdef bint running = False
cdef int entered = 0


cdef void enter(void *opaque) noexcept nogil:
    global entered, running
    entered += 1
    if entered < 5:
        qemu_bh_schedule(bhs[0])
    else:
        running = False


def start_and_loop():
    global entered, running
    entered = 0
    running = True
    with nogil:
        bhs[0] = qemu_bh_new(enter, NULL)
        qemu_bh_schedule(bhs[0])
        while running:
            main_loop_wait(False)
        qemu_bh_delete(bhs[0])
    return entered


def first_in_first_out(int n):
    with nogil:
        begin(n)
        for i in range(n - 1, -1, -1):
            qemu_bh_schedule(bhs[i])
        main_loop_wait(True)
        end(n)
    return noted()


def scheduled_thrice():
    with nogil:
        begin(1)
        for _i in range(3):
            qemu_bh_schedule(bhs[0])
        main_loop_wait(True)
        main_loop_wait(True)
        end(1)
    return runs


def cancelled():
    with nogil:
        begin(2)
        qemu_bh_schedule(bhs[0])
        qemu_bh_schedule(bhs[1])
        qemu_bh_cancel(bhs[0])
        main_loop_wait(True)
        end(2)
    return noted()


cdef void again(void *opaque) noexcept nogil:
    note(opaque)
    qemu_bh_schedule(bhs[0])


def schedules_itself(int iterations):
    global runs
    cdef int counts[MANY]
    with nogil:
        runs = 0
        bhs[0] = qemu_bh_new(again, NULL)
        qemu_bh_schedule(bhs[0])
        for i in range(iterations):
            main_loop_wait(False)          # it keeps the loop from sleeping
            counts[i] = runs
        end(1)
    return [counts[i] for i in range(iterations)]


cdef void schedule_next(void *opaque) noexcept nogil:
    note(<void *> 100)
    qemu_bh_schedule(bhs[1])


def schedules_another():
    with nogil:
        begin(2)
        qemu_bh_delete(bhs[0])
        bhs[0] = qemu_bh_new(schedule_next, NULL)
        qemu_bh_schedule(bhs[0])
        main_loop_wait(True)
        end(2)
    return noted()


cdef void delete_itself(void *opaque) noexcept nogil:
    note(opaque)
    qemu_bh_schedule(bhs[0])
    qemu_bh_delete(bhs[0])


def deletes_itself():
    global runs
    with nogil:
        runs = 0
        bhs[0] = qemu_bh_new(delete_itself, NULL)
        qemu_bh_schedule(bhs[0])
        for _i in range(3):
            main_loop_wait(True)
        qemu_bh_delete(NULL)
    return runs


cdef void wait_inside(void *opaque) noexcept nogil:
    note(<void *> 100)
    main_loop_wait(True)
    note(<void *> 101)


def nested_wait_inside():
    with nogil:
        begin(2)
        qemu_bh_delete(bhs[0])
        bhs[0] = qemu_bh_new(wait_inside, NULL)
        qemu_bh_schedule(bhs[0])
        qemu_bh_schedule(bhs[1])
        main_loop_wait(True)
        end(2)
    return noted()


def timeouts(uint32_t before):
    """(nothing, idle, also one that is not): what the timeout is lowered to."""
    cdef uint32_t nothing = before
    cdef uint32_t idle = before
    cdef uint32_t now = before
    with nogil:
        begin(2)
        qemu_bh_update_timeout(&nothing)
        qemu_bh_schedule_idle(bhs[0])
        qemu_bh_update_timeout(&idle)
        qemu_bh_schedule(bhs[1])
        qemu_bh_update_timeout(&now)
        main_loop_wait(True)
        end(2)
    return nothing, idle, now


def polled_by_hand():
    """qemu_bh_poll() with nothing, an idle one, and one that is not."""
    cdef int nothing, idle, now
    with nogil:
        begin(2)
        nothing = qemu_bh_poll()
        qemu_bh_schedule_idle(bhs[0])
        idle = qemu_bh_poll()
        qemu_bh_schedule(bhs[1])
        now = qemu_bh_poll()
        end(2)
    return nothing, idle, now, noted()


def idle_in_a_blocking_wait():
    with nogil:
        begin(1)
        qemu_bh_schedule_idle(bhs[0])
        while runs == 0:
            main_loop_wait(False)
        end(1)
    return runs


def notified():
    cdef int result
    with nogil:
        qemu_notify_event()
        result = main_loop_wait(False)
    return result
