cdef class IothreadLock:
    pass
