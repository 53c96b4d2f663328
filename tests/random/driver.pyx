# The C-level driver: decodes bytes into calls of the public C functions, from the top and
# from inside the callbacks, and writes down what was called and what was answered.  The
# model (model.py) reads that trace.
#
# A program is a header byte, then operations of three bytes: which, and two arguments.
# A callback takes one byte, which says how many operations follow for it (0 to 3),
# whether it empties its file, and what it answers.  So every sequence of bytes is a
# program, and a prefix of it is one, too.
#
# If the header says so each operation that any thread may make is made by a new one, which
# the loop's thread waits for where it stands: at the top, or in a callback.

from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uintptr_t

from qemu_mainloop._core.context cimport AioContext as CoreContext
from qemu_mainloop._core.context cimport ContextStats, context_stats
from qemu_mainloop.aio cimport (
    AioContext, aio_bh_new, aio_bh_schedule_oneshot, aio_context_fdmon_name, aio_context_new,
    aio_context_set_fdmon,
    aio_context_unref, aio_notify, aio_poll, aio_set_fd_handler, aio_timer_new,
    qemu_get_aio_context)
from qemu_mainloop.main_loop cimport (
    HANDLE, IOCanReadHandler, IOHandler, QEMUBH, main_loop_wait, qemu_add_polling_cb,
    qemu_add_wait_object, qemu_bh_cancel, qemu_bh_delete, qemu_bh_new, qemu_bh_poll,
    qemu_bh_schedule, qemu_bh_schedule_idle, qemu_bh_update_timeout, qemu_del_polling_cb,
    qemu_del_wait_object, qemu_set_fd_handler2)
from qemu_mainloop.timer cimport (
    QEMU_CLOCK_HOST, QEMU_CLOCK_REALTIME, QEMU_CLOCK_VIRTUAL, QEMUClockType, QEMUTimer,
    qemu_clock_deadline_ns, qemu_clock_enable, qemu_clock_get_ns, qemu_clock_run_timers,
    qemu_clock_set, qemu_clock_step, timer_del, timer_expire_time_ns, timer_free, timer_mod,
    timer_mod_anticipate, timer_mod_anticipate_ns, timer_mod_ns, timer_pending)

cdef extern from "pthread.h" nogil:
    ctypedef unsigned long pthread_t
    int pthread_create(pthread_t *thread, void *attr, void *(*start)(void *) noexcept nogil,
                       void *arg)
    int pthread_join(pthread_t thread, void **result)

cdef extern from "files.h" nogil:
    enum: NUMBERS, FIRST_NUMBER, KINDS
    void file_close(int slot, int keep)
    int file_open(int slot, int kind, int other)
    void file_close_all()
    void file_forget_all()
    void file_drop_peer(int slot)
    void file_signal(int slot)
    void file_drain(int slot)
    void file_fill(int slot)
    void file_look(short *revents)

cdef enum:
    MAX_NODES = 1500
    MAX_EVENTS = 20000
    MAX_OPERATIONS = 600
    MAX_DEPTH = 4
    BHS = 5
    TIMERS = 6
    POLLERS = 3
    GUARD_NS = 50000

cdef int64_t FAR_NS = <int64_t> 1 << 61

# The events of a trace, which are the model's methods, and the operations.
cdef enum Event:
    START, READY, CLOSED, REOPENED, SET, REMOVE, ADD_OBJECT, DEL_OBJECT, BH_NEW, SCHEDULE,
    SCHEDULE_IDLE, CANCEL, DELETE, ONESHOT, TIMER_NEW, TIMER_MOD, TIMER_DEL, TIMER_FREE, NOTIFY,
    POLLING_ADD, POLLING_DEL, CLOCK, WAIT, WAITED, STEP, STEPPED, BH_POLL, BH_POLLED,
    RUN_TIMERS, RAN_TIMERS, BH_TIMEOUT, DEADLINE, CALL, RETURN, EVENTS

EVENT_NAMES = """start ready closed reopened set_handler remove_handler add_object del_object
    bh_new schedule schedule_idle cancel delete oneshot timer_new timer_mod timer_del timer_free
    notify polling_add polling_del clock wait waited step stepped bh_poll bh_polled run_timers
    ran_timers bh_timeout deadline call return_""".split()
assert len(EVENT_NAMES) == EVENTS

cdef enum Part:
    READ, WRITE, GATE, POLLING, OBJECT, BOTTOM_HALF, TIMER

