/*
 * notifier.h - an event that one thread sets and another one waits for.  It stays set
 * until it is cleared.
 */
#ifndef QEMU_MAINLOOP_SYS_WINDOWS_NOTIFIER_H
#define QEMU_MAINLOOP_SYS_WINDOWS_NOTIFIER_H

#include "qemu_mainloop/_sys/windows/base.h"

typedef struct Notifier {
    int read_fd;                /* -1: none */
} Notifier;

static inline int notifier_open(Notifier *n)
{
    HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);

    n->read_fd = event ? handle_fd(event) : -ENOMEM;
    if (n->read_fd < 0) {
        int rc = n->read_fd;

        n->read_fd = -1;
        return rc;
    }
    return 0;
}

static inline void notifier_close(Notifier *n)
{
    if (n->read_fd >= 0) {
        CloseHandle(fd_handle(n->read_fd));
    }
    n->read_fd = -1;
}

/* The caller's last error is left as it was. */
static inline void notifier_set(const Notifier *n)
{
    DWORD saved = GetLastError();

    SetEvent(fd_handle(n->read_fd));
    SetLastError(saved);
}

static inline void notifier_clear(const Notifier *n)
{
    ResetEvent(fd_handle(n->read_fd));
}

#endif
