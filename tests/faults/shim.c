/*
 * shim.c - preloaded before the C library: makes chosen calls of chosen modules fail.
 *
 * A call counts if it comes from a module that is watched (its return address lies there)
 * and while its name is armed: the n-th and as many after it as were asked for fail with
 * the given error, the others go through.  What the watched modules allocate and free is
 * counted as well.  Python's own allocators have a hook of the same kind.  The functions
 * that a test calls are at the end.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif
#ifndef SYS_io_uring_setup
#define SYS_io_uring_setup 425
#define SYS_io_uring_enter 426
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

/* ---- what is armed, and for whom */

#define CALLS(X) \
    X(eventfd) X(pipe2) X(read) X(write) X(epoll_create1) \
    X(epoll_ctl_add) X(epoll_ctl_mod) X(epoll_ctl_del) X(epoll_wait) X(epoll_pwait2) \
    X(poll) X(ppoll) X(timerfd_create) X(timerfd_settime) X(signalfd) X(pidfd_open) \
    X(waitid) X(waitpid) X(pthread_create) X(pthread_sigmask) X(pthread_atfork) \
    X(sigaction) X(fcntl) X(dup) X(close) X(mmap) X(io_uring_setup) X(io_uring_enter) \
    X(membarrier) X(allocate)

enum {
#define X(name) CALL_##name,
    CALLS(X)
#undef X
    CALL_COUNT
};

static const char *const names[] = {
#define X(name) #name,
    CALLS(X)
#undef X
};

/* Shared with forked children: what fails there counts here. */
static struct Shared {
    struct { long error, first, times, seen; } armed[CALL_COUNT];
    volatile int on;
    volatile long failed;
} *shared;
static volatile long live;

__attribute__((constructor)) static void make_shared(void)
{
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
                  -1, 0);
    if (shared == MAP_FAILED) {
        abort();
    }
}

enum { MOST_RANGES = 256 };
static struct { uintptr_t begin, end; } ranges[MOST_RANGES];
static volatile int range_count;

static int is_watched(const void *return_address)
{
    uintptr_t at = (uintptr_t)return_address;
    int i;

    for (i = 0; i < range_count; i++) {
        if (at >= ranges[i].begin && at < ranges[i].end) {
            return 1;
        }
    }
    return 0;
}

static int fails(int call, const void *return_address)
{
    long n;

    if (!shared || !shared->on || !shared->armed[call].error || !is_watched(return_address)) {
        return 0;
    }
    n = __atomic_add_fetch(&shared->armed[call].seen, 1, __ATOMIC_SEQ_CST);
    if (n < shared->armed[call].first
        || (shared->armed[call].times >= 0 && n >= shared->armed[call].first + shared->armed[call].times)) {
        return 0;
    }
    __atomic_add_fetch(&shared->failed, 1, __ATOMIC_SEQ_CST);
    errno = (int)shared->armed[call].error;
    return 1;
}

#define FAILS(name) fails(CALL_##name, __builtin_return_address(0))
#define REAL(result, name, parameters, arguments)                          \
    static result (*real) parameters;                                      \
    if (!real) {                                                           \
        real = (result (*) parameters)dlsym(RTLD_NEXT, #name);             \
    }
#define PLAIN(name, parameters, arguments)                                 \
    int name parameters                                                    \
    {                                                                      \
        REAL(int, name, parameters, arguments)                             \
        return FAILS(name) ? -1 : real arguments;                          \
    }
/* Those that return the error. */
#define BARE(name, parameters, arguments)                                  \
    int name parameters                                                    \
    {                                                                      \
        REAL(int, name, parameters, arguments)                             \
        return FAILS(name) ? errno : real arguments;                       \
    }

/* ---- the calls */

PLAIN(eventfd, (unsigned value, int flags), (value, flags))
PLAIN(pipe2, (int fds[2], int flags), (fds, flags))
PLAIN(epoll_create1, (int flags), (flags))
PLAIN(epoll_wait, (int ep, struct epoll_event *e, int n, int ms), (ep, e, n, ms))
PLAIN(poll, (struct pollfd *fds, nfds_t n, int ms), (fds, n, ms))
PLAIN(ppoll, (struct pollfd *fds, nfds_t n, const struct timespec *ts, const sigset_t *mask),
      (fds, n, ts, mask))
PLAIN(timerfd_create, (int clock, int flags), (clock, flags))
PLAIN(timerfd_settime, (int fd, int flags, const struct itimerspec *its, struct itimerspec *old),
      (fd, flags, its, old))
PLAIN(signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags))
PLAIN(waitid, (idtype_t type, id_t id, siginfo_t *info, int options), (type, id, info, options))
PLAIN(sigaction, (int signo, const struct sigaction *act, struct sigaction *old),
      (signo, act, old))
