/*
 * standin.c - kqueue(2) on Linux, written after its manual pages: so that what this library
 * does with a queue can be tried where there is none.  A test double, no port: it is slow,
 * and knows the filters that are used here.
 *
 * It is preloaded (LD_PRELOAD), since a queue forgets a descriptor when that is closed: so
 * close() and dup2() are looked at.  What the manual pages say and it keeps to:
 *
 *  - (ident, filter) names an event; EV_ADD of one that is there changes it.
 *  - close() removes the events of a descriptor, whatever duplicates it has.
 *  - A failed change is an event with EV_ERROR if there is room, else the call fails; after
 *    one the call neither waits nor reports.  EV_RECEIPT makes an answer of every change.
 *  - A file on disk is taken, and not ready at its end: here never.  Other files that cannot
 *    be waited for are refused.
 *  - A forked child does not have the queue.
 *  - A queue can be waited for by poll(2), select(2) and another queue.
 *  - Signals and processes are counted when they come, not while they last; the event of a
 *    process goes with its exit.  Of one that has ended before, FreeBSD tells at once, macOS
 *    says ESRCH: STANDIN_LIKE=macos.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/event.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

/* One ident: a descriptor with up to two filters, or an event with a source of its own. */
typedef struct Watch {
    struct Watch *next;
    uintptr_t ident;
    short filter;               /* EVFILT_READ for descriptors */
    int source;                 /* what epoll has */
    int reads, writes;          /* which filters of a descriptor there are */
    int on_disk;
    struct kevent read, write;  /* as they were added; of other events it is read */
} Watch;

typedef struct Queue {
    struct Queue *next;
    int fd;
    Watch *watches;
} Queue;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static Queue *queues;

static void real_close(int fd)
{
    syscall(SYS_close, fd);
}

static Queue *find_queue(int fd)
{
    Queue *q = queues;

    while (q && q->fd != fd) {
        q = q->next;
    }
    return q;
}

static Watch **find_watch(Queue *q, uintptr_t ident, short filter)
{
    Watch **link = &q->watches;

    filter = filter == EVFILT_WRITE ? EVFILT_READ : filter;
    while (*link && ((*link)->ident != ident || (*link)->filter != filter)) {
        link = &(*link)->next;
    }
    return link;
}

static void drop_watch(Queue *q, Watch **link)
{
    Watch *w = *link;

    *link = w->next;
    if (w->source >= 0) {
        epoll_ctl(q->fd, EPOLL_CTL_DEL, w->source, NULL);
        if (w->filter != EVFILT_READ) {
            real_close(w->source);
        }
    }
    free(w);
}

static void forget_queue(Queue **link)
{
    Queue *q = *link;

    while (q->watches) {
        drop_watch(q, &q->watches);
    }
    *link = q->next;
    free(q);
}

/* The descriptor is about to be closed. */
static void forget(int fd)
{
    Queue **link;
    int saved = errno;

    pthread_mutex_lock(&lock);
    for (link = &queues; *link; ) {
        if ((*link)->fd == fd) {
            forget_queue(link);
        } else {
            Watch **watch = find_watch(*link, (uintptr_t)fd, EVFILT_READ);

            if (*watch) {
                drop_watch(*link, watch);
            }
            link = &(*link)->next;
        }
    }
    pthread_mutex_unlock(&lock);
    errno = saved;
}

int close(int fd)
{
    forget(fd);
    return (int)syscall(SYS_close, fd);
}

int dup2(int from, int to)
{
    if (from != to && fcntl(from, F_GETFD) >= 0) {
        forget(to);
    }
    return (int)syscall(SYS_dup2, from, to);
}

int dup3(int from, int to, int flags)
{
    if (from != to && fcntl(from, F_GETFD) >= 0) {
        forget(to);
    }
    return (int)syscall(SYS_dup3, from, to, flags);
}

/* ---- changes */

static int like_macos(void)
{
    const char *like = getenv("STANDIN_LIKE");

    return like && strcmp(like, "macos") == 0;
}

static int show(Queue *q, Watch *w, int op)
{
    struct epoll_event e;

    memset(&e, 0, sizeof e);
    e.data.ptr = w;
    e.events = (w->reads ? EPOLLIN | EPOLLRDHUP : 0) | (w->writes ? EPOLLOUT : 0);
    if (w->filter == EVFILT_SIGNAL) {
        e.events |= EPOLLET;            /* when it comes, not while it is pending */
    }
    return epoll_ctl(q->fd, op, w->source, &e) < 0 ? errno : 0;
}

