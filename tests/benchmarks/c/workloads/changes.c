/*
 * changes.c - c8: add, modify, delete, toggle k fds beside n others  [n k]
 */
#include <fcntl.h>

#include "passes.h"
#include "workloads.h"

#define C8_MAX 500

int wl_fdops(const struct loop_ops *ops, const struct wl_params *p,
             struct wl_result *r)
{
    struct passes ps;
    struct handles idle, h;
    int rfd[C8_MAX], efd[C8_MAX];
    unsigned k = p->k < 2 || p->k > C8_MAX ? C8_MAX : p->k;
    uint64_t hits = 0;
    void *lp;

    if (!(ops->caps & CAP_FD)) {
        return skip(r, "no fd handlers");
    }
    lp = ops->create(0);
    if (!lp || !add_eventfds(ops, lp, &idle, p->n, hit_cb, &hits) ||
        handles_alloc(&h, ops->fd_size, k)) {
        return fail(r, "set-up");
    }
    for (unsigned i = 0; i < k; i++) {
        int fd[2];
        if (pipe2(fd, O_NONBLOCK | O_CLOEXEC)) {
            return fail(r, "pipe");
        }
        rfd[i] = fd[0];        /* the write end stays open: never ready */
    }
    ops->iterate(lp, 0);
    passes_init(&ps, p);
    while (passes_more(&ps)) {
        int64_t t0, t1;
        memset(h.mem, 0, h.stride * k);
        t0 = cpu_ns();
        for (unsigned i = 0; i < k; i++) {
            ops->fd_add(lp, handle(&h, i), rfd[i], LB_IN, hit_cb, &hits);
        }
        ops->iterate(lp, 0);
        t1 = cpu_ns();
        pass(&ps, 0, (double)(t1 - t0) / k);
        if (!(ops->caps & CAP_NOMOD)) {
            for (unsigned i = 0; i < k; i++) {
                ops->fd_mod(lp, handle(&h, i), LB_IN | LB_OUT);
            }
            ops->iterate(lp, 0);
            t0 = cpu_ns();
            pass(&ps, 1, (double)(t0 - t1) / k);
            for (unsigned i = 0; i < k; i++) {
                ops->fd_mod(lp, handle(&h, i), LB_IN);
            }
            ops->iterate(lp, 0);
        }
        if (!(ops->caps & (CAP_NOMOD | CAP_NOTOGGLE))) {
            t0 = cpu_ns();
            for (unsigned i = 0; i < k; i++) {
                ops->fd_mod(lp, handle(&h, i), LB_IN | LB_OUT);
                ops->fd_mod(lp, handle(&h, i), LB_IN);
            }
            ops->iterate(lp, 0);
            t1 = cpu_ns();
            pass(&ps, 3, (double)(t1 - t0) / k);
        }
        t0 = cpu_ns();
        for (unsigned i = 0; i < k; i++) {
            ops->fd_del(lp, handle(&h, i));
        }
        ops->iterate(lp, 0);
        pass(&ps, 2, (double)(cpu_ns() - t0) / k);
        ops->iterate(lp, 0);           /* lets asynchronous closes finish */
        memset(h.mem, 0, h.stride * k);
        t0 = cpu_ns();
        for (unsigned i = 0; i < k; i++) {
            efd[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
            ops->fd_add(lp, handle(&h, i), efd[i], LB_IN, hit_cb, &hits);
        }
        ops->iterate(lp, 0);
        for (unsigned i = 0; i < k; i++) {
            ops->fd_del(lp, handle(&h, i));
            close(efd[i]);
        }
        ops->iterate(lp, 0);
        pass(&ps, 4, (double)(cpu_ns() - t0) / k);
        ops->iterate(lp, 0);
    }
    if (hits) {
        return fail(r, "callback on an idle fd");
    }
    metric(r, "life", pass_median(&ps, 4));
    metric(r, "add", pass_median(&ps, 0));
    if (!(ops->caps & CAP_NOMOD)) {
        metric(r, "mod", pass_median(&ps, 1));
    }
    if (!(ops->caps & (CAP_NOMOD | CAP_NOTOGGLE))) {
        metric(r, "toggle", pass_median(&ps, 3));
    }
    metric(r, "del", pass_median(&ps, 2));
    return r->ok = 1;
}
