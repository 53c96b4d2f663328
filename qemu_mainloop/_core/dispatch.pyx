# The runtime's hooks, and when they are called.

cdef AnyFunction callbacks[8]
cdef int callback_count = 0


cdef bint never_attached() noexcept nogil:
    return False


cdef void do_nothing(Dispatch *d) noexcept nogil:
    pass


runtime.attached = never_attached
runtime.enter = do_nothing
runtime.leave = do_nothing


cdef void runtime_register(RuntimeOps ops) noexcept nogil:
    global runtime
    runtime = ops


cdef void runtime_register_callback(AnyFunction fn) noexcept nogil:
    global callback_count
    if callback_count < 8:
        callbacks[callback_count] = fn
        callback_count += 1


cdef bint runtime_owns(AnyFunction fn) noexcept nogil:
    cdef int i
    for i in range(callback_count):
        if callbacks[i] == fn:
            return fn != NULL
    return False


cdef void ask(Dispatch *d) noexcept nogil:
    d.holds = d.held_before = runtime.attached()


cdef void dispatch_attach(Dispatch *d) noexcept nogil:
    if d.holds < 0:
        ask(d)
    if d.holds == 0:
        runtime.enter(d)
        d.holds = 1


cdef void dispatch_detach(Dispatch *d) noexcept nogil:
    if d.holds < 0:
        ask(d)
    if d.holds == 1:
        runtime.leave(d)
        d.holds = 0
