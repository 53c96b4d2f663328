"""What is measured: the rows of the C workloads, of the Python workloads, of the machine."""

# group: (title, workload, [(column label, params, metric)], wall clock?)
ROWS = {
    "C1": ("idle iteration, N idle eventfds (ns per iteration)", "c1",
           [(f"N={n}", {"n": n}, "iteration")
            for n in (1, 10, 100, 1000, 10000)], False),
    "C2": ("one of N fds always ready (ns per iteration)", "c2",
           [(f"N={n}", {"n": n}, "iteration")
            for n in (1, 100, 1000, 10000)], False),
    "C2e": ("write one eventfd of N, iterate, read it in the callback "
            "(ns per event)", "c2e",
            [(f"N={n}", {"n": n}, "iteration") for n in (1, 1000)], False),
    "C3": ("all N fds always ready (ns per callback)", "c3",
           [(f"N={n}", {"n": n}, "callback")
            for n in (1, 10, 100, 1000, 10000)], False),
    "C3e": ("write all N eventfds, iterate, read each in its callback "
            "(ns per event)", "c3e",
            [(f"N={n}", {"n": n}, "callback") for n in (100, 1000)], False),
    "C4": ("chain over N pipes, 100 tokens, 1000 cascaded writes "
           "(ns per event, read and write included)", "c4",
           [(f"N={n}", {"n": n, "a": 100, "w": 1000}, "event")
            for n in (100, 1000, 9900)], False),
    "C5a": ("deferred callback, the loop thread's own mechanism, K per "
            "non-blocking iteration (ns per callback)", "c5a",
            [(f"K={k}", {"k": k}, "callback") for k in (1, 1000)], False),
    "C5b": ("deferred callback, the thread-safe mechanism used in the loop "
            "thread, K per iteration (ns per callback)", "c5b",
            [(f"K={k}", {"k": k}, "callback") for k in (1, 1000)], False),
    "C6pp": ("ping-pong between two loop threads on two cores "
             "(ns per round trip)", "c6pp",
             [("round trip", {}, "round_trip")], True),
    "C6tp": ("one producer thread, K handles in turn (ns per call; % of "
             "calls that ran a callback of their own)", "c6tp",
             [("K=1 call", {"n": 200000, "k": 1}, "producer_call"),
              ("K=1 ran %", {"n": 200000, "k": 1}, "callbacks_pct"),
              ("K=1000 call", {"n": 200000, "k": 1000}, "producer_call"),
              ("K=1000 drained", {"n": 200000, "k": 1000}, "drained"),
              ("K=1000 ran %", {"n": 200000, "k": 1000}, "callbacks_pct")],
             True),
    "C7": ("timers (ns per operation)", "c7",
           [(f"{m} N={n}", {"n": n}, m)
            for n in (1000, 100000) for m in ("add", "mod", "del", "fire")],
           False),
    "C7w": ("one timer of 200 us, waited for (ns late)", "c7w",
            [("late", {}, "late")], True),
    "C8": ("fd handler operations beside 1000 others, 500 per iteration "
           "(ns per operation; toggle = two mods that cancel out; life = "
           "eventfd(), add, iterate, del, close())", "c8",
           [(m, {"n": 1000, "k": 500}, m)
            for m in ("add", "mod", "del", "toggle", "life")], False),
    "C9": ("idle iteration, N idle fds whose can_read is asked first "
           "(ns per iteration)", "c9",
           [(f"N={n}", {"n": n}, "iteration")
            for n in (1, 10, 100, 1000, 10000)], False),
}

PY_ROWS = {
    "P0": ("floor: what Python itself costs (ns)",
           [("C calls a Python function", "p0", {}, "call"),
            ("sock.send + sock.recv", "p0", {}, "send_recv")], False),
    "P1": ("callback in the next iteration (ns per callback)",
           [("chain", "p1", {}, "callback"),
            ("1000 per iteration", "p1b", {"k": 1000}, "callback")], False),
    "P2": ("callback from another thread, ping-pong between two loop threads "
           "(ns per round trip)",
           [("round trip", "p2", {}, "round_trip")], True),
    "P3": ("add_reader ping-pong over a socketpair (ns per callback, recv "
           "and send included)",
           [("callback", "p3", {}, "callback")], False),
    "P4": ("call_later (ns per operation)",
           [(f"{m} N={n}", "p4", {"n": n}, m)
            for n in (1000, 100000) for m in ("add", "cancel")], False),
    "P5": ("TCP echo, 10 connections, 1 KiB (messages per second; the "
           "server's CPU time in us per message)",
           [(f"{kind} {label}", "p5", {"kind": kind}, metric)
            for kind in ("callbacks", "protocol", "streams", "greenlets")
            for label, metric in (("msg/s", "msgs_per_s"),
                                  ("CPU", "server_us"))], True),
}
# With an environment of its own: see contestants.BIG_MALLOC.
PY_ROWS["P5m"] = ("P5 with glibc's mmap threshold raised to 4 MiB", PY_ROWS["P5"][1], True)

LIMITS = [
    "clock_gettime", "getppid", "epoll_wait0", "epoll_wait0_1ready",
    "poll0_1fd", "io_uring_enter_empty", "epoll_ctl_mod",
    "epoll_ctl_add_del", "eventfd_write_read", "pipe_write_read",
    "timerfd_settime", "xchg_same_core", "mutex_lock_unlock",
    "rt_xchg_spin", "rt_eventfd_epoll_spin0", "rt_eventfd_epoll_same_core",
    "rt_eventfd_epoll_blocked", "rt_eventfd_read_blocked",
    "rt_futex_blocked", "rt_uring_msg_ring_blocked",
]
HIGHER_IS_BETTER = {"msgs_per_s"}
NO_RATIO = {"callbacks_pct"}

EVERY_GROUP = ["limits", *ROWS, *PY_ROWS]
