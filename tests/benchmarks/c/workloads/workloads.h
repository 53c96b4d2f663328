/*
 * workloads.h - what the files of this folder share: memory for handles, file
 * descriptors to watch, and the entry of each file, called by run.c.
 */
#ifndef BENCH_WORKLOADS_H
#define BENCH_WORKLOADS_H

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../util.h"

#define MAIN_CPU 1
#define PEER_CPU 0

extern int wl_pinning;         /* run.c */

int wl_fd(const struct loop_ops *ops, const char *which,
          const struct wl_params *p, struct wl_result *r);
int wl_chain(const struct loop_ops *ops, const struct wl_params *p,
             struct wl_result *r);
int wl_deferred(const struct loop_ops *ops, int threadsafe,
                const struct wl_params *p, struct wl_result *r);
int wl_pingpong(const struct loop_ops *ops, const struct wl_params *p,
                struct wl_result *r);
int wl_flood(const struct loop_ops *ops, const struct wl_params *p,
             struct wl_result *r);
int wl_timers(const struct loop_ops *ops, const struct wl_params *p,
              struct wl_result *r);
int wl_wait(const struct loop_ops *ops, const struct wl_params *p,
            struct wl_result *r);
int wl_fdops(const struct loop_ops *ops, const struct wl_params *p,
             struct wl_result *r);
int wl_fixed(const struct loop_ops *ops, const char *which,
             const struct wl_params *p, struct wl_result *r);
int wl_echo(const struct loop_ops *ops, const struct wl_params *p,
            struct wl_result *r);

static inline size_t stride_of(size_t size)
{
    return (size + 63) & ~(size_t)63;
}

struct handles {
    char *mem;
    size_t stride;
};

static inline int handles_alloc(struct handles *h, size_t size, size_t n)
{
    h->stride = stride_of(size ? size : 1);
    h->mem = aligned_alloc(64, h->stride * (n ? n : 1));
    if (!h->mem) {
        return -1;
    }
    memset(h->mem, 0, h->stride * (n ? n : 1));
    return 0;
}

static inline void *handle(const struct handles *h, size_t i)
{
    return h->mem + i * h->stride;
}

static inline void nop_cb(void *arg)
{
    (void)arg;
}

static inline void hit_cb(void *arg)
{
    ++*(uint64_t *)arg;
}

/* n eventfds registered for input; fds[i] is returned for each */
static inline int *add_eventfds(const struct loop_ops *ops, void *lp,
                                struct handles *h, unsigned n, lb_cb cb,
                                void *arg)
{
    int *fds = calloc(n ? n : 1, sizeof *fds);

    if (!fds || handles_alloc(h, ops->fd_size, n)) {
        return NULL;
    }
    for (unsigned i = 0; i < n; i++) {
        fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        if (fds[i] < 0) {
            return NULL;
        }
        ops->fd_add(lp, handle(h, i), fds[i], LB_IN, cb, arg);
    }
    return fds;
}

static inline void put(int fd)
{
    uint64_t one = 1;
    if (write(fd, &one, sizeof one) != sizeof one) {
        perror("eventfd write");
    }
}

static inline void take(int fd)
{
    uint64_t v;
    if (read(fd, &v, sizeof v) < 0 && errno != EAGAIN) {
        perror("eventfd read");
    }
}

#endif
