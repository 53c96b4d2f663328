/*
 * bench.h - the one interface between workloads and event loops.
 *
 * A contestant is one shared object that exports
 *
 *     const struct loop_ops *bench_ops(const char *variant);
 *
 * and fills the table below.  It may live in a C shared object (one file of
 * loops/, loaded by ./host) or be reached from Python (pyhost.py): the
 * files of workloads/ know only this table.
 *
 * Rules of the table:
 *  - Every callback is 'void cb(void *opaque)'.  A loop whose native callback
 *    has another signature pays for a trampoline (an indirect call, about
 *    1 ns here), so only differences above that mean anything.
 *  - Handle storage is given by the caller (zeroed, *_size bytes, 64-byte
 *    aligned); a loop that allocates its own handles keeps a pointer in it.
 *  - A member whose capability bit is not set may be NULL.
 *  - iterate(lp, 0) polls once without waiting, iterate(lp, 1) waits for at
 *    least one event.  What an iteration dispatches is the loop's affair.
 */
#ifndef BENCH_H
#define BENCH_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define LOOP_ABI 1u

typedef void (*lb_cb)(void *opaque);

enum { LB_IN = 1, LB_OUT = 2 };

enum {
    CAP_FD     = 1 << 0,   /* fd handlers, level-triggered in effect */
    CAP_BH     = 1 << 1,   /* deferred callback, loop thread only */
    CAP_WAKE   = 1 << 2,   /* deferred callback, from any thread */
    CAP_TIMER  = 1 << 3,
    CAP_EDGE   = 1 << 4,   /* reports a readiness once: level workloads skip */
    CAP_NOMOD  = 1 << 5,   /* fd_mod is not supported */
    CAP_NOTOGGLE = 1 << 6, /* one change of an fd per iteration at most */
    CAP_GATE   = 1 << 7,   /* fds that are asked before each wait */
};

enum { LOOP_THREADSAFE = 1 };      /* create(): other threads will call in */

struct loop_ops {
    unsigned abi;                  /* LOOP_ABI */
    unsigned caps;
    const char *name;
    const char *(*version)(void);
    size_t fd_size, bh_size, wake_size, timer_size;

    /* create() and destroy() run in the thread that will iterate the loop */
    void *(*create)(unsigned flags);
    void (*destroy)(void *lp);
    void (*iterate)(void *lp, int block);

    void (*fd_add)(void *lp, void *h, int fd, unsigned ev, lb_cb cb, void *arg);
    void (*fd_mod)(void *lp, void *h, unsigned ev);
    void (*fd_del)(void *lp, void *h);
    /* read only while gate(arg), asked in each iteration, is not 0 */
    void (*fd_add_gated)(void *lp, void *h, int fd, int (*gate)(void *),
                         lb_cb cb, void *arg);

    void (*bh_init)(void *lp, void *h, lb_cb cb, void *arg);
    void (*bh_schedule)(void *lp, void *h);

    void (*wake_init)(void *lp, void *h, lb_cb cb, void *arg);
    void (*wake_send)(void *lp, void *h);          /* any thread */

    /* one-shot, deadline in ns from now; mod and del also on fired timers */
    void (*timer_add)(void *lp, void *h, int64_t ns, lb_cb cb, void *arg);
    void (*timer_mod)(void *lp, void *h, int64_t ns);
    void (*timer_del)(void *lp, void *h);
};

typedef const struct loop_ops *(*bench_ops_fn)(const char *variant);

/* ------------------------------------------------------------ workloads */

struct wl_params {
    unsigned n;            /* handles */
    unsigned a;            /* active tokens (C4) */
    unsigned w;            /* cascaded writes (C4) */
    unsigned k;            /* per-iteration batch (C5) or handles (C6) */
    unsigned slices;       /* timed slices; the median is reported */
    double slice_ms;       /* length aimed at for one slice */
};

#define WL_MAX_METRICS 16

struct wl_metric {
    char name[32];
    double value;          /* nanoseconds per operation unless named else */
};

struct wl_result {
    int ok;                /* 1 measured, 0 not applicable, -1 failed */
    int n;
    struct wl_metric m[WL_MAX_METRICS];
    char note[160];
};

/* returns res->ok; never waits without bound on a correct loop */
int wl_run(const struct loop_ops *ops, const char *workload,
           const struct wl_params *p, struct wl_result *res);

/* the machine's own limits; same result type */
int limits_run(const char *what, const struct wl_params *p,
               struct wl_result *res);

/* 0 = leave the affinity alone (default 1: single-threaded work on cpu 1,
 * the second thread of C6 on cpu 0) */
void wl_set_pinning(int on);

#ifdef __cplusplus
}
#endif
#endif
