/*
 * clock.h - the clocks of Windows, in nanoseconds.
 */
#ifndef QEMU_MAINLOOP_SYS_WINDOWS_CLOCK_H
#define QEMU_MAINLOOP_SYS_WINDOWS_CLOCK_H

#include "qemu_mainloop/_sys/windows/base.h"

static inline int64_t clock_monotonic_ns(void)
{
    LARGE_INTEGER ticks, a_second;

    QueryPerformanceFrequency(&a_second);
    QueryPerformanceCounter(&ticks);
    return ticks.QuadPart / a_second.QuadPart * 1000000000 +
           ticks.QuadPart % a_second.QuadPart * 1000000000 / a_second.QuadPart;
}

/* GetTickCount64 is cheaper, but counts from elsewhere. */
static inline int64_t clock_monotonic_coarse_ns(void)
{
    return clock_monotonic_ns();
}

static inline int64_t clock_wall_ns(void)
{
    FILETIME now;
    int64_t since_1601;         /* in units of 100 ns */

    GetSystemTimePreciseAsFileTime(&now);
    since_1601 = (int64_t)now.dwHighDateTime << 32 | now.dwLowDateTime;
    return (since_1601 - INT64_C(116444736000000000)) * 100;
}

#endif