static void set_timer(const Watch *w)
{
    struct itimerspec its;
    int64_t ns = w->read.data;

    if (!(w->read.fflags & NOTE_NSECONDS)) {
        ns *= 1000000;
    }
    memset(&its, 0, sizeof its);
    its.it_value.tv_sec = ns / 1000000000;
    its.it_value.tv_nsec = ns > 0 ? ns % 1000000000 : 1;
    if (!(w->read.flags & EV_ONESHOT)) {
        its.it_interval = its.it_value;
    }
    timerfd_settime(w->source, 0, &its, NULL);
}

static int open_process(pid_t pid)
{
    siginfo_t info;

    memset(&info, 0, sizeof info);
    if (like_macos() && waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid) {
        errno = ESRCH;
        return -1;
    }
    return (int)syscall(SYS_pidfd_open, pid, 0);
}

/* The descriptor of an event that is none itself; -1 and errno. */
static int open_source(const struct kevent *c)
{
    sigset_t set;

    switch (c->filter) {
    case EVFILT_READ: case EVFILT_WRITE:
        return fcntl((int)c->ident, F_GETFD) < 0 ? -1 : (int)c->ident;
    case EVFILT_TIMER:
        return timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    case EVFILT_USER:
        return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    case EVFILT_PROC:
        return open_process((pid_t)c->ident);
    case EVFILT_SIGNAL:
        sigemptyset(&set);
        sigaddset(&set, (int)c->ident);
        return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    default:
        errno = EINVAL;
        return -1;
    }
}

static int add(Queue *q, const struct kevent *c)
{
    Watch **link = find_watch(q, c->ident, c->filter);
    Watch *w = *link;
    struct stat st;
    int fresh = !w;
    int error;

    if (fresh) {
        w = (Watch *)calloc(1, sizeof *w);
        if (!w) {
            return ENOMEM;
        }
        w->ident = c->ident;
        w->filter = c->filter == EVFILT_WRITE ? EVFILT_READ : c->filter;
        w->source = open_source(c);
        if (w->source < 0) {
            error = errno;
            free(w);
            return error;
        }
        w->on_disk = w->filter == EVFILT_READ && fstat(w->source, &st) == 0 &&
                     (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
        w->next = q->watches;
        q->watches = w;
        link = &q->watches;
    }
    if (c->filter == EVFILT_WRITE) {
        w->write = *c;
        w->writes = 1;
    } else {
        w->read = *c;
        w->reads = 1;
    }
    error = w->on_disk ? 0 : show(q, w, fresh ? EPOLL_CTL_ADD : EPOLL_CTL_MOD);
    if (error) {
        if (w->filter == EVFILT_READ) {
            w->source = -1;             /* it is not epoll's */
        }
        drop_watch(q, link);
        return error == EPERM ? EINVAL : error;
    }
    if (c->filter == EVFILT_TIMER) {
        set_timer(w);
    } else if (c->filter == EVFILT_USER && c->fflags & NOTE_TRIGGER) {
        eventfd_write(w->source, 1);
    }
    return 0;
}

static int take_out(Queue *q, const struct kevent *c)
{
    Watch **link = find_watch(q, c->ident, c->filter);
    Watch *w = *link;

    if (!w || !(c->filter == EVFILT_WRITE ? w->writes : w->reads)) {
        return fcntl((int)c->ident, F_GETFD) < 0 && w == NULL ? EBADF : ENOENT;
    }
    if (c->filter == EVFILT_WRITE) {
        w->writes = 0;
    } else {
        w->reads = 0;
    }
    if (!w->reads && !w->writes) {
        drop_watch(q, link);
    } else if (!w->on_disk) {
        show(q, w, EPOLL_CTL_MOD);
    }
    return 0;
}

/* Answers written, or -1 and errno: one failed for which there is no room. */
static int change(Queue *q, const struct kevent *changes, int n, struct kevent *events, int max)
{
    int answers = 0;
    int i, error;

    for (i = 0; i < n; i++) {
        error = changes[i].flags & EV_DELETE ? take_out(q, &changes[i]) : add(q, &changes[i]);
        if (!error && !(changes[i].flags & EV_RECEIPT)) {
            continue;
        }
        if (answers == max) {
            errno = error;
            return error ? -1 : answers;
        }
        events[answers] = changes[i];
        events[answers].flags = EV_ERROR;
        events[answers].data = error;
        answers++;
    }
    return answers;
}

/* ---- waiting */

static int is_there(const Queue *q, const Watch *wanted)
{
    const Watch *w = q->watches;

    while (w && w != wanted) {
        w = w->next;
    }
    return w != NULL;
}

static void put(struct kevent *out, const struct kevent *added, int eof, intptr_t data)
{
    *out = *added;
    out->flags = eof ? EV_EOF : 0;
    out->fflags = 0;
    out->data = data;
}

/* A source of its own: what it counted is read. */
static int take_counted(Queue *q, Watch *w, struct kevent *out)
{
    uint64_t count = 1;
    struct kevent added = w->read;

    if (w->filter == EVFILT_TIMER || w->filter == EVFILT_USER) {
        if (read(w->source, &count, sizeof count) < 0) {
            return 0;
        }
    }
    if (w->filter == EVFILT_PROC || added.flags & EV_ONESHOT) {
        drop_watch(q, find_watch(q, added.ident, added.filter));
    }
    put(out, &added, 0, (intptr_t)count);
    out->fflags = added.filter == EVFILT_PROC ? NOTE_EXIT : 0;
    return 1;
}

static int take(Queue *q, Watch *w, unsigned ready, struct kevent *out, int room)
{
    int n = 0;

    if (w->filter != EVFILT_READ) {
        return take_counted(q, w, out);
    }
    if (w->reads && ready & (EPOLLIN | EPOLLHUP | EPOLLERR | EPOLLRDHUP)) {
        put(&out[n++], &w->read, (ready & (EPOLLHUP | EPOLLRDHUP)) != 0, 1);
    }
    if (n < room && w->writes && ready & (EPOLLOUT | EPOLLHUP | EPOLLERR)) {
        put(&out[n++], &w->write, (ready & (EPOLLHUP | EPOLLERR)) != 0, 1);
    }
    return n;
}

static int collect(int kq, struct kevent *events, int max)
{
    struct epoll_event *found = (struct epoll_event *)calloc((size_t)max, sizeof *found);
    Queue *q;
    int i, n;
    int taken = 0;

    if (!found) {
        errno = ENOMEM;
        return -1;
    }
    n = epoll_wait(kq, found, max, 0);
    pthread_mutex_lock(&lock);
    q = find_queue(kq);
    for (i = 0; q && i < n && taken < max; i++) {
        if (is_there(q, (Watch *)found[i].data.ptr)) {
            taken += take(q, (Watch *)found[i].data.ptr, found[i].events, events + taken,
                          max - taken);
        }
    }
    pthread_mutex_unlock(&lock);
    free(found);
    return n < 0 ? -1 : taken;
}

static int64_t now_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000000 + ts.tv_nsec;
}

