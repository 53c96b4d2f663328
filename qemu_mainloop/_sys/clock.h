/*
 * clock.h - the clocks of this system, in nanoseconds.
 */
#ifndef QEMU_MAINLOOP_SYS_CLOCK_H
#define QEMU_MAINLOOP_SYS_CLOCK_H

#ifdef _WIN32
#include "qemu_mainloop/_sys/windows/clock.h"
#else

#include <stdint.h>
#include <time.h>

static inline int64_t clock_read_ns(clockid_t id)
{
    struct timespec ts;

    clock_gettime(id, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

static inline int64_t clock_monotonic_ns(void)
{
#ifdef __APPLE__
    /* The one that Python's time.monotonic() reads; CLOCK_MONOTONIC goes on in sleep. */
    return clock_read_ns(CLOCK_UPTIME_RAW);
#else
    return clock_read_ns(CLOCK_MONOTONIC);
#endif
}

/* A few milliseconds behind at most, for a tenth of the price. */
static inline int64_t clock_monotonic_coarse_ns(void)
{
#ifdef CLOCK_MONOTONIC_COARSE
    return clock_read_ns(CLOCK_MONOTONIC_COARSE);
#else
    return clock_monotonic_ns();
#endif
}

static inline int64_t clock_wall_ns(void)
{
    return clock_read_ns(CLOCK_REALTIME);
}

#endif
#endif