cdef enum Operation:
    OP_SET, OP_SET_2, OP_SET_GATED, OP_REMOVE, OP_OPEN, OP_CLOSE, OP_SIGNAL, OP_SIGNAL_2, OP_TOUCH,
    OP_SCHEDULE, OP_SCHEDULE_2, OP_IDLE, OP_CANCEL, OP_DELETE, OP_ONESHOT, OP_MOD, OP_MOD_2,
    OP_ANTICIPATE, OP_DISARM, OP_FREE, OP_NOTIFY, OP_LOOK, OP_LOOK_2, OP_LOOK_3, OP_WAIT, OP_CLOCK,
    OP_STEP, OP_POLLING_ADD, OP_POLLING_DEL, OP_ADD_OBJECT, OP_DEL_OBJECT, OP_PART, OPERATIONS

cdef struct Order:
    int op, a, b

# What a callback is given.
cdef struct Node:
    int id
    int slot

cdef struct Record:
    int64_t event, a, b, c, d

cdef const uint8_t *code
cdef Py_ssize_t code_size, at
cdef Record events[MAX_EVENTS]
cdef Node nodes[MAX_NODES]
cdef int event_count, node_count, operations, depth
cdef bint on_main, quiet, by_threads
cdef AioContext *ctx
cdef short seen[NUMBERS]
cdef QEMUBH *bhs[BHS]
cdef Node *bh_nodes[BHS]
cdef QEMUTimer *timers[TIMERS]
cdef Node *timer_nodes[TIMERS]
cdef Node *pollers[POLLERS]
cdef int pollers_added[POLLERS]
cdef QEMUTimer *guard
cdef bint virtual_runs


cdef inline int take() noexcept nogil:
    global at
    at += 1
    return code[at - 1] if at <= code_size else 0


cdef void log(int event, int64_t a, int64_t b, int64_t c, int64_t d) noexcept nogil:
    global event_count
    if quiet or event_count == MAX_EVENTS:
        return
    events[event_count] = Record(event, a, b, c, d)
    event_count += 1


cdef bint is_tired() noexcept nogil:
    return (quiet or at >= code_size or operations >= MAX_OPERATIONS
            or event_count > MAX_EVENTS // 2 or node_count > MAX_NODES - 4)


cdef Node *new_node(int slot) noexcept nogil:
    global node_count
    cdef Node *n = &nodes[node_count]
    n.id = node_count
    n.slot = slot
    node_count += 1
    return n


cdef void look() noexcept nogil:
    cdef short now[NUMBERS]
    cdef int i
    file_look(now)
    for i in range(NUMBERS):
        if now[i] != seen[i]:
            seen[i] = now[i]
            log(READY, i, now[i], 0, 0)


# ---- callbacks

cdef int script(void *opaque, int part) noexcept nogil:
    global depth
    cdef Node *n = <Node *> opaque
    cdef int todo = 0 if is_tired() else take()
    cdef int _i
    log(CALL, part, n.id, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL), 0)
    depth += 1
    for _i in range(todo & 3):
        operate()
    if todo & 4 and (part == READ or part == OBJECT):
        file_drain(n.slot)
        look()
    depth -= 1
    log(RETURN, part, n.id, todo >> 3 & 1, 0)
    return todo >> 3 & 1


cdef void on_read(void *opaque) noexcept nogil:
    script(opaque, READ)


cdef void on_write(void *opaque) noexcept nogil:
    script(opaque, WRITE)


cdef int on_gate(void *opaque) noexcept nogil:
    return script(opaque, GATE)


cdef int on_polling(void *opaque) noexcept nogil:
    return script(opaque, POLLING)


cdef void on_object(void *opaque) noexcept nogil:
    script(opaque, OBJECT)


cdef void on_bh(void *opaque) noexcept nogil:
    script(opaque, BOTTOM_HALF)


cdef void on_timer(void *opaque) noexcept nogil:
    script(opaque, TIMER)


cdef void on_guard(void *opaque) noexcept nogil:
    log(CALL, TIMER, -1, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL), 0)
    log(RETURN, TIMER, -1, 0, 0)


# ---- operations

# wanted: 1 read, 2 write, 4 asked before reading.
cdef void set_handler(int slot, int wanted) noexcept nogil:
    cdef Node *n = new_node(slot)
    cdef int fd = FIRST_NUMBER + slot
    cdef IOHandler *read = on_read
    cdef IOHandler *write = on_write
    cdef IOCanReadHandler *gate = on_gate
    cdef int rc
    wanted = wanted if wanted & 3 else wanted | 1
    if not wanted & 1:
        read = NULL
    if not wanted & 2:
        write = NULL
    if not wanted & 4:
        gate = NULL
    if on_main:
        rc = qemu_set_fd_handler2(fd, gate, read, write, n)
    else:
        rc = aio_set_fd_handler(ctx, fd, read, write, gate, n)
    log(SET, slot, n.id, wanted, rc)


