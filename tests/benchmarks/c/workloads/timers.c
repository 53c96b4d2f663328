/*
 * timers.c - timers.
 *
 *  c7       n timers: add, re-arm, delete, fire                   [n]
 *  c7w      one timer of 200 us, waited for: how late it fires
 */
#include "passes.h"
#include "workloads.h"

/*
 * The timer operations are made from inside an fd callback, as programs make
 * them: a loop that caches the time per iteration may use its cached time.
 */
struct timers {
    const struct loop_ops *ops;
    void *lp;
    struct handles h, fdh;
    unsigned n, mods;
    int64_t *deadline;
    unsigned *pick;
    uint64_t rng, hits;
    int64_t t0, t1;
    void (*phase)(struct timers *t);
    int ctl, failed;
};

static int64_t far_deadline(struct timers *t)
{
    return 1000000000000LL + (int64_t)(xorshift(&t->rng) % 1000000000000ull);
}

static void phase_add(struct timers *t)
{
    t->t0 = now_ns();
    for (unsigned i = 0; i < t->n; i++) {
        t->ops->timer_add(t->lp, handle(&t->h, i), t->deadline[i], hit_cb,
                          &t->hits);
    }
    t->t1 = now_ns();
}

static void phase_mod(struct timers *t)
{
    t->t0 = now_ns();
    for (unsigned i = 0; i < t->mods; i++) {
        t->ops->timer_mod(t->lp, handle(&t->h, t->pick[i]), t->deadline[i]);
    }
    t->t1 = now_ns();
}

static void phase_del(struct timers *t)
{
    t->t0 = now_ns();
    for (unsigned i = 0; i < t->n; i++) {
        t->ops->timer_del(t->lp, handle(&t->h, i));
    }
    t->t1 = now_ns();
}

static void phase_fire(struct timers *t)
{
    for (unsigned i = 0; i < t->n; i++) {
        t->ops->timer_add(t->lp, handle(&t->h, i), 0, hit_cb, &t->hits);
    }
    t->t0 = now_ns();
}

static void ctl_cb(void *arg)
{
    struct timers *t = arg;

    take(t->ctl);
    if (t->phase) {
        t->phase(t);
        t->phase = NULL;
    }
}

static double run_phase(struct timers *t, void (*phase)(struct timers *))
{
    t->phase = phase;
    put(t->ctl);
    while (t->phase) {
        t->ops->iterate(t->lp, 1);
    }
    return t->t1 - t->t0;
}

int wl_timers(const struct loop_ops *ops, const struct wl_params *p,
              struct wl_result *r)
{
    struct timers t = { .ops = ops, .n = p->n, .rng = 88172645463325252ull };
    struct passes ps;
    int *fds;

    if (!(ops->caps & CAP_TIMER)) {
        return skip(r, "no timers");
    }
    t.mods = t.n < 20000 ? t.n : 20000;
    t.deadline = calloc(t.n, sizeof *t.deadline);
    t.pick = calloc(t.mods, sizeof *t.pick);
    t.lp = ops->create(0);
    if (!t.lp || !t.deadline || !t.pick ||
        handles_alloc(&t.h, ops->timer_size, t.n) ||
        !(fds = add_eventfds(ops, t.lp, &t.fdh, 1, ctl_cb, &t))) {
        return fail(r, "set-up");
    }
    t.ctl = fds[0];
    passes_init(&ps, p);
    while (passes_more(&ps)) {
        for (unsigned i = 0; i < t.n; i++) {
            t.deadline[i] = far_deadline(&t);
        }
        pass(&ps, 0, run_phase(&t, phase_add) / t.n);
        for (unsigned i = 0; i < t.mods; i++) {
            t.pick[i] = xorshift(&t.rng) % t.n;
            t.deadline[i] = far_deadline(&t);
        }
        pass(&ps, 1, run_phase(&t, phase_mod) / t.mods);
        pass(&ps, 2, run_phase(&t, phase_del) / t.n);
        if (t.hits) {
            return fail(r, "a far timer fired");
        }
        run_phase(&t, phase_fire);
        for (uint64_t spin = 0; t.hits < t.n; spin++) {
            if (spin > 1000ull * 1000 * 1000) {
                return fail(r, "timer lost");
            }
            ops->iterate(t.lp, 0);
        }
        pass(&ps, 3, (double)(now_ns() - t.t0) / t.n);
        run_phase(&t, phase_del);
        t.hits = 0;
    }
    metric(r, "add", pass_median(&ps, 0));
    metric(r, "mod", pass_median(&ps, 1));
    metric(r, "del", pass_median(&ps, 2));
    metric(r, "fire", pass_median(&ps, 3));
    return r->ok = 1;
}

#define WAIT_NS 200000

int wl_wait(const struct loop_ops *ops, const struct wl_params *p,
            struct wl_result *r)
{
    double late[200];
    struct handles h, fdh;
    uint64_t hits = 0;
    void *lp;

    (void)p;
    if (!(ops->caps & CAP_TIMER)) {
        return skip(r, "no timers");
    }
    lp = ops->create(0);
    if (!lp || handles_alloc(&h, ops->timer_size, 200) ||
        !add_eventfds(ops, lp, &fdh, 1, nop_cb, NULL)) {
        return fail(r, "set-up");
    }
    for (uint64_t i = 0; i < 200; i++) {
        int64_t t0;
        ops->iterate(lp, 0);           /* loops that cache it see the time */
        t0 = now_ns();
        ops->timer_add(lp, handle(&h, i), WAIT_NS, hit_cb, &hits);
        while (hits <= i) {
            ops->iterate(lp, 1);
        }
        late[i] = (double)(now_ns() - t0) - WAIT_NS;
        ops->timer_del(lp, handle(&h, i));
    }
    metric(r, "late", median(late, 200));
    return r->ok = 1;
}
