/* util.h - clock, pinning, statistics shared by workloads/ and limits.c */
#ifndef BENCH_UTIL_H
#define BENCH_UTIL_H

#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench.h"

#define MAX_SLICES 64

static inline int64_t now_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

/* this thread's CPU time: what others on the machine take is not counted */
static inline int64_t cpu_ns(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("" ::: "memory");
#endif
}

static inline void pin_to(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    sched_setaffinity(0, sizeof set, &set);   /* best effort */
}

static inline uint64_t xorshift(uint64_t *s)
{
    uint64_t x = *s;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *s = x;
}

static inline int cmp_double(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static inline double median(double *v, int n)
{
    qsort(v, n, sizeof *v, cmp_double);
    return n & 1 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static inline void metric(struct wl_result *r, const char *name, double v)
{
    if (r->n < WL_MAX_METRICS) {
        snprintf(r->m[r->n].name, sizeof r->m[r->n].name, "%s", name);
        r->m[r->n++].value = v;
    }
}

static inline int fail(struct wl_result *r, const char *why)
{
    snprintf(r->note, sizeof r->note, "%s", why);
    return r->ok = -1;
}

static inline int skip(struct wl_result *r, const char *why)
{
    snprintf(r->note, sizeof r->note, "%s", why);
    return r->ok = 0;
}

/*
 * Times 'body(arg, count)', which does 'count' operations and returns how
 * many units to divide by.  Grows the count until one slice takes slice_ms,
 * then takes the median of p->slices slices.  'clock' is cpu_ns for work of
 * this thread alone, now_ns where threads wait for each other.
 */
typedef uint64_t (*body_fn)(void *arg, uint64_t count);
typedef int64_t (*clock_fn)(void);

static inline double time_body(const struct wl_params *p, clock_fn clock,
                               body_fn body, void *arg)
{
    double slice_ns = (p->slice_ms > 0 ? p->slice_ms : 10) * 1e6;
    unsigned slices = p->slices ? p->slices : 3;
    double v[MAX_SLICES];
    uint64_t count = 1;
    int64_t t0, dt;

    for (;;) {                                 /* warm-up and calibration */
        t0 = clock();
        body(arg, count);
        dt = clock() - t0;
        if (dt >= slice_ns / 2 || count >= (1ull << 34)) {
            break;
        }
        count *= dt < slice_ns / 32 ? 8 : 2;
    }
    if (slices > MAX_SLICES) {
        slices = MAX_SLICES;
    }
    for (unsigned i = 0; i < slices; i++) {
        uint64_t units;
        t0 = clock();
        units = body(arg, count);
        dt = clock() - t0;
        v[i] = units ? (double)dt / units : 0;
    }
    return median(v, slices);
}

#endif