cdef void remove_handler(int slot) noexcept nogil:
    cdef int rc = aio_set_fd_handler(ctx, FIRST_NUMBER + slot, NULL, NULL, NULL, NULL)
    log(REMOVE, slot, rc, 0, 0)


cdef void add_object(int slot) noexcept nogil:
    cdef Node *n = new_node(slot)
    cdef uintptr_t fd = FIRST_NUMBER + slot
    log(ADD_OBJECT, slot, n.id, qemu_add_wait_object(<HANDLE> fd, on_object, n), 0)


cdef void del_object(int slot) noexcept nogil:
    cdef uintptr_t fd = FIRST_NUMBER + slot
    qemu_del_wait_object(<HANDLE> fd, on_object, NULL)
    log(DEL_OBJECT, slot, 0, 0, 0)


cdef void touch(int slot, int how) noexcept nogil:
    if how == 0:
        file_drain(slot)
    elif how == 1:
        file_fill(slot)
    else:
        file_drop_peer(slot)


cdef QEMUBH *bh_of(int slot) noexcept nogil:
    if bhs[slot] == NULL:
        bh_nodes[slot] = new_node(slot)
        bhs[slot] = qemu_bh_new(on_bh, bh_nodes[slot]) if on_main else aio_bh_new(
            ctx, on_bh, bh_nodes[slot])
        log(BH_NEW, bh_nodes[slot].id, 0, 0, 0)
    return bhs[slot]


cdef void bottom_half(int op, int slot) noexcept nogil:
    cdef QEMUBH *bh = bh_of(slot)
    cdef int id = bh_nodes[slot].id
    if op == OP_IDLE:
        log(SCHEDULE_IDLE, id, 0, 0, 0)
        qemu_bh_schedule_idle(bh)
    elif op == OP_CANCEL:
        log(CANCEL, id, 0, 0, 0)
        qemu_bh_cancel(bh)
    elif op == OP_DELETE:
        log(DELETE, id, 0, 0, 0)
        bhs[slot] = NULL
        qemu_bh_delete(bh)
    else:
        log(SCHEDULE, id, 0, 0, 0)
        qemu_bh_schedule(bh)


cdef void oneshot() noexcept nogil:
    cdef Node *n = new_node(0)
    log(ONESHOT, n.id, aio_bh_schedule_oneshot(ctx, on_bh, n), 0, 0)


cdef int timer_clock(int slot) noexcept nogil:
    return slot % 3


# Two timers a clock, one that counts in milliseconds.
cdef QEMUTimer *timer_of(int slot) noexcept nogil:
    cdef int scale = 1000000 if slot < 3 else 1
    if timers[slot] == NULL:
        timer_nodes[slot] = new_node(slot)
        timers[slot] = aio_timer_new(ctx, <QEMUClockType> timer_clock(slot), scale, on_timer,
                                     timer_nodes[slot])
        log(TIMER_NEW, timer_nodes[slot].id, timer_clock(slot), scale, 0)
    return timers[slot]


# When: in the past, soon on the stopped virtual clock, never.
cdef int64_t time_for(int slot, int b) noexcept nogil:
    if b >= 240:
        return INT64_MAX - b
    if b >= 224:
        return FAR_NS
    if b >= 208:
        return -b
    if timer_clock(slot) != QEMU_CLOCK_VIRTUAL:
        return b & 7
    if virtual_runs:
        return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) - (b & 7)
    return qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) + ((b & 15) - 4) * 5


cdef void arm(int slot, int b, bint anticipate) noexcept nogil:
    cdef QEMUTimer *ts = timer_of(slot)
    cdef int64_t when = time_for(slot, b)
    cdef bint scaled = timer_clock(slot) != QEMU_CLOCK_VIRTUAL and b & 8
    if anticipate and scaled:
        timer_mod_anticipate(ts, when)
    elif anticipate:
        timer_mod_anticipate_ns(ts, when)
    elif scaled:
        timer_mod(ts, when)
    else:
        timer_mod_ns(ts, when)
    log(TIMER_MOD, timer_nodes[slot].id, when, anticipate | scaled << 1, timer_expire_time_ns(ts))


cdef void disarm(int slot, bint frees) noexcept nogil:
    cdef QEMUTimer *ts = timer_of(slot)
    log(TIMER_FREE if frees else TIMER_DEL, timer_nodes[slot].id, timer_pending(ts), 0, 0)
    if frees:
        timers[slot] = NULL
        timer_free(ts)
    else:
        timer_del(ts)


