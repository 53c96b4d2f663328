/*
 * win32.h - waiting for sockets and for handles.
 *
 * Sockets are asked of their driver, AFD, by the request that select() itself makes; made
 * here because it can go on beside a wait for handles.  It says what a socket is, not
 * what has become of it since somebody looked, takes any number of them, and leaves them
 * as they are: WSAEventSelect would make each one non-blocking, and so all that it accepts.
 */
#ifndef QEMU_MAINLOOP_SYS_WIN32_H
#define QEMU_MAINLOOP_SYS_WIN32_H

#include "qemu_mainloop/_sys/windows/descriptor.h"
#include "qemu_mainloop/_sys/windows/thread.h"

#include <winternl.h>

enum {
    AFD_RECEIVE = 0x01, AFD_SEND = 0x04, AFD_DISCONNECT = 0x08, AFD_ABORT = 0x10,
    AFD_LOCAL_CLOSE = 0x20, AFD_ACCEPT = 0x80, AFD_CONNECT_FAIL = 0x100,
    AFD_POLL = 0x12024,
    SIO_BASE_OF_SOCKET = 0x48000022,
    FILE_TO_SYNCHRONIZE = 0x100000,
    STATUS_OVER_TIME = 0x102,
    STATUS_NOT_YET = 0x103,
};

/* The driver's. */
typedef struct AfdSocket {
    uintptr_t handle;
    uint32_t events;
    int32_t status;
} AfdSocket;

typedef struct AfdList {
    int64_t timeout;
    uint32_t count;
    uint32_t exclusive;
    AfdSocket sockets[1];
} AfdList;

typedef struct AfdRequest {
    HANDLE device;
    HANDLE done;                /* an event: the request is complete */
    IO_STATUS_BLOCK io;
} AfdRequest;

static inline int winsock_start(void)
{
    WSADATA data;

    return WSAStartup(MAKEWORD(2, 2), &data) == 0 ? 0 : -ENOSYS;
}

static inline int afd_open(AfdRequest *r)
{
    static wchar_t name[] = L"\\Device\\Afd\\QemuMainLoop";
    UNICODE_STRING path;
    OBJECT_ATTRIBUTES attributes;

    path.Buffer = name;
    path.Length = (USHORT)(sizeof name - sizeof name[0]);
    path.MaximumLength = sizeof name;
    InitializeObjectAttributes(&attributes, &path, 0, NULL, NULL);
    r->done = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!r->done) {
        return -ENOMEM;
    }
    if (NtCreateFile(&r->device, FILE_TO_SYNCHRONIZE, &attributes, &r->io, NULL, 0,
                     FILE_SHARE_READ | FILE_SHARE_WRITE, 1 /* FILE_OPEN */, 0, NULL, 0) < 0) {
        CloseHandle(r->done);
        return -ENOSYS;
    }
    return 0;
}

static inline void afd_close(AfdRequest *r)
{
    CloseHandle(r->device);
    CloseHandle(r->done);
}

static inline size_t afd_size(uint32_t count)
{
    return sizeof(AfdList) + count * sizeof(AfdSocket);
}

/* What poll(2) calls events, for the driver.  That a socket ends is asked of all. */
static inline uint32_t afd_events(int events)
{
    return AFD_ABORT | AFD_LOCAL_CLOSE | AFD_CONNECT_FAIL |
           (events & POLLIN ? AFD_RECEIVE | AFD_ACCEPT | AFD_DISCONNECT : 0) |
           (events & POLLOUT ? AFD_SEND : 0);
}

static inline int afd_poll_events(uint32_t events, int wanted)
{
    int found = (events & (AFD_RECEIVE | AFD_ACCEPT) ? POLLIN : 0) |
                (events & AFD_SEND ? POLLOUT : 0) |
                (events & AFD_DISCONNECT ? POLLIN | POLLHUP : 0) |
                (events & AFD_ABORT ? POLLIN | POLLHUP | POLLERR : 0) |
                (events & AFD_CONNECT_FAIL ? POLLIN | POLLOUT | POLLERR | POLLHUP : 0) |
                (events & AFD_LOCAL_CLOSE ? POLLNVAL : 0);

    return found & (wanted | POLLERR | POLLHUP | POLLNVAL);
}

