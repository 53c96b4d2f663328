/*
 * qemu_mainloop.c - the package itself, through the capsules of its public
 * modules (qemu_mainloop.aio, .main_loop, .timer).  Variants:
 *   ""          a context of its own, default fd monitor, no busy polling
 *   "spin"      the same with busy polling up to 50 us
 *   any other   the fd monitor of that name ("epoll", "poll", "io_uring")
 *
 * Deadlines are absolute in this API; as with the other contestants the time
 * they count from is read once after an iteration, not once a timer.
 */
#include "../util.h"

typedef void (*io_handler)(void *);

static void *(*p_context_new)(void);
static void (*p_context_unref)(void *);
static int (*p_poll)(void *, int);
static int (*p_set_fd)(void *, int, io_handler, io_handler,
                       int (*)(void *), void *);
static int (*p_set_fdmon)(void *, const char *);
static int (*p_set_poll_params)(void *, int64_t, int64_t, int64_t);
static void *(*p_bh_new)(void *, void (*)(void *), void *);
static void (*p_bh_schedule)(void *);
static void *(*p_timer_new)(void *, int, int, void (*)(void *), void *);
static void (*p_timer_mod_ns)(void *, int64_t);
static void (*p_timer_del)(void *);
static int64_t (*p_clock_get_ns)(int);

static const struct {
    const char *name;
    void *slot;
} wanted[] = {
    { "aio_context_new", &p_context_new },
    { "aio_context_unref", &p_context_unref },
    { "aio_poll", &p_poll },
    { "aio_set_fd_handler", &p_set_fd },
    { "aio_context_set_fdmon", &p_set_fdmon },
    { "aio_context_set_poll_params", &p_set_poll_params },
    { "aio_bh_new", &p_bh_new },
    { "qemu_bh_schedule", &p_bh_schedule },
    { "aio_timer_new", &p_timer_new },
    { "timer_mod_ns", &p_timer_mod_ns },
    { "timer_del", &p_timer_del },
    { "qemu_clock_get_ns", &p_clock_get_ns },
};

enum { CLOCK_REALTIME_TYPE = 0, SCALE_NS = 1 };

struct fdh {
    int fd;
    lb_cb cb;
    void *arg;
};

struct bh {
    void *bh;
};

struct timer {
    void *timer;
    lb_cb cb;
    void *arg;
};

struct loop {
    void *ctx;
    int64_t now;               /* 0: not read since the last iteration */
};

/* 'signature' is the capsule's name: the C type Cython writes there */
int bench_bind(const char *name, const char *signature, void *fn);

int bench_bind(const char *name, const char *signature, void *fn)
{
    (void)signature;
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (!strcmp(name, wanted[i].name)) {
            *(void **)wanted[i].slot = fn;
            return 1;
        }
    }
    return 0;
}

static void set_handlers(void *lp, struct fdh *f, unsigned ev)
{
    struct loop *l = lp;
    int rc = p_set_fd(l->ctx, f->fd, ev & LB_IN ? f->cb : NULL,
                      ev & LB_OUT ? f->cb : NULL, NULL, f->arg);

    if (rc < 0) {
        fprintf(stderr, "aio_set_fd_handler(%d): %d\n", f->fd, rc);
        exit(1);
    }
}

static void fd_add(void *lp, void *h, int fd, unsigned ev, lb_cb cb, void *arg)
{
    struct fdh *f = h;

    f->fd = fd;
    f->cb = cb;
    f->arg = arg;
    set_handlers(lp, f, ev);
}

static void fd_mod(void *lp, void *h, unsigned ev)
{
    set_handlers(lp, h, ev);
}

static void fd_del(void *lp, void *h)
{
    set_handlers(lp, h, 0);
}

static void fd_add_gated(void *lp, void *h, int fd, int (*gate)(void *),
                         lb_cb cb, void *arg)
{
    struct loop *l = lp;

    ((struct fdh *)h)->fd = fd;
    if (p_set_fd(l->ctx, fd, cb, NULL, gate, arg) < 0) {
        fprintf(stderr, "aio_set_fd_handler(%d), gated\n", fd);
        exit(1);
    }
}

static void bh_init(void *lp, void *h, lb_cb cb, void *arg)
{
    ((struct bh *)h)->bh = p_bh_new(((struct loop *)lp)->ctx, cb, arg);
}

static void bh_schedule(void *lp, void *h)
{
    (void)lp;
    p_bh_schedule(((struct bh *)h)->bh);
}

static void timer_mod(void *lp, void *h, int64_t ns)
{
    struct loop *l = lp;

    if (!l->now) {
        l->now = p_clock_get_ns(CLOCK_REALTIME_TYPE);
    }
    p_timer_mod_ns(((struct timer *)h)->timer, l->now + ns);
}

static void timer_fired(void *h)
{
    struct timer *t = h;

    t->cb(t->arg);
}

static void timer_add(void *lp, void *h, int64_t ns, lb_cb cb, void *arg)
{
    struct loop *l = lp;
    struct timer *t = h;

    t->cb = cb;
    t->arg = arg;
    if (!t->timer) {
        t->timer = p_timer_new(l->ctx, CLOCK_REALTIME_TYPE, SCALE_NS,
                               timer_fired, t);
    }
    timer_mod(lp, h, ns);
}

static void timer_del(void *lp, void *h)
{
    (void)lp;
    p_timer_del(((struct timer *)h)->timer);
}

static void iterate(void *lp, int block)
{
    struct loop *l = lp;

    l->now = 0;
    p_poll(l->ctx, block);
}

static char fdmon[32];         /* "": the default one */
static int spin;

static void *create(unsigned flags)
{
    struct loop *l = calloc(1, sizeof *l);

    (void)flags;
    l->ctx = p_context_new();
    if (!l->ctx || (*fdmon && p_set_fdmon(l->ctx, fdmon) < 0) ||
        (spin && p_set_poll_params(l->ctx, 50000, 0, 0) < 0)) {
        fprintf(stderr, "no context %s\n", fdmon);
        exit(1);
    }
    return l;
}

static void destroy(void *lp)
{
    struct loop *l = lp;

    p_context_unref(l->ctx);
    free(l);
}

static struct loop_ops ops = {
    .abi = LOOP_ABI, .name = "qemu_mainloop",
    .caps = CAP_FD | CAP_BH | CAP_WAKE | CAP_TIMER | CAP_GATE,
    .fd_size = sizeof(struct fdh), .bh_size = sizeof(struct bh),
    .wake_size = sizeof(struct bh), .timer_size = sizeof(struct timer),
    .create = create, .destroy = destroy, .iterate = iterate,
    .fd_add = fd_add, .fd_mod = fd_mod, .fd_del = fd_del,
    .fd_add_gated = fd_add_gated,
    .bh_init = bh_init, .bh_schedule = bh_schedule,
    .wake_init = bh_init, .wake_send = bh_schedule,
    .timer_add = timer_add, .timer_mod = timer_mod, .timer_del = timer_del,
};

const struct loop_ops *bench_ops(const char *variant)
{
    static char name[48] = "qemu_mainloop";

    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        if (!*(void **)wanted[i].slot) {
            fprintf(stderr, "no capsule %s\n", wanted[i].name);
            return NULL;
        }
    }
    if (*variant) {
        snprintf(name, sizeof name, "qemu_mainloop-%s", variant);
    }
    if (!strcmp(variant, "spin")) {
        spin = 1;
    } else {
        /* the caller's string may go: pyhost.py's is a temporary */
        snprintf(fdmon, sizeof fdmon, "%s", variant);
    }
    ops.name = name;
    return &ops;
}