cdef void switch_clock(bint is_host, bint on) noexcept nogil:
    global virtual_runs
    cdef int64_t since_ns
    if is_host:
        qemu_clock_enable(QEMU_CLOCK_HOST, on)
        log(CLOCK, QEMU_CLOCK_HOST, on, 0, 0)
        return
    # Whatever was armed for soon is due from here on, without a doubt.
    since_ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL)
    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, on)
    while on and qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL) < since_ns + 1000:
        pass
    virtual_runs = on
    log(CLOCK, QEMU_CLOCK_VIRTUAL, on, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL), 0)


cdef void step(int a, int b) noexcept nogil:
    cdef int64_t ns = b & 63 if b < 250 else -1
    cdef int64_t now_ns = qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL)
    if a & 1:
        log(STEP, ns, now_ns, 1, 0)
        ns = qemu_clock_step(ns)
    else:
        log(STEP, ns, now_ns, 0, 0)
        ns = qemu_clock_set(now_ns + ns)
    log(STEPPED, ns, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL), 0, 0)


cdef int64_t sleeps() noexcept nogil:
    cdef ContextStats stats
    context_stats(<CoreContext *> ctx, &stats)
    return stats.sleeps


cdef void set_guard() noexcept nogil:
    if depth == 0:
        timer_del(guard)
    else:
        timer_mod_ns(guard, qemu_clock_get_ns(QEMU_CLOCK_REALTIME) + GUARD_NS)


cdef void wait(bint blocking) noexcept nogil:
    global depth
    cdef int64_t before = sleeps()
    cdef int rc
    log(WAIT, blocking, 0, 0, 0)
    depth += 1
    if blocking:
        set_guard()
    rc = main_loop_wait(not blocking) if on_main else aio_poll(ctx, blocking)
    depth -= 1
    set_guard()
    log(WAITED, rc, sleeps() - before, not on_main, 0)


cdef void polling(int slot, bint adds) noexcept nogil:
    if pollers[slot] == NULL:
        pollers[slot] = new_node(slot)
    if adds:
        pollers_added[slot] += 1
        log(POLLING_ADD, pollers[slot].id, qemu_add_polling_cb(on_polling, pollers[slot]), 0, 0)
    else:
        log(POLLING_DEL, pollers[slot].id, 0, 0, 0)
        qemu_del_polling_cb(on_polling, pollers[slot])


# A part of an iteration alone, or a question.
cdef void part_of_iteration(int a, int b) noexcept nogil:
    global depth
    cdef uint32_t timeout_ms = 1000
    depth += 1
    if b & 3 == 0:
        log(BH_POLL, 0, 0, 0, 0)
        log(BH_POLLED, qemu_bh_poll(), 0, 0, 0)
    elif b & 3 == 1:
        log(RUN_TIMERS, a % 3, 0, 0, 0)
        log(RAN_TIMERS, qemu_clock_run_timers(<QEMUClockType> (a % 3)), 0, 0, 0)
    elif b & 3 == 2:
        qemu_bh_update_timeout(&timeout_ms)
        log(BH_TIMEOUT, timeout_ms, 0, 0, 0)
    else:
        log(DEADLINE, a % 3, qemu_clock_deadline_ns(<QEMUClockType> (a % 3)), 0, 0)
    depth -= 1