/* The driver's own handle of a socket that another provider may stand before. */
static inline uintptr_t afd_base(int fd)
{
    SOCKET base = INVALID_SOCKET;
    DWORD got;

    if (WSAIoctl((SOCKET)fd, SIO_BASE_OF_SOCKET, NULL, 0, &base, sizeof base, &got, NULL,
                 NULL) != 0) {
        return (uintptr_t)fd;
    }
    return (uintptr_t)base;
}

/* 1: done, and `found` has the answer; 0: it goes on; or negative errno. */
static inline int afd_ask(AfdRequest *r, AfdList *asked, AfdList *found, int64_t timeout)
{
    NTSTATUS status;

    asked->timeout = timeout;
    asked->exclusive = 0;
    found->count = 0;
    ResetEvent(r->done);
    r->io.Status = STATUS_NOT_YET;
    status = NtDeviceIoControlFile(r->device, r->done, NULL, NULL, &r->io, AFD_POLL, asked,
                                   (ULONG)afd_size(asked->count), found,
                                   (ULONG)afd_size(asked->count));
    if (status == STATUS_NOT_YET) {
        return 0;
    }
    return status < 0 ? -EBADF : 1;
}

/* After afd_ask said 0: `found` has the answer, no sockets if the request had to be cancelled. */
static inline void afd_end(AfdRequest *r, AfdList *found)
{
    if (WaitForSingleObject(r->done, 0) != WAIT_OBJECT_0) {
        /* An OVERLAPPED begins with the status block. */
        CancelIoEx(r->device, (OVERLAPPED *)&r->io);
        WaitForSingleObject(r->done, INFINITE);
    }
    if (r->io.Status != 0) {
        found->count = 0;
    }
}

/* ---- handles */

static inline HANDLE event_open(int stays)
{
    return CreateEventW(NULL, stays, FALSE, NULL);
}

static inline int handle_close(HANDLE h)
{
    return CloseHandle(h);
}

enum {
    WAIT_MOST = MAXIMUM_WAIT_OBJECTS,
    WAIT_NOTHING = -1,
    WAIT_NOT_POSSIBLE = -2,
};

/*
 * The index of the first that is signalled, which is consumed; or a negative one of the above.
 * ms < 0: without end.
 */
static inline int handles_wait(HANDLE *handles, int n, int ms)
{
    DWORD rc = WaitForMultipleObjects((DWORD)n, handles, FALSE, ms < 0 ? INFINITE : (DWORD)ms);

    if (rc == WAIT_TIMEOUT) {
        return WAIT_NOTHING;
    }
    if (rc >= WAIT_ABANDONED_0 && rc < WAIT_ABANDONED_0 + (DWORD)n) {
        return (int)(rc - WAIT_ABANDONED_0);
    }
    return rc < WAIT_OBJECT_0 + (DWORD)n ? (int)(rc - WAIT_OBJECT_0) : WAIT_NOT_POSSIBLE;
}

NTSYSAPI NTSTATUS NTAPI NtQueryEvent(HANDLE, int, PVOID, ULONG, PULONG);

/* A wait leaves it signalled: an event that stays set, a process, a thread. */
static inline int handle_stays(HANDLE h)
{
    struct { LONG type, state; } event;
    const LONG that_stays = 0;

    if (NtQueryEvent(h, 0, &event, sizeof event, NULL) == 0) {
        return event.type == that_stays;
    }
    return GetProcessId(h) != 0 || GetThreadId(h) != 0;
}

/* What a wait has used up and nobody had any use of: signalled again, where that can be. */
static inline void handle_give_back(HANDLE h)
{
    if (!SetEvent(h)) {
        ReleaseSemaphore(h, 1, NULL);
    }
}

/* ---- a timer that is better than the system's tick, if it has any */

#ifndef CREATE_WAITABLE_TIMER_HIGH_RESOLUTION
#define CREATE_WAITABLE_TIMER_HIGH_RESOLUTION 2
#endif

static inline HANDLE timer_open(void)
{
    HANDLE h = CreateWaitableTimerExW(NULL, NULL, CREATE_WAITABLE_TIMER_HIGH_RESOLUTION,
                                      TIMER_ALL_ACCESS);

    return h ? h : CreateWaitableTimerW(NULL, FALSE, NULL);
}

/* From now; it unsets itself when it is waited for. */
static inline void timer_arm_in(HANDLE h, int64_t ns)
{
    LARGE_INTEGER due;

    due.QuadPart = -(ns / 100 + 1);
    SetWaitableTimer(h, &due, 0, NULL, NULL, FALSE);
}

#endif
