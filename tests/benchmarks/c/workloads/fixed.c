/*
 * fixed.c - n times the same thing, for counting instructions rather than
 * nanoseconds: nothing is calibrated, so that two runs do the same.  What is
 * counted happens inside wl_fixed_body(), after a first round that warms up.
 *
 *  fixed_idle    a non-blocking iteration, one idle fd              [n]
 *  fixed_ready   the same, one fd ready, its callback run           [n]
 *  fixed_bh      a deferred callback scheduled and run              [n]
 *  fixed_timer   a timer armed as due, and fired                    [n]
 *  fixed_rearm   one of 64 armed timers armed anew, no iteration    [n]
 */
#include "workloads.h"

#define TIMERS 64
#define FAR_NS 1000000000000LL

struct fixed {
    const struct loop_ops *ops;
    void *lp;
    struct handles h, fdh;
    uint64_t hits;
    void (*step)(struct fixed *f, uint64_t i);
};

/* with a name of its own in the object: callgrind is told to count in here */
void wl_fixed_body(struct fixed *f, uint64_t count);

__attribute__((noinline)) void wl_fixed_body(struct fixed *f, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        f->step(f, i);
    }
}

static void step_iterate(struct fixed *f, uint64_t i)
{
    (void)i;
    f->ops->iterate(f->lp, 0);
}

static void step_bh(struct fixed *f, uint64_t i)
{
    (void)i;
    f->ops->bh_schedule(f->lp, f->h.mem);
    f->ops->iterate(f->lp, 0);
}

static void step_timer(struct fixed *f, uint64_t i)
{
    (void)i;
    f->ops->timer_mod(f->lp, f->h.mem, 0);
    f->ops->iterate(f->lp, 0);
}

static void step_rearm(struct fixed *f, uint64_t i)
{
    f->ops->timer_mod(f->lp, handle(&f->h, i % TIMERS),
                      FAR_NS + (int64_t)((i * 2654435761u) % 1000) * 1000000);
}

static int fixed_handles(struct fixed *f, size_t size, unsigned n)
{
    return handles_alloc(&f->h, size, n);
}

static int fixed_timers(struct fixed *f)
{
    if (fixed_handles(f, f->ops->timer_size, TIMERS)) {
        return -1;
    }
    for (unsigned i = 0; i < TIMERS; i++) {
        f->ops->timer_add(f->lp, handle(&f->h, i), FAR_NS + i * 1000000LL,
                          hit_cb, &f->hits);
    }
    return 0;
}

int wl_fixed(const struct loop_ops *ops, const char *which,
             const struct wl_params *p, struct wl_result *r)
{
    struct fixed f = { .ops = ops, .step = step_iterate };
    uint64_t want = p->n;
    int *fds;

    f.lp = ops->create(0);
    fds = f.lp ? add_eventfds(ops, f.lp, &f.fdh, 1, hit_cb, &f.hits) : NULL;
    if (!fds) {
        return fail(r, "set-up");
    }
    if (!strcmp(which, "fixed_idle")) {
        want = 0;
    } else if (!strcmp(which, "fixed_ready")) {
        put(fds[0]);
    } else if (!strcmp(which, "fixed_bh")) {
        f.step = step_bh;
        if (fixed_handles(&f, ops->bh_size, 1)) {
            return fail(r, "memory");
        }
        ops->bh_init(f.lp, f.h.mem, hit_cb, &f.hits);
    } else if (!strcmp(which, "fixed_timer")) {
        f.step = step_timer;
        if (fixed_handles(&f, ops->timer_size, 1)) {
            return fail(r, "memory");
        }
        ops->timer_add(f.lp, f.h.mem, FAR_NS, hit_cb, &f.hits);
    } else if (!strcmp(which, "fixed_rearm")) {
        f.step = step_rearm;
        want = 0;
        if (fixed_timers(&f)) {
            return fail(r, "memory");
        }
    } else {
        return fail(r, "no such workload");
    }
    for (int i = 0; i < 100; i++) {            /* outside of what is counted */
        f.step(&f, i);
    }
    ops->iterate(f.lp, 0);
    f.hits = 0;
    wl_fixed_body(&f, p->n);
    metric(r, "callbacks", f.hits);
    if (f.hits != want) {
        return fail(r, "not the number of callbacks there should be");
    }
    return r->ok = 1;
}
