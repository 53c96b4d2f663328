/*
 * uring.h - an io_uring(7) by bare system calls: no library to depend on, and just what
 * a poll loop needs of it.  Only the polling thread may use a ring, where not said otherwise.
 */
#ifndef QEMU_MAINLOOP_SYS_URING_H
#define QEMU_MAINLOOP_SYS_URING_H

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/*
 * The kernel's interface, as far as it is used: wheels are built where the C library's
 * headers are older than it.
 */
enum {
    RING_SYS_SETUP = 425, RING_SYS_ENTER = 426, RING_SYS_REGISTER = 427,
    RING_OFF_RINGS = 0, RING_OFF_SQES = 0x10000000,
    RING_FEATURES = 1 << 0 | 1 << 1 | 1 << 8,   /* SINGLE_MMAP, NODROP, EXT_ARG */
    RING_GETEVENTS = 1 << 0, RING_EXT_ARG = 1 << 3,
    RING_OVERFLOWN = 1 << 1,
    RING_POLL_ADD = 6, RING_POLL_REMOVE = 7,
    RING_SYNC_CANCEL = 24,                      /* Linux 6.0 */
};

typedef struct RingRequest {
    uint8_t opcode, flags;
    uint16_t ioprio;
    int32_t fd;
    uint64_t off, addr;
    uint32_t len, poll_events;
    uint64_t data;
    uint64_t unused[3];
} RingRequest;

/* What became of a request: poll(2) bits or a negative errno. */
typedef struct RingResult {
    uint64_t data;
    int32_t result;
    uint32_t flags;
} RingResult;

struct ring_offsets {
    uint32_t head, tail, mask, entries;
    uint32_t more[4];           /* sq: flags, dropped, array; cq: overflow, cqes, flags */
    uint64_t address;
};

struct ring_params {
    uint32_t sq_entries, cq_entries, flags, cpu, idle, features, wq_fd, unused[3];
    struct ring_offsets sq, cq;
};

struct ring_wait {
    uint64_t mask;
    uint32_t mask_size, unused;
    uint64_t timeout;
};

struct ring_cancellation {
    uint64_t data;
    int32_t fd;
    uint32_t flags;
    int64_t sec, nsec;          /* how long it may take */
    uint64_t unused[4];
};

typedef struct Ring {
    int fd;                     /* -1: closed */
    unsigned entries;
    uint32_t *sq_tail, *sq_flags;
    uint32_t *cq_head, *cq_tail;
    uint32_t sq_mask, cq_mask;
    uint32_t queued;            /* written, the kernel has not been told */
    RingRequest *sqes;
    const RingResult *cqes;
    void *rings;
    size_t rings_size, sqes_size;
} Ring;

static inline void ring_close(Ring *r)
{
    if (r->fd >= 0) {
        munmap(r->sqes, r->sqes_size);
        munmap(r->rings, r->rings_size);
        close(r->fd);
    }
    r->fd = -1;
}

/*
 * 0 or negative errno.  Without any flag that makes the kernel keep a completion back
 * until it is entered: what has come must show in memory by itself.
 */
static inline int ring_open(Ring *r, unsigned entries)
{
    struct ring_params p;
    char *rings;
    uint32_t i;
    int rc;

    memset(&p, 0, sizeof p);
    r->fd = (int)syscall(RING_SYS_SETUP, entries, &p);
    if (r->fd < 0) {
        return -errno;
    }
    /* Linux 5.11 has all three; the last ends a wait at a time given with it. */
    if ((p.features & RING_FEATURES) != RING_FEATURES) {
        close(r->fd);
        r->fd = -1;
        return -ENOSYS;
    }
    r->rings_size = p.sq.more[2] + p.sq_entries * sizeof(uint32_t);
    if (r->rings_size < p.cq.more[1] + p.cq_entries * sizeof(RingResult)) {
        r->rings_size = p.cq.more[1] + p.cq_entries * sizeof(RingResult);
    }
    r->sqes_size = p.sq_entries * sizeof(RingRequest);
    r->rings = mmap(NULL, r->rings_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                    r->fd, RING_OFF_RINGS);
    if (r->rings == MAP_FAILED) {
        rc = -errno;
        close(r->fd);
        r->fd = -1;
        return rc;
    }
    r->sqes = (RingRequest *)mmap(NULL, r->sqes_size, PROT_READ | PROT_WRITE,
                                          MAP_SHARED | MAP_POPULATE, r->fd, RING_OFF_SQES);
    if (r->sqes == MAP_FAILED) {
        rc = -errno;
        munmap(r->rings, r->rings_size);
        close(r->fd);
        r->fd = -1;
        return rc;
    }
    rings = (char *)r->rings;
    r->entries = p.sq_entries;
    r->sq_tail = (uint32_t *)(rings + p.sq.tail);
    r->sq_flags = (uint32_t *)(rings + p.sq.more[0]);
    r->sq_mask = p.sq_entries - 1;
    r->cq_head = (uint32_t *)(rings + p.cq.head);
    r->cq_tail = (uint32_t *)(rings + p.cq.tail);
    r->cq_mask = p.cq_entries - 1;
    r->cqes = (const RingResult *)(rings + p.cq.more[1]);
    r->queued = 0;
    for (i = 0; i < p.sq_entries; i++) {
        ((uint32_t *)(rings + p.sq.more[2]))[i] = i;
    }
    return 0;
}

