# A 4-ary heap of times: what is due first, in the order of arming among equals.
#
# The time stands beside the pointer, so that comparing touches no node but between equals,
# and the four children of an element begin a cache line: a step down costs one.  A node
# knows its index, so that it can be moved or taken out from anywhere.

from libc.stdint cimport int64_t, uint64_t


cdef struct HeapNode:
    uint64_t order           # of arming
    int index                # HEAP_NOWHERE: not in the heap
    int scale                # the timer's, which has no better room for it

cdef struct HeapSlot:
    int64_t at_ns
    HeapNode *node

cdef struct TimerHeap:
    HeapSlot *slots
    int count
    int capacity
    void *memory             # of slots

cdef enum:
    HEAP_NOWHERE = -1

# Room for so many: 0 or -ENOMEM, and nothing has changed.
cdef int heap_reserve(TimerHeap *h, int capacity) noexcept nogil
cdef void heap_free(TimerHeap *h) noexcept nogil
# Takes out all that are due at now_ns, soonest first, and writes them to `due`, which has
# room for all.  How many.
cdef int heap_take_due(TimerHeap *h, int64_t now_ns, HeapNode **due) noexcept nogil
cdef void heap_sift_down(TimerHeap *h, int i, HeapSlot slot) noexcept nogil


cdef inline bint slot_before(const HeapSlot *a, const HeapSlot *b) noexcept nogil:
    if a.at_ns != b.at_ns:
        return a.at_ns < b.at_ns
    return a.node.order < b.node.order


cdef inline void heap_put(TimerHeap *h, int i, HeapSlot slot) noexcept nogil:
    h.slots[i] = slot
    slot.node.index = i


cdef inline void heap_sift_up(TimerHeap *h, int i, HeapSlot slot) noexcept nogil:
    cdef int parent
    while i > 0:
        parent = (i - 1) >> 2
        if not slot_before(&slot, &h.slots[parent]):
            break
        heap_put(h, i, h.slots[parent])
        i = parent
    heap_put(h, i, slot)


cdef inline void heap_settle(TimerHeap *h, int i, HeapSlot slot) noexcept nogil:
    if i > 0 and slot_before(&slot, &h.slots[(i - 1) >> 2]):
        heap_sift_up(h, i, slot)
    elif 4 * i + 1 < h.count:
        heap_sift_down(h, i, slot)
    else:
        heap_put(h, i, slot)


# node is in the heap, at this time, from here on; its order says where among equals.
cdef inline void heap_set(TimerHeap *h, HeapNode *node, int64_t at_ns) noexcept nogil:
    cdef HeapSlot slot
    slot.at_ns = at_ns
    slot.node = node
    if node.index >= 0:
        heap_settle(h, node.index, slot)
    else:
        h.count += 1
        heap_sift_up(h, h.count - 1, slot)


cdef inline void heap_remove(TimerHeap *h, HeapNode *node) noexcept nogil:
    cdef int i = node.index
    node.index = HEAP_NOWHERE
    h.count -= 1
    if i < h.count:
        heap_settle(h, i, h.slots[h.count])
