/* run.c - which workload a name means */
#include "workloads.h"

int wl_pinning = 1;

void wl_set_pinning(int on)
{
    wl_pinning = on;
}

static int is(const char *name, const char *other)
{
    return !strcmp(name, other);
}

int wl_run(const struct loop_ops *ops, const char *workload,
           const struct wl_params *p, struct wl_result *r)
{
    memset(r, 0, sizeof *r);
    if (ops->abi != LOOP_ABI) {
        return fail(r, "wrong LOOP_ABI");
    }
    if (wl_pinning) {
        pin_to(MAIN_CPU);
    }
    if (is(workload, "c1") || is(workload, "c2") || is(workload, "c2e") ||
        is(workload, "c3") || is(workload, "c3e") || is(workload, "c9")) {
        return wl_fd(ops, workload, p, r);
    }
    if (is(workload, "c4")) {
        return wl_chain(ops, p, r);
    }
    if (is(workload, "c5a") || is(workload, "c5b")) {
        return wl_deferred(ops, workload[2] == 'b', p, r);
    }
    if (is(workload, "c6pp")) {
        return wl_pingpong(ops, p, r);
    }
    if (is(workload, "c6tp")) {
        return wl_flood(ops, p, r);
    }
    if (is(workload, "c7")) {
        return wl_timers(ops, p, r);
    }
    if (is(workload, "c7w")) {
        return wl_wait(ops, p, r);
    }
    if (is(workload, "c8")) {
        return wl_fdops(ops, p, r);
    }
    if (is(workload, "echo")) {
        return wl_echo(ops, p, r);
    }
    return wl_fixed(ops, workload, p, r);
}
