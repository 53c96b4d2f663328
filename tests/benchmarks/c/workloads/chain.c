/*
 * chain.c - c4: n pipes, a tokens, w cascaded writes              [n a w]
 */
#include <fcntl.h>

#include "workloads.h"

struct chain;

struct chain_node {
    struct chain *c;
    int rfd, wfd;
    struct chain_node *next;
};

struct chain {
    const struct loop_ops *ops;
    void *lp;
    struct chain_node *nodes;
    unsigned n, a, w;
    unsigned writes_left;
    uint64_t seen, fired;
    int failed, edge;
};

/*
 * One byte per callback, so that the work does not depend on the order of
 * dispatch; an edge-triggered loop must read until there is no more.
 */
static void chain_cb(void *arg)
{
    struct chain_node *node = arg;
    struct chain *c = node->c;
    char byte;

    while (read(node->rfd, &byte, 1) == 1) {
        c->seen++;
        if (c->writes_left) {
            c->writes_left--;
            c->fired++;
            if (write(node->next->wfd, "e", 1) != 1) {
                c->failed = 1;
            }
        }
        if (!c->edge) {
            break;
        }
    }
}

static uint64_t chain_rounds(void *arg, uint64_t count)
{
    struct chain *c = arg;
    uint64_t total = 0;
    unsigned space = c->n / c->a;

    for (uint64_t i = 0; i < count && !c->failed; i++) {
        c->seen = c->fired = 0;
        c->writes_left = c->w;
        for (unsigned j = 0; j < c->a; j++) {
            c->fired++;
            if (write(c->nodes[j * space].wfd, "e", 1) != 1) {
                c->failed = 1;
            }
        }
        while (c->seen < c->fired && !c->failed) {
            c->ops->iterate(c->lp, 1);
        }
        total += c->seen;
    }
    return total;
}

int wl_chain(const struct loop_ops *ops, const struct wl_params *p,
             struct wl_result *r)
{
    struct chain c = { .ops = ops, .n = p->n, .a = p->a, .w = p->w,
                       .edge = !!(ops->caps & CAP_EDGE) };
    struct handles h;

    if (!(ops->caps & CAP_FD)) {
        return skip(r, "no fd handlers");
    }
    c.lp = ops->create(0);
    c.nodes = calloc(c.n, sizeof *c.nodes);
    if (!c.lp || !c.nodes || handles_alloc(&h, ops->fd_size, c.n)) {
        return fail(r, "set-up");
    }
    for (unsigned i = 0; i < c.n; i++) {
        int fd[2];
        if (pipe2(fd, O_NONBLOCK | O_CLOEXEC)) {
            return fail(r, "pipe: fd limit");
        }
        c.nodes[i] = (struct chain_node){
            .c = &c, .rfd = fd[0], .wfd = fd[1],
            .next = &c.nodes[(i + 1) % c.n],
        };
        ops->fd_add(c.lp, handle(&h, i), fd[0], LB_IN, chain_cb, &c.nodes[i]);
    }
    for (int i = 0; i < 3; i++) {
        ops->iterate(c.lp, 0);
    }
    metric(r, "event", time_body(p, cpu_ns, chain_rounds, &c));
    if (c.failed) {
        return fail(r, "write failed");
    }
    if (ops->destroy) {
        ops->destroy(c.lp);
    }
    return r->ok = 1;
}