BARE(pthread_sigmask, (int how, const sigset_t *set, sigset_t *old), (how, set, old))
BARE(pthread_create, (pthread_t *t, const pthread_attr_t *attr, void *(*fn)(void *), void *arg),
     (t, attr, fn, arg))

pid_t waitpid(pid_t pid, int *status, int options)
{
    REAL(pid_t, waitpid, (pid_t, int *, int), (pid, status, options))
    return FAILS(waitpid) ? -1 : real(pid, status, options);
}

ssize_t read(int fd, void *buf, size_t n)
{
    REAL(ssize_t, read, (int, void *, size_t), (fd, buf, n))
    return FAILS(read) ? -1 : real(fd, buf, n);
}

ssize_t write(int fd, const void *buf, size_t n)
{
    REAL(ssize_t, write, (int, const void *, size_t), (fd, buf, n))
    return FAILS(write) ? -1 : real(fd, buf, n);
}

int dup2(int from, int to)
{
    REAL(int, dup2, (int, int), (from, to))
    return FAILS(dup) ? -1 : real(from, to);
}

int dup3(int from, int to, int flags)
{
    REAL(int, dup3, (int, int, int), (from, to, flags))
    return FAILS(dup) ? -1 : real(from, to, flags);
}

/* Whatever close() says, the number is free afterwards. */
int close(int fd)
{
    REAL(int, close, (int), (fd))
    int rc = real(fd);

    return FAILS(close) ? -1 : rc;
}

int epoll_ctl(int ep, int op, int fd, struct epoll_event *e)
{
    REAL(int, epoll_ctl, (int, int, int, struct epoll_event *), (ep, op, fd, e))
    int call = op == EPOLL_CTL_ADD ? CALL_epoll_ctl_add
             : op == EPOLL_CTL_MOD ? CALL_epoll_ctl_mod : CALL_epoll_ctl_del;

    return fails(call, __builtin_return_address(0)) ? -1 : real(ep, op, fd, e);
}

static int fcntl_(const char *name, const void *from, int fd, int cmd, long arg)
{
    int (*real)(int, int, ...) = (int (*)(int, int, ...))dlsym(RTLD_NEXT, name);

    return fails(CALL_fcntl, from) ? -1 : real(fd, cmd, arg);
}

#define FCNTL(name)                                                        \
    int name(int fd, int cmd, ...)                                         \
    {                                                                      \
        va_list rest;                                                      \
        long arg;                                                          \
        va_start(rest, cmd);                                               \
        arg = va_arg(rest, long);                                          \
        va_end(rest);                                                      \
        return fcntl_(#name, __builtin_return_address(0), fd, cmd, arg);   \
    }
#undef fcntl
#undef fcntl64
FCNTL(fcntl)
FCNTL(fcntl64)

long syscall(long number, ...)
{
    REAL(long, syscall, (long, ...), ())
    long a[6];
    va_list rest;
    int i;

    va_start(rest, number);
    for (i = 0; i < 6; i++) {
        a[i] = va_arg(rest, long);
    }
    va_end(rest);
    if ((number == SYS_epoll_pwait2 && FAILS(epoll_pwait2))
        || (number == SYS_pidfd_open && FAILS(pidfd_open))
        || (number == SYS_io_uring_setup && FAILS(io_uring_setup))
        || (number == SYS_io_uring_enter && FAILS(io_uring_enter))
        || (number == SYS_membarrier && FAILS(membarrier))) {
        return -1;
    }
    return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

#define MMAP(name, off_type)                                               \
    void *name(void *at, size_t n, int prot, int flags, int fd, off_type off) \
    {                                                                      \
        REAL(void *, name, (void *, size_t, int, int, int, off_type),      \
             (at, n, prot, flags, fd, off))                                \
        return FAILS(mmap) ? MAP_FAILED : real(at, n, prot, flags, fd, off); \
    }
#undef mmap
#undef mmap64
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)

/* What pthread_atfork() is on glibc. */
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void),
                      void *module)
{
    REAL(int, __register_atfork, (void (*)(void), void (*)(void), void (*)(void), void *), ())
    return FAILS(pthread_atfork) ? errno : real(prepare, parent, child, module);
}

