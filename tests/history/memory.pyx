# What frees itself, or another, while it is being used.  Run where freed memory is overwritten at
# once ("elsewhere" of conftest.py), so that a use after the end is a crash.

from libc.stdint cimport int64_t, uintptr_t
from posix.unistd cimport close

from qemu_mainloop.aio cimport (
    AioContext, aio_bh_new, aio_bh_schedule_oneshot, aio_context_new, aio_context_ref,
    aio_context_set_fdmon, aio_context_unref, aio_notify, aio_poll, aio_set_fd_handler,
    aio_timer_new, qemu_get_current_aio_context)
from qemu_mainloop.main_loop cimport (
    QEMUBH, main_loop_wait, qemu_add_polling_cb, qemu_bh_delete, qemu_bh_schedule,
    qemu_bh_schedule_idle, qemu_del_polling_cb, qemu_init_main_loop)
from qemu_mainloop.timer cimport (
    QEMU_CLOCK_REALTIME, QEMUTimer, timer_free, timer_mod_ns)

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    int pthread_create(pthread_t *t, void *attr, void *(*run)(void *) noexcept nogil, void *arg)
    int pthread_join(pthread_t t, void **result)

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int count, int flags)

cdef extern from "<malloc.h>" nogil:
    struct mallinfo2_t "mallinfo2":
        size_t uordblks
    mallinfo2_t mallinfo2()

cdef extern from *:
    """
    static int64_t get(int64_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
    static void put(int64_t *p, int64_t v) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }
    """
    int64_t get(int64_t *p) nogil
    void put(int64_t *p, int64_t v) nogil

cdef AioContext *ctx = NULL
cdef QEMUBH *bh = NULL
cdef QEMUTimer *timers[8]
cdef int fds[8]
cdef int64_t runs = 0
cdef int64_t wanted = 0


cdef void count(void *opaque) noexcept nogil:
    global runs
    runs += 1


# ---- bottom halves

cdef void *schedule_oneshots(void *opaque) noexcept nogil:
    cdef int64_t _i
    for _i in range(wanted):
        aio_bh_schedule_oneshot(ctx, count, NULL)
    return NULL


def oneshots(int64_t n):
    """One-shots that another thread schedules while this one runs, and frees, them."""
    global ctx, wanted
    cdef pthread_t thread
    with nogil:
        wanted = n
        ctx = aio_context_new()
        pthread_create(&thread, NULL, schedule_oneshots, NULL)
        while runs < wanted:
            aio_poll(ctx, False)
        pthread_join(thread, NULL)
        aio_context_unref(ctx)
    return runs


cdef void delete_and_nest(void *opaque) noexcept nogil:
    global runs
    runs += 1
    qemu_bh_delete(bh)
    aio_bh_schedule_oneshot(ctx, count, NULL)
    while aio_poll(ctx, False):
        pass


def deleted_then_nested():
    """A bottom half deletes itself, then polls: what ran in all."""
    global ctx, bh
    with nogil:
        ctx = aio_context_new()
        bh = aio_bh_new(ctx, delete_and_nest, NULL)
        qemu_bh_schedule(bh)
        aio_poll(ctx, True)
        aio_poll(ctx, False)
        aio_context_unref(ctx)
    return runs


# ---- descriptors

cdef void remove_others(void *opaque) noexcept nogil:
    global runs
    cdef int i
    runs += 1
    for i in range(8):
        if i != <int> <uintptr_t> opaque:
            aio_set_fd_handler(ctx, fds[i], NULL, NULL, NULL, NULL)
            # Whatever was freed is somebody else's by now.
            aio_set_fd_handler(ctx, fds[i], count, NULL, NULL, NULL)
            aio_set_fd_handler(ctx, fds[i], NULL, NULL, NULL, NULL)
    if nests:
        aio_set_fd_handler(ctx, fds[<int> <uintptr_t> opaque], NULL, NULL, NULL, NULL)
        aio_poll(ctx, False)


cdef bint nests = False


def removed_by_another(bytes fdmon, bint nested):
    """One of eight ready handlers removes the others, and polls: callbacks in that iteration."""
    global ctx, nests
    nests = nested
    cdef const char *name = fdmon
    cdef int i
    with nogil:
        ctx = aio_context_new()
        aio_context_set_fdmon(ctx, name)
        for i in range(8):
            fds[i] = eventfd(1, 0)
            aio_set_fd_handler(ctx, fds[i], remove_others, NULL, NULL, <void *> <uintptr_t> i)
        aio_poll(ctx, True)
        for i in range(8):
            close(fds[i])
        aio_context_unref(ctx)
    return runs


