# A 4-ary heap of times: its memory, going down it, taking out many at once.

from libc.errno cimport ENOMEM
from libc.stdint cimport uintptr_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef enum:
    LINE = 64
    # Taken at once rather than one by one if they are at least this part of all.
    MANY = 8


cdef int heap_reserve(TimerHeap *h, int capacity) noexcept nogil:
    cdef void *memory = malloc((capacity + 1) * sizeof(HeapSlot) + LINE)
    cdef HeapSlot *slots
    if memory == NULL:
        return -ENOMEM
    # Element 1, the first child, begins a line.
    slots = <HeapSlot *> ((<uintptr_t> memory + LINE + sizeof(HeapSlot) - 1) // LINE * LINE
                          - sizeof(HeapSlot))
    if h.count > 0:
        memcpy(slots, h.slots, h.count * sizeof(HeapSlot))
    free(h.memory)
    h.memory = memory
    h.slots = slots
    h.capacity = capacity
    return 0


cdef void heap_free(TimerHeap *h) noexcept nogil:
    free(h.memory)
    h.memory = NULL
    h.slots = NULL
    h.count = h.capacity = 0


cdef void heap_sift_down(TimerHeap *h, int i, HeapSlot slot) noexcept nogil:
    cdef int child, best, end
    while True:
        child = 4 * i + 1
        if child >= h.count:
            break
        best = child
        end = child + 4 if child + 4 < h.count else h.count
        child += 1
        while child < end:
            if slot_before(&h.slots[child], &h.slots[best]):
                best = child
            child += 1
        if not slot_before(&h.slots[best], &slot):
            break
        heap_put(h, i, h.slots[best])
        i = best
    heap_put(h, i, slot)


# ---- taking out many

# Writes all that are due, level by level as they stand in the heap; how many.  They are
# its top: nobody is due whose parent is not.
cdef int find_due(const TimerHeap *h, int64_t now_ns, HeapNode **found) noexcept nogil:
    cdef int n = 1
    cdef int seen = 0
    cdef int child, end
    found[0] = h.slots[0].node
    while seen < n:
        child = 4 * found[seen].index + 1
        end = child + 4 if child + 4 < h.count else h.count
        while child < end:
            if h.slots[child].at_ns <= now_ns:
                found[n] = h.slots[child].node
                n += 1
            child += 1
        seen += 1
    return n


# In the order of their times, as timers of one interval are?
cdef bint is_sorted(const TimerHeap *h, HeapNode **found, int n) noexcept nogil:
    cdef int i
    for i in range(1, n):
        if slot_before(&h.slots[found[i].index], &h.slots[found[i - 1].index]):
            return False
    return True


# Those due are out already: closes the gaps, and makes a heap of the rest.
cdef void rebuild_without_due(TimerHeap *h, int64_t now_ns) noexcept nogil:
    cdef int kept = 0
    cdef int i
    for i in range(h.count):
        if h.slots[i].at_ns > now_ns:
            heap_put(h, kept, h.slots[i])
            kept += 1
    h.count = kept
    i = (kept - 2) >> 2
    while i >= 0:
        heap_sift_down(h, i, h.slots[i])
        i -= 1


cdef int heap_take_due(TimerHeap *h, int64_t now_ns, HeapNode **due) noexcept nogil:
    cdef int n, i
    if h.count == 0 or h.slots[0].at_ns > now_ns:
        return 0
    n = find_due(h, now_ns, due)
    if n > MANY and n * MANY >= h.count and is_sorted(h, due, n):
        for i in range(n):
            due[i].index = HEAP_NOWHERE
        rebuild_without_due(h, now_ns)
        return n
    for i in range(n):
        due[i] = h.slots[0].node
        heap_remove(h, due[i])
    return n