/* ---- allocations */

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void __libc_free(void *);

/* Which of ours are not freed yet: an open hash table, under a lock of one word. */
enum { PLACES = 1 << 16 };
static void *places[PLACES];
static int places_lock;

static void **place_of(const void *p)
{
    size_t i = ((uintptr_t)p >> 4) * 2654435761u % PLACES;

    while (places[i] && places[i] != p) {
        i = (i + 1) % PLACES;
    }
    return &places[i];
}

static void lock_places(void)
{
    while (__atomic_exchange_n(&places_lock, 1, __ATOMIC_SEQ_CST)) {
        sched_yield();
    }
}

static void unlock_places(void)
{
    __atomic_store_n(&places_lock, 0, __ATOMIC_SEQ_CST);
}

static void *counted(void *fresh, const void *return_address)
{
    if (fresh && range_count && is_watched(return_address)) {
        lock_places();
        *place_of(fresh) = fresh;
        live++;
        unlock_places();
    }
    return fresh;
}

/* Is p one of ours?  Then it is not any more. */
static int forget(const void *p)
{
    void **place, *moved;
    int ours;

    if (!p || !live) {
        return 0;
    }
    lock_places();
    place = place_of(p);
    ours = *place != NULL;
    if (ours) {
        live--;
        *place = NULL;
        /* Those behind it may have been pushed on by it. */
        for (place = place + 1 - PLACES * (place + 1 == places + PLACES); *place;
             place = place + 1 - PLACES * (place + 1 == places + PLACES)) {
            moved = *place;
            *place = NULL;
            *place_of(moved) = moved;
        }
    }
    unlock_places();
    return ours;
}

void *malloc(size_t n)
{
    return FAILS(allocate) ? NULL : counted(__libc_malloc(n), __builtin_return_address(0));
}

void *calloc(size_t n, size_t size)
{
    return FAILS(allocate) ? NULL
                           : counted(__libc_calloc(n, size), __builtin_return_address(0));
}

void *realloc(void *p, size_t n)
{
    void *fresh;

    if (FAILS(allocate)) {
        return NULL;
    }
    if (!p) {
        return counted(__libc_malloc(n), __builtin_return_address(0));
    }
    if (!forget(p)) {
        return __libc_realloc(p, n);
    }
    fresh = __libc_realloc(p, n);
    counted(fresh ? fresh : p, __builtin_return_address(0));
    return fresh;
}

void free(void *p)
{
    forget(p);
    __libc_free(p);
}

/* ---- Python's allocators */

typedef struct {
    void *ctx;
    void *(*malloc)(void *ctx, size_t size);
    void *(*calloc)(void *ctx, size_t n, size_t size);
    void *(*realloc)(void *ctx, void *p, size_t size);
    void (*free)(void *ctx, void *p);
} Allocator;

enum { DOMAINS = 3 };
static Allocator before[DOMAINS];
static volatile long python_first, python_times, python_seen, python_failed;
static volatile pthread_t python_thread;

static int python_fails(void)
{
    long n;

    if (!python_first || !pthread_equal(python_thread, pthread_self())) {
        return 0;
    }
    n = ++python_seen;
    if (n < python_first || (python_times >= 0 && n >= python_first + python_times)) {
        return 0;
    }
    python_failed++;
    return 1;
}

static void *python_malloc(void *ctx, size_t size)
{
    Allocator *a = ctx;

    return python_fails() ? NULL : a->malloc(a->ctx, size);
}

static void *python_calloc(void *ctx, size_t n, size_t size)
{
    Allocator *a = ctx;

    return python_fails() ? NULL : a->calloc(a->ctx, n, size);
}

static void *python_realloc(void *ctx, void *p, size_t size)
{
    Allocator *a = ctx;

    return python_fails() ? NULL : a->realloc(a->ctx, p, size);
}

static void python_free(void *ctx, void *p)
{
    Allocator *a = ctx;

    a->free(a->ctx, p);
}