def registered_up_to(bytes fdmon, int n):
    """So many descriptors, more than there was room for; how many were served."""
    global ctx
    cdef const char *name = fdmon
    cdef int i
    cdef int first = -1
    with nogil:
        ctx = aio_context_new()
        aio_context_set_fdmon(ctx, name)
        for _ in range(n):
            fds[0] = eventfd(1, 0)
            first = fds[0] if first < 0 else first
            aio_set_fd_handler(ctx, fds[0], count, NULL, NULL, NULL)
        aio_poll(ctx, True)
        aio_context_unref(ctx)
        for i in range(first, fds[0] + 1):
            close(i)
    return runs


def changed_unpolled(bytes fdmon, int n):
    """(bytes that so many changes of one descriptor cost while nobody polls, its calls then)."""
    global ctx
    cdef const char *name = fdmon
    cdef size_t before, after
    with nogil:
        ctx = aio_context_new()
        aio_context_set_fdmon(ctx, name)
        fds[0] = eventfd(1, 0)
        aio_set_fd_handler(ctx, fds[0], count, NULL, NULL, NULL)
        before = mallinfo2().uordblks
        for _ in range(n):
            aio_set_fd_handler(ctx, fds[0], count, NULL, NULL, NULL)
        after = mallinfo2().uordblks
        aio_poll(ctx, True)
        aio_context_unref(ctx)
        close(fds[0])
    return <int64_t> after - <int64_t> before, runs


# ---- polling callbacks

cdef int delete_oneself(void *opaque) noexcept nogil:
    global runs
    runs += 1
    qemu_del_polling_cb(delete_oneself, opaque)
    if opaque != NULL:
        main_loop_wait(True)
    return 1


cdef int ask(void *opaque) noexcept nogil:
    global runs
    runs += 100
    return 0


def polling_callback_gone(bint nests):
    """A polling callback deletes itself, and perhaps waits: 1, and 100 for each of the next."""
    with nogil:
        qemu_init_main_loop()
        qemu_add_polling_cb(delete_oneself, <void *> <uintptr_t> nests)
        qemu_add_polling_cb(ask, NULL)
        main_loop_wait(True)
        main_loop_wait(True)
    return runs


# ---- timers

cdef void free_the_rest(void *opaque) noexcept nogil:
    global runs
    cdef int i
    runs += 1
    for i in range(1, 8):
        timer_free(timers[i])


def timers_freed_while_armed():
    """Armed timers are freed outside, then by one that is due as they are: runs."""
    global ctx
    cdef int i
    with nogil:
        ctx = aio_context_new()
        for i in range(8):
            timers[i] = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, 1, count, NULL)
            timer_mod_ns(timers[i], i)
        for i in range(8):
            timer_free(timers[i])
        aio_poll(ctx, False)
        for i in range(8):
            timers[i] = aio_timer_new(ctx, QEMU_CLOCK_REALTIME, 1,
                                      free_the_rest if i == 0 else count, NULL)
            timer_mod_ns(timers[i], i)
        aio_poll(ctx, False)
        aio_poll(ctx, False)
        timer_free(timers[0])
        timer_free(NULL)
        aio_context_unref(ctx)
    return runs


# ---- contexts

cdef void leave_things(int n) noexcept nogil:
    cdef AioContext *one
    cdef QEMUBH *left
    for _ in range(n):
        one = aio_context_new()
        aio_bh_new(one, count, NULL)
        left = aio_bh_new(one, count, NULL)
        qemu_bh_schedule(left)
        left = aio_bh_new(one, count, NULL)
        qemu_bh_schedule_idle(left)
        left = aio_bh_new(one, count, NULL)
        qemu_bh_schedule(left)
        qemu_bh_delete(left)
        aio_bh_schedule_oneshot(one, count, NULL)
        timer_mod_ns(aio_timer_new(one, QEMU_CLOCK_REALTIME, 1, count, NULL), 1)
        aio_set_fd_handler(one, fds[0], count, NULL, NULL, NULL)
        aio_context_unref(one)