cdef void operate_on_files(int op, int a, int b) noexcept nogil:
    cdef int slot = a % NUMBERS
    if op <= OP_SET_2:
        set_handler(slot, b & 3)
    elif op == OP_SET_GATED:
        set_handler(slot, b & 3 | 5)
    elif op == OP_REMOVE:
        remove_handler(slot)
    elif op == OP_OPEN:
        if file_open(slot, b % KINDS, b // KINDS % NUMBERS) == 0:
            log(REOPENED, slot, 0, 0, 0)
    elif op == OP_CLOSE:
        if b & 2:
            remove_handler(slot)
        file_close(slot, b & 1)
        log(CLOSED, slot, 0, 0, 0)
    elif op == OP_TOUCH:
        touch(slot, b % 3)
    else:
        file_signal(slot)
    look()


cdef void operate_on_main(int op, int a, int b) noexcept nogil:
    if op <= OP_POLLING_DEL:
        polling(a % POLLERS, op == OP_POLLING_ADD)
    elif op == OP_ADD_OBJECT:
        add_object(a % NUMBERS)
    elif op == OP_DEL_OBJECT:
        del_object(a % NUMBERS)
    elif depth < MAX_DEPTH:
        part_of_iteration(a, b)


# What any thread may do at any time; False: it is something else.
cdef bint operate_anywhere(int op, int a, int b) noexcept nogil:
    if op <= OP_TOUCH:
        operate_on_files(op, a, b)
    elif op <= OP_DELETE:
        bottom_half(op, a % BHS)
    elif op == OP_ONESHOT:
        oneshot()
    elif op <= OP_ANTICIPATE:
        arm(a % TIMERS, b, op == OP_ANTICIPATE)
    elif op <= OP_FREE:
        disarm(a % TIMERS, op == OP_FREE)
    elif op == OP_NOTIFY:
        log(NOTIFY, 0, 0, 0, 0)
        aio_notify(ctx)
    else:
        return False
    return True


# Most changes by another thread notify the loop; this one makes sure that all do.
cdef void *carry_out(void *order) noexcept nogil:
    cdef Order *o = <Order *> order
    operate_anywhere(o.op, o.a, o.b)
    operate_anywhere(OP_NOTIFY, 0, 0)
    return NULL


cdef bint operate_elsewhere(int op, int a, int b) noexcept nogil:
    cdef Order order = Order(op, a, b)
    cdef pthread_t thread
    if (not by_threads or op > OP_NOTIFY
            or pthread_create(&thread, NULL, carry_out, &order) != 0):
        return False
    pthread_join(thread, NULL)
    return True


cdef void operate() noexcept nogil:
    global operations
    if is_tired():
        return
    cdef int op = take() % OPERATIONS
    cdef int a = take()
    cdef int b = take()
    operations += 1
    if operate_elsewhere(op, a, b) or operate_anywhere(op, a, b):
        return
    if op == OP_CLOCK:
        switch_clock(a & 1, b & 1)
    elif op == OP_STEP:
        step(a, b)
    elif op > OP_STEP and on_main:
        operate_on_main(op, a, b)
    elif depth < MAX_DEPTH:
        wait(op == OP_WAIT)


# ---- a program

cdef void begin() noexcept nogil:
    global event_count, node_count, operations, depth, quiet, guard, virtual_runs
    cdef int i
    event_count = node_count = operations = depth = 0
    quiet = virtual_runs = False
    for i in range(BHS):
        bhs[i] = NULL
    for i in range(TIMERS):
        timers[i] = NULL
    for i in range(POLLERS):
        pollers[i] = NULL
        pollers_added[i] = 0
    for i in range(NUMBERS):
        seen[i] = -1
    file_forget_all()
    guard = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, 1, on_guard, NULL)
    log(START, qemu_clock_get_ns(QEMU_CLOCK_VIRTUAL), 0, 0, 0)
    for i in range(3):
        file_open(i, i, 0)
    look()


cdef void end() noexcept nogil:
    global quiet
    cdef int i, _i
    wait(False)
    wait(False)
    quiet = True
    qemu_clock_enable(QEMU_CLOCK_VIRTUAL, False)
    qemu_clock_enable(QEMU_CLOCK_HOST, True)
    for i in range(NUMBERS):
        remove_handler(i)
        if on_main:
            del_object(i)
    for i in range(BHS):
        if bhs[i] != NULL:
            qemu_bh_delete(bhs[i])
    for i in range(TIMERS):
        timer_free(timers[i])
    timer_free(guard)
    for i in range(POLLERS):
        # One may be there several times.
        while pollers_added[i] > 0:
            qemu_del_polling_cb(on_polling, pollers[i])
            pollers_added[i] -= 1
    file_close_all()
    for _i in range(3):
        aio_poll(ctx, False)


cdef void execute() noexcept nogil:
    begin()
    while not is_tired():
        operate()
    end()


def run(const uint8_t[::1] program, str fdmon=None, main=None):
    """The trace of the program: a list of (index into EVENT_NAMES, and four arguments)."""
    global code, code_size, at, on_main, by_threads, ctx, guard
    cdef int header = program[0] if len(program) else 0
    cdef int i
    on_main = header & 1 if main is None else main
    by_threads = header & 4
    code = &program[0] if len(program) else NULL
    code_size = len(program)
    at = 1
    if fdmon is None:
        fdmon = "poll" if header & 2 else "epoll"
    name = fdmon.encode()
    ctx = qemu_get_aio_context() if on_main else aio_context_new()
    if ctx == NULL or (aio_context_fdmon_name(ctx) != name
                       and aio_context_set_fdmon(ctx, name) < 0):
        raise RuntimeError("no context")
    with nogil:
        execute()
    if not on_main:
        aio_context_unref(ctx)
    return [(events[i].event, events[i].a, events[i].b, events[i].c, events[i].d)
            for i in range(event_count)]