/* Completions that did not fit are in the kernel's hands: enter to get them. */
static inline int ring_has_overflown(const Ring *r)
{
    return (__atomic_load_n(r->sq_flags, __ATOMIC_RELAXED) & RING_OVERFLOWN) != 0;
}

/*
 * Tells the kernel of what is queued and waits for `wanted` completions, at most
 * timeout_ns (< 0: without end), with `mask` in force if there is one.  How many requests
 * it took, or negative errno (-ETIME: the time is over).
 */
static inline int ring_enter(Ring *r, unsigned wanted, int64_t timeout_ns,
                             const sigset_t *mask)
{
    struct { int64_t sec, nsec; } ts;
    struct ring_wait arg;
    unsigned flags = wanted || ring_has_overflown(r) ? RING_GETEVENTS : 0;
    int rc;

    if (wanted && (timeout_ns >= 0 || mask)) {
        memset(&arg, 0, sizeof arg);
        if (timeout_ns >= 0) {
            ts.sec = timeout_ns / 1000000000;
            ts.nsec = timeout_ns % 1000000000;
            arg.timeout = (uint64_t)(uintptr_t)&ts;
        }
        if (mask) {
            arg.mask = (uint64_t)(uintptr_t)mask;
            arg.mask_size = 8;
        }
        rc = (int)syscall(RING_SYS_ENTER, r->fd, r->queued, wanted,
                          flags | RING_EXT_ARG, &arg, sizeof arg);
    } else {
        rc = (int)syscall(RING_SYS_ENTER, r->fd, r->queued, wanted, flags, NULL, 8);
    }
    if (rc < 0) {
        return -errno;
    }
    r->queued -= (uint32_t)rc;
    return rc;
}

/* NULL: the queue is full, enter first. */
static inline RingRequest *ring_next(Ring *r)
{
    RingRequest *sqe;
    uint32_t tail = *r->sq_tail;

    if (r->queued == r->entries) {
        return NULL;
    }
    sqe = &r->sqes[tail & r->sq_mask];
    memset(sqe, 0, sizeof *sqe);
    /* Pairs with the kernel's load, within the system call. */
    __atomic_store_n(r->sq_tail, tail + 1, __ATOMIC_RELEASE);
    r->queued++;
    return sqe;
}

/* A one-shot poll of fd.  0; -EAGAIN: the queue is full. */
static inline int ring_poll_add(Ring *r, int fd, unsigned events, uint64_t data)
{
    RingRequest *sqe = ring_next(r);

    if (!sqe) {
        return -EAGAIN;
    }
    sqe->opcode = RING_POLL_ADD;
    sqe->fd = fd;
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    events = (events << 16) | (events >> 16);
#endif
    sqe->poll_events = events;
    sqe->data = data;
    return 0;
}

/* Takes back the poll that carries `target`. */
static inline int ring_poll_remove(Ring *r, uint64_t target, uint64_t data)
{
    RingRequest *sqe = ring_next(r);

    if (!sqe) {
        return -EAGAIN;
    }
    sqe->opcode = RING_POLL_REMOVE;
    sqe->fd = -1;
    sqe->addr = target;
    sqe->data = data;
    return 0;
}

/*
 * Any thread, also while another one is in ring_enter: ends the request that carries
 * `target`, which completes with -ECANCELED.  0; negative errno: there is none that can be.
 */
static inline int ring_cancel(const Ring *r, uint64_t target)
{
    struct ring_cancellation c;

    memset(&c, 0, sizeof c);
    c.data = target;
    return syscall(RING_SYS_REGISTER, r->fd, RING_SYNC_CANCEL, &c, 1) < 0 ? -errno : 0;
}

/* Completions that no call has taken yet. */
static inline uint32_t ring_ready(const Ring *r)
{
    /* Pairs with the kernel's release of the tail. */
    return __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE) - *r->cq_head;
}

/* Takes the oldest; false: there is none. */
static inline int ring_take(Ring *r, RingResult *out)
{
    const RingResult *cqe;
    uint32_t head = *r->cq_head;

    if (head == __atomic_load_n(r->cq_tail, __ATOMIC_ACQUIRE)) {
        return 0;
    }
    cqe = &r->cqes[head & r->cq_mask];
    *out = *cqe;
    /* Pairs with the kernel's load: the place is free now. */
    __atomic_store_n(r->cq_head, head + 1, __ATOMIC_RELEASE);
    return 1;
}

#endif
