/* passes.h - for workloads of several short phases */
#ifndef BENCH_PASSES_H
#define BENCH_PASSES_H

#include "../util.h"

/*
 * A workload of several short phases is run in passes, at least 'slices' and
 * for slices * slice_ms; each phase's figure is its median over the passes.
 * The first pass warms up and is dropped, unless it alone took too long.
 */
#define MAX_PASSES 2000

struct passes {
    double v[5][MAX_PASSES];
    unsigned n;
    unsigned least;
    int64_t began, budget;
    int started;
};

static inline void passes_init(struct passes *ps, const struct wl_params *p)
{
    ps->least = p->slices ? p->slices : 3;
    ps->budget = (p->slice_ms > 0 ? p->slice_ms : 10) * 1e6 * ps->least;
    ps->n = 0;
    ps->started = 0;
    ps->began = now_ns();
}

static inline int passes_more(struct passes *ps)
{
    int64_t spent = now_ns() - ps->began;

    if (!ps->started) {
        ps->started = 1;
        return 1;
    }
    if (ps->started == 1) {
        ps->started = 2;
        if (spent > 10 * ps->budget) {
            ps->n++;
            return 0;
        }
        return 1;                      /* ps->n stays 0: overwritten */
    }
    ps->n++;
    return ps->n < MAX_PASSES && (ps->n < ps->least || spent < ps->budget);
}

static inline void pass(struct passes *ps, int phase, double ns)
{
    ps->v[phase][ps->n] = ns;
}

static inline double pass_median(struct passes *ps, int phase)
{
    return median(ps->v[phase], ps->n);
}

#endif
