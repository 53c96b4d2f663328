/*
 * base.h - Windows' own headers, in the order and with the settings they need; included
 * by every header of this folder, before anything else of the system.
 */
#ifndef QEMU_MAINLOOP_SYS_WINDOWS_BASE_H
#define QEMU_MAINLOOP_SYS_WINDOWS_BASE_H

#ifndef WIN32_LEAN_AND_MEAN
#define WIN32_LEAN_AND_MEAN     /* no winsock.h, which winsock2.h contradicts */
#endif
#ifndef NOMINMAX
#define NOMINMAX
#endif
#include <winsock2.h>
#include <windows.h>

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

/* A descriptor is a SOCKET or a HANDLE by its number: the system has 31 bits of them. */
static inline HANDLE fd_handle(int fd)
{
    return (HANDLE)(intptr_t)fd;
}

/* The number of a fresh handle; one that has none is closed. */
static inline int handle_fd(HANDLE h)
{
    intptr_t number = (intptr_t)h;

    if (number > 0 && number <= INT32_MAX) {
        return (int)number;
    }
    CloseHandle(h);
    return -EMFILE;
}

#endif
