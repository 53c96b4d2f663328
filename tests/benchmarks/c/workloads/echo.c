/*
 * echo.c - TCP echo server on 127.0.0.1:n until the last of k clients left
 */
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "workloads.h"

#define ECHO_MAX 64

struct echo;

struct conn {
    struct echo *e;
    int fd;
    void *h;
};

struct echo {
    const struct loop_ops *ops;
    void *lp;
    struct handles h;
    struct conn conns[ECHO_MAX];
    unsigned opened, closed;
    int listener;
};

static void conn_cb(void *arg)
{
    struct conn *c = arg;
    struct echo *e = c->e;
    char buf[65536];
    ssize_t n = read(c->fd, buf, sizeof buf);

    if (n > 0) {
        if (write(c->fd, buf, n) != n) {
            perror("short echo");      /* 1 KiB each: cannot fill a socket */
        }
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        e->ops->fd_del(e->lp, c->h);
        close(c->fd);
        e->closed++;
    }
}

static void accept_cb(void *arg)
{
    struct echo *e = arg;
    int one = 1, fd = accept4(e->listener, NULL, NULL, SOCK_NONBLOCK);
    struct conn *c;

    if (fd < 0 || e->opened >= ECHO_MAX) {
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    c = &e->conns[e->opened++];
    *c = (struct conn){ e, fd, handle(&e->h, e->opened) };
    e->ops->fd_add(e->lp, c->h, fd, LB_IN, conn_cb, c);
}

int wl_echo(const struct loop_ops *ops, const struct wl_params *p,
            struct wl_result *r)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons(p->n),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    struct echo e = { .ops = ops };
    int one = 1;

    if (!(ops->caps & CAP_FD) || (ops->caps & CAP_EDGE)) {
        return skip(r, "no level-triggered fd handlers");
    }
    e.lp = ops->create(0);
    e.listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(e.listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (!e.lp || handles_alloc(&e.h, ops->fd_size, ECHO_MAX + 1) ||
        bind(e.listener, (struct sockaddr *)&a, sizeof a) ||
        listen(e.listener, ECHO_MAX)) {
        return fail(r, "listen");
    }
    ops->fd_add(e.lp, handle(&e.h, 0), e.listener, LB_IN, accept_cb, &e);
    while (e.closed < p->k) {
        ops->iterate(e.lp, 1);
    }
    return r->ok = 1;
}