int kevent(int kq, const struct kevent *changes, int nchanges, struct kevent *events,
           int nevents, const struct timespec *timeout)
{
    struct pollfd self = { kq, POLLIN, 0 };
    struct timespec left;
    int64_t end = timeout ? now_ns() + timeout->tv_sec * 1000000000 + timeout->tv_nsec : -1;
    int64_t ns;
    Queue *q;
    int n;

    pthread_mutex_lock(&lock);
    q = find_queue(kq);
    n = q ? change(q, changes, nchanges, events, nevents) : -1;
    pthread_mutex_unlock(&lock);
    if (!q) {
        errno = EBADF;
    }
    if (n != 0 || nevents == 0) {
        return n;
    }
    for (;;) {
        n = collect(kq, events, nevents);
        ns = timeout ? end - now_ns() : 0;
        if (n != 0 || (timeout && (ns <= 0 || (!timeout->tv_sec && !timeout->tv_nsec)))) {
            return n;
        }
        left.tv_sec = ns / 1000000000;
        left.tv_nsec = ns % 1000000000;
        n = ppoll(&self, 1, timeout ? &left : NULL, NULL);
        if (n <= 0) {
            return n;
        }
    }
}

/* ---- queues, and fork() */

int kqueue(void)
{
    Queue *q = (Queue *)calloc(1, sizeof *q);
    int fd = epoll_create1(0);

    if (!q || fd < 0) {
        free(q);
        return -1;
    }
    q->fd = fd;
    pthread_mutex_lock(&lock);
    q->next = queues;
    queues = q;
    pthread_mutex_unlock(&lock);
    return fd;
}

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

/* What epoll has is the parent's, too: it is left alone. */
static void in_child(void)
{
    Queue *q;
    Watch *w;

    while ((q = queues) != NULL) {
        queues = q->next;
        real_close(q->fd);
        while ((w = q->watches) != NULL) {
            q->watches = w->next;
            if (w->filter != EVFILT_READ) {
                real_close(w->source);
            }
            free(w);
        }
        free(q);
    }
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void begin(void)
{
    pthread_atfork(before_fork, after_fork, in_child);
}
