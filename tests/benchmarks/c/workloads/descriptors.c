/*
 * descriptors.c - descriptors that are idle or ready.
 *
 *  c1       idle iteration, n idle fds                            [n]
 *  c2       one fd of n always ready                              [n]
 *  c2e      one fd of n written before each iteration, read in it [n]
 *  c3       all n fds always ready                                [n]
 *  c3e      all n fds written before each iteration, read in it   [n]
 *  c9       idle iteration, n idle fds that are asked first        [n]
 */
#include "workloads.h"

struct fdbench {
    const struct loop_ops *ops;
    void *lp;
    uint64_t hits;
    int *fds;
    unsigned first, last;      /* fds written before an iteration (c2e, c3e) */
    int failed;
};

struct fdnode {
    struct fdbench *b;
    int fd;
};

static void read_cb(void *arg)
{
    struct fdnode *n = arg;
    take(n->fd);
    n->b->hits++;
}

static uint64_t iterations(void *arg, uint64_t count)
{
    struct fdbench *b = arg;
    for (uint64_t i = 0; i < count; i++) {
        b->ops->iterate(b->lp, 0);
    }
    return count;
}

static uint64_t iterations_by_hits(void *arg, uint64_t count)
{
    struct fdbench *b = arg;
    uint64_t before = b->hits;
    iterations(b, count);
    return b->hits - before;
}

static uint64_t write_then_iterate(void *arg, uint64_t count)
{
    struct fdbench *b = arg;
    uint64_t start = b->hits;
    unsigned per = b->last - b->first;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t want = b->hits + per;
        for (unsigned j = b->first; j < b->last; j++) {
            put(b->fds[j]);
        }
        for (unsigned spin = 0; b->hits < want; spin++) {
            if (spin > 100000) {
                b->failed = 1;
                return 0;
            }
            b->ops->iterate(b->lp, 0);
        }
    }
    return b->hits - start;
}

static int open_gate(void *arg)
{
    (void)arg;
    return 1;
}

static void ask_first(struct fdbench *b, struct handles *h, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        b->ops->fd_add_gated(b->lp, handle(h, i), b->fds[i], open_gate, hit_cb, &b->hits);
    }
}

int wl_fd(const struct loop_ops *ops, const char *which,
          const struct wl_params *p, struct wl_result *r)
{
    struct fdbench b = { .ops = ops };
    struct handles h;
    unsigned n = p->n;
    double v;

    if (!(ops->caps & CAP_FD)) {
        return skip(r, "no fd handlers");
    }
    if (!strcmp(which, "c9") && !(ops->caps & CAP_GATE)) {
        return skip(r, "no gates");
    }
    if ((ops->caps & CAP_EDGE) && (!strcmp(which, "c2") ||
                                   !strcmp(which, "c3"))) {
        return skip(r, "edge-triggered");
    }
    b.lp = ops->create(0);
    if (!b.lp) {
        return skip(r, "create failed");
    }

    if (!strcmp(which, "c1") || !strcmp(which, "c9")) {
        b.fds = add_eventfds(ops, b.lp, &h, n, hit_cb, &b.hits);
        if (!b.fds) {
            return fail(r, "set-up");
        }
        if (which[1] == '9') {
            ask_first(&b, &h, n);
        }
        iterations(&b, 3);
        v = time_body(p, cpu_ns, iterations, &b);
        if (b.hits) {
            return fail(r, "callback on an idle fd");
        }
        metric(r, "iteration", v);
    } else if (!strcmp(which, "c2") || !strcmp(which, "c3")) {
        int all = which[1] == '3';
        b.fds = add_eventfds(ops, b.lp, &h, n, hit_cb, &b.hits);
        if (!b.fds) {
            return fail(r, "set-up");
        }
        for (unsigned i = all ? 0 : n - 1; i < n; i++) {
            put(b.fds[i]);
        }
        iterations(&b, 3);
        if (!b.hits) {
            return fail(r, "ready fd not dispatched");
        }
        b.hits = 0;
        v = time_body(p, cpu_ns, all ? iterations_by_hits : iterations, &b);
        metric(r, all ? "callback" : "iteration", v);
    } else {
        int all = which[1] == '3';
        struct fdnode *nodes = calloc(n, sizeof *nodes);
        b.fds = calloc(n, sizeof *b.fds);
        if (!nodes || !b.fds || handles_alloc(&h, ops->fd_size, n)) {
            return fail(r, "set-up");
        }
        for (unsigned i = 0; i < n; i++) {
            b.fds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
            nodes[i].b = &b;
            nodes[i].fd = b.fds[i];
            ops->fd_add(b.lp, handle(&h, i), b.fds[i], LB_IN, read_cb,
                        &nodes[i]);
        }
        b.first = all ? 0 : n - 1;
        b.last = n;
        iterations(&b, 3);
        v = time_body(p, cpu_ns, write_then_iterate, &b);
        if (b.failed) {
            return fail(r, "event lost");
        }
        metric(r, all ? "callback" : "iteration", v);
    }
    if (ops->destroy) {
        ops->destroy(b.lp);
    }
    return r->ok = 1;
}
