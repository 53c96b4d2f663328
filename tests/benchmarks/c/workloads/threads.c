/*
 * threads.c - callbacks deferred by another thread.
 *
 *  c6pp     ping-pong between two loop threads
 *  c6tp     one producer thread, k handles in turn, n calls       [n k]
 */
#include <pthread.h>
#include <stdatomic.h>

#include "workloads.h"

struct side {
    const struct loop_ops *ops;
    void *lp;
    struct handles h, fdh;
    struct side *other;
    atomic_int *quit;
    pthread_barrier_t *bar;
    int is_a, failed;
    _Alignas(64) uint64_t left;     /* A: rounds to go; the other side reads what is above */
    int done;
};

static void ping_cb(void *arg)
{
    struct side *s = arg;

    if (s->is_a && --s->left == 0) {
        s->done = 1;
        return;
    }
    if (atomic_load_explicit(s->quit, memory_order_acquire)) {
        s->done = 1;
        return;
    }
    s->ops->wake_send(s->other->lp, s->other->h.mem);
}

static int side_open(struct side *s)
{
    s->lp = s->ops->create(LOOP_THREADSAFE);
    if (!s->lp || !add_eventfds(s->ops, s->lp, &s->fdh, 1, nop_cb, NULL) ||
        handles_alloc(&s->h, s->ops->wake_size, 1)) {
        return -1;
    }
    s->ops->wake_init(s->lp, s->h.mem, ping_cb, s);
    s->ops->iterate(s->lp, 0);
    return 0;
}

static void *side_b(void *arg)
{
    struct side *s = arg;

    if (wl_pinning) {
        pin_to(PEER_CPU);
    }
    s->failed = side_open(s);
    pthread_barrier_wait(s->bar);
    while (!s->done && !s->failed) {
        s->ops->iterate(s->lp, 1);
    }
    return NULL;
}

static uint64_t ping_pong(void *arg, uint64_t count)
{
    struct side *a = arg;

    a->left = count;
    a->done = 0;
    a->ops->wake_send(a->other->lp, a->other->h.mem);
    while (!a->done) {
        a->ops->iterate(a->lp, 1);
    }
    return count;
}

int wl_pingpong(const struct loop_ops *ops, const struct wl_params *p,
                struct wl_result *r)
{
    struct side a = { .ops = ops, .is_a = 1 }, b = { .ops = ops };
    atomic_int quit = 0;
    pthread_barrier_t bar;
    pthread_t tid;
    double v;

    if (!(ops->caps & CAP_WAKE)) {
        return skip(r, "no cross-thread deferral");
    }
    pthread_barrier_init(&bar, NULL, 2);
    a.other = &b;
    b.other = &a;
    a.quit = b.quit = &quit;
    a.bar = b.bar = &bar;
    if (side_open(&a)) {
        return fail(r, "set-up");
    }
    if (pthread_create(&tid, NULL, side_b, &b)) {
        return fail(r, "thread");
    }
    pthread_barrier_wait(&bar);
    if (b.failed) {
        pthread_join(tid, NULL);
        return fail(r, "set-up of the second loop");
    }
    v = time_body(p, now_ns, ping_pong, &a);
    atomic_store_explicit(&quit, 1, memory_order_release);
    ops->wake_send(b.lp, b.h.mem);
    pthread_join(tid, NULL);
    metric(r, "round_trip", v);
    return r->ok = 1;
}

struct flood {
    const struct loop_ops *ops;
    void *lp;
    struct handles h, last;
    unsigned k;
    uint64_t calls, hits;
    int64_t t_start, t_sent;
    pthread_barrier_t bar;
    atomic_int final_sent;
    int final_seen, stop;
    unsigned slices;
};

static void final_cb(void *arg)
{
    ((struct flood *)arg)->final_seen = 1;
}

static void *producer(void *arg)
{
    struct flood *f = arg;

    if (wl_pinning) {
        pin_to(PEER_CPU);
    }
    for (unsigned s = 0; s < f->slices; s++) {
        pthread_barrier_wait(&f->bar);
        f->t_start = now_ns();
        for (uint64_t i = 0, j = 0; i < f->calls; i++) {
            f->ops->wake_send(f->lp, handle(&f->h, j));
            if (++j == f->k) {
                j = 0;
            }
        }
        f->t_sent = now_ns();
        f->ops->wake_send(f->lp, f->last.mem);
        pthread_barrier_wait(&f->bar);
    }
    return NULL;
}

int wl_flood(const struct loop_ops *ops, const struct wl_params *p,
             struct wl_result *r)
{
    struct flood f = { .ops = ops, .k = p->k, .calls = p->n };
    struct handles fdh;
    double call[MAX_SLICES], total[MAX_SLICES], ran[MAX_SLICES];
    pthread_t tid;

    if (!(ops->caps & CAP_WAKE)) {
        return skip(r, "no cross-thread deferral");
    }
    f.slices = p->slices ? p->slices : 3;
    f.lp = ops->create(LOOP_THREADSAFE);
    if (!f.lp || !add_eventfds(ops, f.lp, &fdh, 1, nop_cb, NULL) ||
        handles_alloc(&f.h, ops->wake_size, f.k) ||
        handles_alloc(&f.last, ops->wake_size, 1)) {
        return fail(r, "set-up");
    }
    for (unsigned i = 0; i < f.k; i++) {
        ops->wake_init(f.lp, handle(&f.h, i), hit_cb, &f.hits);
    }
    ops->wake_init(f.lp, f.last.mem, final_cb, &f);
    ops->iterate(f.lp, 0);
    pthread_barrier_init(&f.bar, NULL, 2);
    if (pthread_create(&tid, NULL, producer, &f)) {
        return fail(r, "thread");
    }
    for (unsigned s = 0; s < f.slices; s++) {
        int64_t t_end;
        f.hits = 0;
        f.final_seen = 0;
        pthread_barrier_wait(&f.bar);
        while (!f.final_seen) {
            ops->iterate(f.lp, 1);
        }
        t_end = now_ns();
        for (int i = 0; i < 10; i++) {
            ops->iterate(f.lp, 0);
        }
        pthread_barrier_wait(&f.bar);
        call[s] = (double)(f.t_sent - f.t_start) / f.calls;
        total[s] = (double)(t_end - f.t_start) / f.calls;
        ran[s] = 100.0 * f.hits / f.calls;
    }
    pthread_join(tid, NULL);
    metric(r, "producer_call", median(call, f.slices));
    metric(r, "drained", median(total, f.slices));
    metric(r, "callbacks_pct", median(ran, f.slices));
    return r->ok = 1;
}
