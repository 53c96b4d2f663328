/*
 * host.c - ./host [-v VARIANT] CONTESTANT.so WORKLOAD [key=value...]
 *          ./host limits WHAT [key=value...]
 * Loads one contestant privately (RTLD_LOCAL: libev and libevent share symbol
 * names), runs one workload, prints one JSON object on stdout.
 */
#include <dlfcn.h>
#include <sys/resource.h>
#include <unistd.h>

#include "util.h"

static void parse(struct wl_params *p, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        char *eq = strchr(argv[i], '=');
        if (!eq) {
            continue;
        }
        *eq = 0;
        if (!strcmp(argv[i], "n")) {
            p->n = atoi(eq + 1);
        } else if (!strcmp(argv[i], "a")) {
            p->a = atoi(eq + 1);
        } else if (!strcmp(argv[i], "w")) {
            p->w = atoi(eq + 1);
        } else if (!strcmp(argv[i], "k")) {
            p->k = atoi(eq + 1);
        } else if (!strcmp(argv[i], "slices")) {
            p->slices = atoi(eq + 1);
        } else if (!strcmp(argv[i], "slice_ms")) {
            p->slice_ms = atof(eq + 1);
        } else if (!strcmp(argv[i], "pin")) {
            wl_set_pinning(atoi(eq + 1));
        }
    }
}

static void print(const char *name, const char *version,
                  const struct wl_result *r)
{
    struct rusage ru;

    getrusage(RUSAGE_SELF, &ru);
    printf("{\"contestant\": \"%s\", \"version\": \"%s\", \"ok\": %d, "
           "\"note\": \"%s\", \"nivcsw\": %ld, \"cpu_s\": %.6f, "
           "\"metrics\": {",
           name, version, r->ok, r->note, ru.ru_nivcsw,
           ru.ru_utime.tv_sec + ru.ru_stime.tv_sec +
           1e-6 * (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec));
    for (int i = 0; i < r->n; i++) {
        printf("%s\"%s\": %.4f", i ? ", " : "", r->m[i].name, r->m[i].value);
    }
    printf("}}\n");
}

static bench_ops_fn find_contestant(const char *file)
{
    void *so = dlopen(file, RTLD_NOW | RTLD_LOCAL);

    if (!so) {
        fprintf(stderr, "%s\n", dlerror());
        return NULL;
    }
    return (bench_ops_fn)dlsym(so, "bench_ops");
}

int main(int argc, char **argv)
{
    struct wl_params p = { .n = 1, .a = 100, .w = 1000, .k = 1,
                           .slices = 3, .slice_ms = 10 };
    struct wl_result r;
    const char *variant = "";
    const struct loop_ops *ops;
    bench_ops_fn get;

    if (argc > 2 && !strcmp(argv[1], "-v")) {
        variant = argv[2];
        argc -= 2;
        argv += 2;
    }
    if (argc < 3) {
        fprintf(stderr, "usage: host [-v VARIANT] FILE.so WORKLOAD [k=v...]\n"
                        "       host limits WHAT [k=v...]\n");
        return 2;
    }
    alarm(600);                                /* no process left behind */
    parse(&p, argc - 3, argv + 3);
    if (!strcmp(argv[1], "limits")) {
        limits_run(argv[2], &p, &r);
        print("limits", "", &r);
        return r.ok < 0;
    }
    get = find_contestant(argv[1]);
    ops = get ? get(variant) : NULL;
    if (!ops) {
        fprintf(stderr, "%s: no bench_ops for variant '%s'\n", argv[1],
                variant);
        return 2;
    }
    wl_run(ops, argv[2], &p, &r);
    print(ops->name, ops->version ? ops->version() : "", &r);
    fflush(stdout);
    _exit(r.ok < 0);                           /* skip the loops' atexits */
}
