/*
 * descriptor.h - what ../posix.h says of descriptors and children, for sockets, handles
 * and processes of Windows.
 */
#ifndef QEMU_MAINLOOP_SYS_WINDOWS_DESCRIPTOR_H
#define QEMU_MAINLOOP_SYS_WINDOWS_DESCRIPTOR_H

#include "qemu_mainloop/_sys/windows/base.h"

#include <sys/types.h>

/* POLLIN and the others are winsock2.h's. */
typedef struct PollFd {
    int fd;
    short events;
    short revents;
} PollFd;

/* A successful wait for an event, a semaphore or a timer may use up what it found. */
#define QML_WAIT_CONSUMES 1
/* A child's status is its exit code, all 32 bits of it. */
#define QML_STATUS_IS_EXIT_CODE 1

/*
 * The system ignores the two lowest bits of a handle, here they would be other numbers of
 * the same; and it has no more than 2^24 of them, which bounds the fd table.
 */
static inline int fd_is_open(int fd)
{
    DWORD flags;

    return (fd & 3) == 0 && fd < 1 << 26 && GetHandleInformation(fd_handle(fd), &flags) != 0;
}

/* What fd handlers are for. */
static inline int fd_may_have_handler(int fd)
{
    int type, size = sizeof type;

    return getsockopt((SOCKET)fd, SOL_SOCKET, SO_TYPE, (char *)&type, &size) == 0;
}

/* An fd_set of winsock counts its members, and takes no more than it has room for. */
static inline int fd_fits_set(int fd)
{
    (void)fd;
    return 1;
}

static inline int fd_close(int fd)
{
    return CloseHandle(fd_handle(fd)) ? 0 : -1;
}

static inline HANDLE process_open(pid_t pid)
{
    return pid > 0 ? OpenProcess(SYNCHRONIZE | PROCESS_QUERY_LIMITED_INFORMATION, FALSE, (DWORD)pid)
                   : NULL;
}

/* A process that nobody has a handle of and that is gone cannot be opened any more. */
static inline int child_ask(pid_t pid, int *status)
{
    HANDLE process = process_open(pid);
    DWORD code = 0;
    int rc;

    if (!process) {
        return -ECHILD;
    }
    rc = WaitForSingleObject(process, 0) == WAIT_OBJECT_0;
    if (rc && GetExitCodeProcess(process, &code)) {
        *status = (int)code;
    }
    CloseHandle(process);
    return rc;
}

static inline int child_look(pid_t pid)
{
    int status;

    return child_ask(pid, &status);
}

static inline int child_collect(pid_t pid, int *status)
{
    return child_ask(pid, status);
}

#endif