def left_behind(int n):
    """Bytes that so many contexts, ended with all kinds of things in them, leave."""
    cdef size_t before
    with nogil:
        fds[0] = eventfd(1, 0)
        leave_things(10)
        before = mallinfo2().uordblks
        leave_things(n)
    return <int64_t> mallinfo2().uordblks - <int64_t> before


cdef int64_t stop = 0


cdef void *use_own_reference(void *opaque) noexcept nogil:
    cdef AioContext *mine = <AioContext *> opaque
    while not get(&stop):
        pass
    aio_bh_schedule_oneshot(mine, count, NULL)
    aio_notify(mine)
    while runs == 0:
        aio_poll(mine, True)
    aio_context_unref(mine)
    return NULL


def used_by_the_last_reference():
    """A thread goes on with a context that its maker has given back."""
    global ctx
    cdef pthread_t thread
    with nogil:
        ctx = aio_context_new()
        aio_context_ref(ctx)
        pthread_create(&thread, NULL, use_own_reference, ctx)
        aio_context_unref(ctx)
        put(&stop, 1)
        pthread_join(thread, NULL)
    return runs


cdef int64_t inside = 0


cdef void stay_inside(void *opaque) noexcept nogil:
    put(&inside, 1 if qemu_get_current_aio_context() == ctx else -1)
    while get(&inside) == 1:
        pass


cdef void *poll_once(void *opaque) noexcept nogil:
    aio_bh_schedule_oneshot(ctx, stay_inside, NULL)
    aio_poll(ctx, True)
    return NULL


def current_is_per_thread():
    """(is it the context in the thread that polls it, is it NULL here meanwhile?)"""
    global ctx
    cdef pthread_t thread
    cdef bint there, here
    with nogil:
        ctx = aio_context_new()
        pthread_create(&thread, NULL, poll_once, NULL)
        while get(&inside) == 0:
            pass
        there = inside == 1
        here = qemu_get_current_aio_context() == NULL
        put(&inside, 0)
        pthread_join(thread, NULL)
        aio_context_unref(ctx)
    return there, here


# ---- long chains

cdef void go_on(void *opaque) noexcept nogil:
    global runs
    runs += 1
    if runs < wanted:
        aio_bh_schedule_oneshot(ctx, go_on, NULL)


cdef void ping(void *opaque) noexcept nogil:
    global runs
    runs += 1
    if runs < wanted:
        qemu_bh_schedule(pair[runs % 2])

cdef QEMUBH *pair[2]


def chained(int64_t n):
    """Two bottom halves that wake each other, and a chain of one-shots."""
    global ctx, wanted, runs
    cdef int64_t first
    with nogil:
        ctx = aio_context_new()
        wanted = n
        pair[0] = aio_bh_new(ctx, ping, NULL)
        pair[1] = aio_bh_new(ctx, ping, NULL)
        qemu_bh_schedule(pair[0])
        while runs < wanted:
            aio_poll(ctx, True)
        first = runs
        runs = 0
        aio_bh_schedule_oneshot(ctx, go_on, NULL)
        while runs < wanted:
            aio_poll(ctx, True)
        aio_context_unref(ctx)
    return first, runs


# ---- callbacks and their opaque

cdef int64_t torn = 0
cdef char a_is_mine, b_is_mine


cdef void handler_a(void *opaque) noexcept nogil:
    global torn, runs
    runs += 1
    torn += opaque != &a_is_mine


cdef void handler_b(void *opaque) noexcept nogil:
    global torn, runs
    runs += 1
    torn += opaque != &b_is_mine


cdef void *replace_all_the_time(void *opaque) noexcept nogil:
    while not get(&stop):
        aio_set_fd_handler(ctx, fds[0], handler_a, NULL, NULL, &a_is_mine)
        aio_set_fd_handler(ctx, fds[0], NULL, handler_b, NULL, &b_is_mine)
    return NULL


def torn_callbacks(bytes fdmon, int64_t calls):
    """Calls with another's opaque, while a thread replaces one handler by another."""
    global ctx
    cdef const char *name = fdmon
    cdef pthread_t thread
    with nogil:
        ctx = aio_context_new()
        aio_context_set_fdmon(ctx, name)
        fds[0] = eventfd(1, 0)
        pthread_create(&thread, NULL, replace_all_the_time, NULL)
        while runs < calls:
            aio_poll(ctx, True)
        put(&stop, 1)
        pthread_join(thread, NULL)
        close(fds[0])
        aio_context_unref(ctx)
    return torn
