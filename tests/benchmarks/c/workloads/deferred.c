/*
 * deferred.c - callbacks deferred by the loop's own thread.
 *
 *  c5a      loop-thread deferred callbacks, k per iteration       [k]
 *  c5b      thread-safe deferred callbacks, same, loop thread     [k]
 */
#include "workloads.h"

struct deferred {
    const struct loop_ops *ops;
    void *lp;
    struct handles h;
    void (*schedule)(void *lp, void *h);
    unsigned k;
    uint64_t hits;
    int failed;
};

static uint64_t deferred_rounds(void *arg, uint64_t count)
{
    struct deferred *d = arg;

    for (uint64_t i = 0; i < count; i++) {
        uint64_t want = d->hits + d->k;
        for (unsigned j = 0; j < d->k; j++) {
            d->schedule(d->lp, handle(&d->h, j));
        }
        for (unsigned spin = 0; d->hits < want; spin++) {
            if (spin > 100000) {
                d->failed = 1;
                return 0;
            }
            d->ops->iterate(d->lp, 0);
        }
    }
    return count * d->k;
}

int wl_deferred(const struct loop_ops *ops, int threadsafe,
                const struct wl_params *p, struct wl_result *r)
{
    struct deferred d = { .ops = ops, .k = p->k };
    struct handles fdh;
    void (*init)(void *, void *, lb_cb, void *);
    double v;

    if (!(ops->caps & (threadsafe ? CAP_WAKE : CAP_BH))) {
        return skip(r, "no such deferral");
    }
    d.lp = ops->create(threadsafe ? LOOP_THREADSAFE : 0);
    if (!d.lp || !add_eventfds(ops, d.lp, &fdh, 1, nop_cb, NULL)) {
        return fail(r, "set-up");
    }
    init = threadsafe ? ops->wake_init : ops->bh_init;
    d.schedule = threadsafe ? ops->wake_send : ops->bh_schedule;
    if (handles_alloc(&d.h, threadsafe ? ops->wake_size : ops->bh_size, d.k)) {
        return fail(r, "memory");
    }
    for (unsigned i = 0; i < d.k; i++) {
        init(d.lp, handle(&d.h, i), hit_cb, &d.hits);
    }
    v = time_body(p, cpu_ns, deferred_rounds, &d);
    if (d.failed) {
        return fail(r, "deferred callback lost");
    }
    metric(r, "callback", v);
    return r->ok = 1;
}
