# A C user of the library: what each call returns when there is no memory, no descriptor or
# no thread left.

from libc.stdint cimport int64_t

from qemu_mainloop.aio cimport (
    AioContext, IOThread, aio_add_child_watch, aio_bh_new, aio_bh_schedule_oneshot,
    aio_context_fileno, aio_context_new, aio_context_unref, aio_notify, aio_poll,
    aio_set_fd_handler, aio_timer_new, iothread_create, iothread_destroy)
from qemu_mainloop.main_loop cimport (
    HANDLE, QEMUBH, main_loop_wait, qemu_add_polling_cb, qemu_add_wait_object, qemu_bh_delete,
    qemu_bh_schedule, qemu_del_polling_cb, qemu_del_wait_object, qemu_init_main_loop,
    qemu_mutex_iothread_locked, qemu_mutex_unlock_iothread, qemu_set_fd_handler)
from qemu_mainloop.timer cimport (
    QEMU_CLOCK_REALTIME, QEMU_CLOCK_VIRTUAL, QEMUClockType, QEMUTimer,
    SCALE_NS, qemu_clock_get_ns, qemu_clock_step, timer_del, timer_free, timer_mod_anticipate_ns,
    timer_mod_ns)

cdef extern from "<unistd.h>" nogil:
    int read(int fd, void *buf, size_t n)

cdef int runs = 0
cdef int reader = -1


cdef void count(void *opaque) noexcept nogil:
    global runs
    runs += 1


cdef void count_child(void *opaque, int pid, int status) noexcept nogil:
    global runs
    runs += 1


cdef void on_read(void *opaque) noexcept nogil:
    global runs
    cdef char c
    read(reader, &c, 1)
    runs += 1


cdef int ask(void *opaque) noexcept nogil:
    return 0


cdef class Context:
    """Methods give 0, a negative errno, or "NULL"."""
    cdef AioContext *ctx
    cdef QEMUBH *bh
    cdef QEMUTimer *timer
    cdef IOThread *thread

    def new(self):
        self.ctx = aio_context_new()
        return 0 if self.ctx != NULL else "NULL"

    def set_fd_handler(self, int fd, bint on=True):
        global reader
        reader = fd
        if not on:
            return aio_set_fd_handler(self.ctx, fd, NULL, NULL, NULL, NULL)
        return aio_set_fd_handler(self.ctx, fd, on_read, NULL, NULL, NULL)

    def bh_new(self):
        self.bh = aio_bh_new(self.ctx, count, NULL)
        return 0 if self.bh != NULL else "NULL"

    def timer_new(self):
        self.timer = aio_timer_new(self.ctx, QEMU_CLOCK_REALTIME, SCALE_NS, count, NULL)
        return 0 if self.timer != NULL else "NULL"

    def oneshot(self):
        return aio_bh_schedule_oneshot(self.ctx, count, NULL)

    def iothread(self):
        self.thread = iothread_create(NULL)
        if self.thread == NULL:
            return "NULL"
        with nogil:
            iothread_destroy(self.thread)
        return 0

    def child(self, int pid):
        return aio_add_child_watch(self.ctx, pid, count_child, NULL)

    def fileno(self):
        cdef int fd = aio_context_fileno(self.ctx)
        return fd if fd < 0 else 0

    def poll(self):
        cdef int rc
        with nogil:
            rc = aio_poll(self.ctx, False)
        return rc if rc < 0 else 0

    def ran(self):
        """How many callbacks an iteration with everything due runs."""
        global runs
        runs = 0
        qemu_bh_schedule(self.bh)
        timer_mod_ns(self.timer, 0)
        aio_notify(self.ctx)
        with nogil:
            aio_poll(self.ctx, True)
        return runs

    def close(self):
        qemu_bh_delete(self.bh)
        timer_free(self.timer)
        aio_context_unref(self.ctx)


# ---- the main loop

def init():
    """(result, is the iothread lock held); gives the lock back."""
    cdef int rc = qemu_init_main_loop()
    cdef bint held = qemu_mutex_iothread_locked()
    if held:
        qemu_mutex_unlock_iothread()
    return rc, held


def main_wait():
    cdef int rc
    with nogil:
        rc = main_loop_wait(True)
    return rc


def main_polling(bint on):
    if on:
        return qemu_add_polling_cb(ask, NULL)
    qemu_del_polling_cb(ask, NULL)


def main_wait_object(int fd, bint on):
    if on:
        return qemu_add_wait_object(<HANDLE> <size_t> fd, count, NULL)
    qemu_del_wait_object(<HANDLE> <size_t> fd, count, NULL)


def main_fd_handler(int fd, bint on):
    if not on:
        return qemu_set_fd_handler(fd, NULL, NULL, NULL)
    return qemu_set_fd_handler(fd, count, NULL, NULL)


# ---- after timer_new

cdef class Timers:
    """A thousand timers of a clock on a context of their own."""
    cdef AioContext *ctx
    cdef QEMUTimer *timers[1000]
    cdef QEMUClockType clock

    def __init__(self, int clock):
        cdef int i
        self.clock = <QEMUClockType> clock
        self.ctx = aio_context_new()
        for i in range(1000):
            self.timers[i] = aio_timer_new(self.ctx, self.clock, SCALE_NS, count, NULL)
            assert self.timers[i] != NULL
        self.poll()

    def poll(self):
        with nogil:
            assert_ok(aio_poll(self.ctx, False))

    def everything(self):
        """Every call there is for a timer; how many callbacks ran."""
        global runs
        cdef int i
        cdef int64_t now = qemu_clock_get_ns(self.clock)
        runs = 0
        for i in range(1000):
            timer_mod_ns(self.timers[i], now + 10**15 - i)
        for i in range(1000):
            timer_mod_anticipate_ns(self.timers[i], now + 10**14 + i)
        for i in range(0, 1000, 2):
            timer_del(self.timers[i])
        for i in range(1000):
            timer_mod_ns(self.timers[i], now)
        if self.clock == QEMU_CLOCK_VIRTUAL:
            with nogil:
                qemu_clock_step(1)
        self.poll()
        for i in range(1000):
            timer_mod_ns(self.timers[i], now + 10**15)
        for i in range(0, 1000, 3):
            timer_del(self.timers[i])
        return runs

    def close(self):
        cdef int i
        for i in range(1000):
            timer_free(self.timers[i])
        aio_context_unref(self.ctx)


cdef void assert_ok(int rc) noexcept nogil:
    global runs
    if rc < 0:
        runs = -1000000


# ---- Python's allocations

cdef extern from "<dlfcn.h>" nogil:
    void *dlsym(void *handle, const char *name)

ctypedef void (*ArmFunction)(long first, long times) noexcept
ctypedef long (*OffFunction)() noexcept

cdef ArmFunction arm_python
cdef OffFunction disarm_python


def python_switches(size_t handle):
    """arm(n, function, arguments): calls it with the n-th allocation failing (0: none); the
    exception's class or None, and how many allocations failed."""
    global arm_python, disarm_python
    arm_python = <ArmFunction> dlsym(<void *> handle, "faults_python_arm")
    disarm_python = <OffFunction> dlsym(<void *> handle, "faults_python_off")
    return call_without_memory


def call_without_memory(long n, function, tuple arguments):
    # Nothing of ours allocates between the switches.
    cdef object raised = None
    arm_python(n, 1)
    try:
        function(*arguments)
    except BaseException as e:
        disarm = disarm_python()
        raised = type(e)
        return raised, disarm
    return raised, disarm_python()