void faults_python_install(void)
{
    void (*get)(int, Allocator *) =
        (void (*)(int, Allocator *))dlsym(RTLD_DEFAULT, "PyMem_GetAllocator");
    void (*set)(int, Allocator *) =
        (void (*)(int, Allocator *))dlsym(RTLD_DEFAULT, "PyMem_SetAllocator");
    Allocator hook = {NULL, python_malloc, python_calloc, python_realloc, python_free};
    int domain;

    for (domain = 0; domain < DOMAINS; domain++) {
        get(domain, &before[domain]);
        hook.ctx = &before[domain];
        set(domain, &hook);
    }
}

/* The calling thread's first-th allocation from here on fails, and times - 1 after it. */
void faults_python_arm(long first, long times)
{
    python_seen = python_failed = 0;
    python_times = times;
    python_thread = pthread_self();
    python_first = first;
}

/* How many were made to fail. */
long faults_python_off(void)
{
    python_first = 0;
    return python_failed;
}

/* ---- for the test */

static int note_module(struct dl_phdr_info *info, size_t size, void *part)
{
    int i;

    (void)size;
    if (!strstr(info->dlpi_name, (const char *)part)) {
        return 0;
    }
    for (i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type == PT_LOAD && (p->p_flags & PF_X) && range_count < MOST_RANGES) {
            ranges[range_count].begin = info->dlpi_addr + p->p_vaddr;
            ranges[range_count].end = ranges[range_count].begin + p->p_memsz;
            __atomic_add_fetch(&range_count, 1, __ATOMIC_SEQ_CST);
        }
    }
    return 0;
}

/* Watches the loaded modules whose path contains part; how many ranges are watched now. */
int faults_watch(const char *part)
{
    dl_iterate_phdr(note_module, (void *)part);
    return range_count;
}

/* Also modules that are not loaded yet. */
void faults_watch_all(void)
{
    ranges[0].begin = 0;
    ranges[0].end = UINTPTR_MAX;
    range_count = 1;
}

/* 0; -1: there is no such call. */
int faults_arm(const char *name, int error, long first, long times)
{
    int i;

    for (i = 0; i < CALL_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            shared->armed[i].first = first;
            shared->armed[i].times = times;
            shared->armed[i].seen = 0;
            shared->armed[i].error = error;
            shared->on = 1;
            return 0;
        }
    }
    return -1;
}

/* How often an armed call was made. */
long faults_seen(const char *name)
{
    int i;

    for (i = 0; i < CALL_COUNT; i++) {
        if (strcmp(names[i], name) == 0) {
            return shared->armed[i].seen;
        }
    }
    return -1;
}

/* Disarms all; how many calls were made to fail since the last time. */
long faults_off(void)
{
    int i;

    shared->on = 0;
    for (i = 0; i < CALL_COUNT; i++) {
        shared->armed[i].error = 0;
    }
    return __atomic_exchange_n(&shared->failed, 0, __ATOMIC_SEQ_CST);
}

long faults_live(void)
{
    return live;
}

/* A real sandbox: the kernel refuses these calls from here on.  0 or negative errno. */
int faults_sandbox(int error, const long *numbers, int n)
{
    struct sock_filter f[64];
    struct sock_fprog program = {0, f};
    int i, k = 0;

    f[k++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                          offsetof(struct seccomp_data, nr));
    for (i = 0; i < n && k < 60; i++) {
        f[k++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                              (unsigned)numbers[i], 0, 1);
        f[k++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
                                              SECCOMP_RET_ERRNO | (error & SECCOMP_RET_DATA));
    }
    f[k++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    program.len = (unsigned short)k;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0
        || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) {
        return -errno;
    }
    return 0;
}

/* -1: this kernel's headers do not know it. */
long faults_number(const char *name)
{
    static const struct { const char *name; long number; } known[] = {
        {"eventfd2", SYS_eventfd2}, {"epoll_create1", SYS_epoll_create1},
        {"epoll_ctl", SYS_epoll_ctl}, {"epoll_pwait", SYS_epoll_pwait},
#ifdef SYS_epoll_wait
        {"epoll_wait", SYS_epoll_wait},
#endif
        {"epoll_pwait2", SYS_epoll_pwait2}, {"pidfd_open", SYS_pidfd_open},
        {"timerfd_create", SYS_timerfd_create}, {"timerfd_settime", SYS_timerfd_settime},
        {"signalfd4", SYS_signalfd4}, {"io_uring_setup", 425}, {"io_uring_enter", 426},
        {"io_uring_register", 427},
    };
    size_t i;

    for (i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(known[i].name, name) == 0) {
            return known[i].number;
        }
    }
    return -1;
}
