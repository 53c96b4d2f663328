#!/usr/bin/env python3
"""Python workloads P0..P5: one contestant, one workload, one process.

    pybench.py CONTESTANT[:VARIANT] WORKLOAD [key=value...]

CONTESTANT is a module of loops/, without its underscore (see loops/base.py).  Workloads:
    p0      no loop: a call of a Python function from C, a socket send + recv
    p1      chain of deferred callbacks, one per iteration
    p1b     k callbacks per iteration
    p2      ping-pong of deferred callbacks between two loops in two threads
    p3      add_reader ping-pong over a socketpair
    p4      n call_later, cancel all
    p5      echo server, kind=..., against the load of echo_client.c
Prints one JSON object: nanoseconds per operation, or messages per second.
"""
import collections
import functools
import gc
import importlib
import itertools
import json
import os
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("BENCH_BUILD") or os.path.join(HERE, "..", "..", "..", "build", "bench")
MAIN_CPU, PEER_CPU = 1, 0


def pin(cpu):
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError:
        pass


def timed(loop, clock, body, slice_ms, slices):
    """body(count, done) works through count operations and calls done().

    Grows the count until a slice takes slice_ms, then returns the median of
    the slices in nanoseconds per operation.
    """
    state = {"count": 64, "values": [], "t0": 0, "warm": True}

    def start():
        state["t0"] = clock()
        body(state["count"], done)

    def done():
        took = clock() - state["t0"]
        if state["warm"]:
            if took < slice_ms * 5e5 and state["count"] < 1 << 26:
                state["count"] *= 8 if took < slice_ms * 3e4 else 2
            else:
                state["warm"] = False
        else:
            state["values"].append(took / state["count"])
        if len(state["values"]) < slices:
            loop.call_soon(start)
        else:
            loop.stop()

    loop.run(start)
    return statistics.median(state["values"])


def p0(make, opt):
    """The floor: no loop at all."""
    count = 200000
    a, b = socket.socketpair()
    calls, pairs = [], []

    def nothing():
        pass

    for _ in range(opt["slices"]):
        args = itertools.repeat((), count)
        t0 = time.thread_time_ns()
        collections.deque(itertools.starmap(nothing, args), maxlen=0)
        calls.append((time.thread_time_ns() - t0) / count)
        send, recv = a.send, b.recv
        t0 = time.thread_time_ns()
        for _ in range(count // 20):
            send(b"x")
            recv(64)
        pairs.append((time.thread_time_ns() - t0) / (count // 20))
    return make(), {"call": statistics.median(calls),
                    "send_recv": statistics.median(pairs)}


def p1(make, opt):
    loop = make()

    def body(count, done):
        call_soon = loop.call_soon

        def step():
            nonlocal count
            count -= 1
            if count:
                call_soon(step)
            else:
                done()

        call_soon(step)

    def body_again(count, done):
        """As above, by a loop whose deferred callback is an object to schedule again."""
        def step():
            nonlocal count
            count -= 1
            if count:
                schedule()
            else:
                done()

        schedule = loop.again(step)
        schedule()

    return loop, {"callback": timed(loop, time.thread_time_ns,
                                    body_again if loop.again else body,
                                    opt["slice_ms"], opt["slices"])}


def p1b(make, opt):
    loop = make()
    batch = opt["k"]

    def body(count, done):
        call_soon = loop.call_soon
        left = count

        def one():
            nonlocal left
            left -= 1
            if not left:
                done()

        def refill():
            todo = min(batch, left)
            for _ in range(todo):
                call_soon(one)
            if todo < left:
                call_soon(refill)

        refill()

    pool = []
    left = 0
    finished = refill_again = None

    def body_again(count, done):
        """As above, with as many objects as there are callbacks in an iteration."""
        nonlocal left, finished, refill_again
        left, finished = count, done
        if not pool:
            pool.extend(loop.again(one) for _ in range(batch))
            refill_again = loop.again(refill)
        refill()

    def one():
        nonlocal left
        left -= 1
        if not left:
            finished()

    def refill():
        todo = min(batch, left)
        for schedule in itertools.islice(pool, todo):
            schedule()
        if todo < left:
            refill_again()

    return loop, {"callback": timed(loop, time.thread_time_ns,
                                    body_again if loop.again else body,
                                    opt["slice_ms"], opt["slices"])}


def p2(make, opt):
    a = make()
    box = {}
    ready = threading.Event()

    def second():
        pin(PEER_CPU)
        b = box["b"] = make()

        def main():
            box["send_b"] = b.call_soon_threadsafe
            ready.set()

        b.run(main)

    def body(count, done):
        send_a, send_b = a.call_soon_threadsafe, box["send_b"]

        def at_b():
            send_a(at_a)

        def at_a():
            nonlocal count
            count -= 1
            if count:
                send_b(at_b)
            else:
                done()

        send_b(at_b)

    def body_again(count, done):
        def at_b():
            to_a()

        def at_a():
            nonlocal count
            count -= 1
            if count:
                to_b()
            else:
                done()

        to_a, to_b = a.again(at_a), box["b"].again(at_b)
        to_b()

    thread = threading.Thread(target=second, daemon=True)
    thread.start()
    ready.wait(20)
    value = timed(a, time.monotonic_ns, body_again if a.again else body, opt["slice_ms"],
                  opt["slices"])
    box["send_b"](box["b"].stop)
    thread.join(5)
    return a, {"round_trip": value}


def p3(make, opt):
    loop = make()
    left_sock, right_sock = socket.socketpair()
    left_sock.setblocking(False)
    right_sock.setblocking(False)
    current = {}

    def echo():
        right_sock.send(right_sock.recv(64))

    def back():
        left_sock.recv(64)
        current["left"] -= 2
        if current["left"] > 0:
            left_sock.send(b"x")
        else:
            current["done"]()

    def body(count, done):
        if not current:
            loop.add_reader(left_sock.fileno(), back)
            loop.add_reader(right_sock.fileno(), echo)
        current.update(left=count, done=done)
        left_sock.send(b"x")

    return loop, {"callback": timed(loop, time.thread_time_ns, body,
                                    opt["slice_ms"], opt["slices"])}


def p4(make, opt):
    loop = make()
    n = opt["n"]
    if loop.call_later is None:
        return loop, None
    rng = random.Random(1)
    delays = [loop.delay(1000 + rng.random() * 1000) for _ in range(n)]
    passes = max(3, min(200, 30000 // n))
    adds, cancels = [], []
    clock = time.thread_time_ns
    state = {}

    def nothing():
        pass

    def go():
        later, cancel = loop.call_later, loop.cancel
        t0 = clock()
        handles = [later(d, nothing) for d in delays]
        t1 = clock()
        for handle in handles:
            cancel(handle)
        del handles
        state.update(t0=t0, t1=t1)
        loop.call_soon(after)          # lazy cancellation is paid by then

    def after():
        t2 = clock()
        adds.append((state["t1"] - state["t0"]) / n)
        cancels.append((t2 - state["t1"]) / n)
        if len(adds) < passes:
            loop.call_soon(go)
        else:
            loop.stop()

    loop.run(go)
    return loop, {"add": statistics.median(adds[1:]),
                  "cancel": statistics.median(cancels[1:])}


def p5(make, opt):
    loop = make()
    kind = opt["kind"]
    if kind not in loop.serve_kinds:
        return loop, None
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    client = subprocess.Popen(
        [os.path.join(BUILD, "echo_client"), str(port), "10",
         "1024", "200", str(opt["run_ms"])],
        stdout=subprocess.PIPE)
    out = {}

    def watch():
        text, _ = client.communicate()
        out["text"] = text
        loop.call_soon_threadsafe(loop.stop)

    def main():
        loop.serve(kind, port)
        threading.Thread(target=watch, daemon=True).start()

    cpu = time.process_time()
    try:
        loop.run(main)
    finally:
        if client.poll() is None:
            client.kill()
            client.wait()
    cpu = time.process_time() - cpu
    metrics = json.loads(out["text"])
    metrics["server_us"] = cpu * 1e6 / metrics["msgs"]
    return loop, metrics


def main():
    contestant, workload = sys.argv[1:3]
    contestant, _, variant = contestant.partition(":")
    opt = {"n": 1000, "k": 1000, "slices": 3, "slice_ms": 30.0,
           "run_ms": 800, "kind": ""}
    for item in sys.argv[3:]:
        key, value = item.split("=")
        opt[key] = type(opt[key])(value)
    signal.alarm(120)
    pin(MAIN_CPU)
    try:
        module = importlib.import_module(f"loops.{contestant}_")
    except ModuleNotFoundError as error:
        # one of the libraries, which need not all be to be had for this Python
        if error.name.startswith("loops"):
            raise
        print(json.dumps({"contestant": contestant, "ok": 0, "note": "not installed",
                          "metrics": {}}))
        return
    make = functools.partial(module.make, variant) if variant else module.make
    gc.collect()
    gc.freeze()
    loop, metrics = globals()[workload](make, opt)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"contestant": loop.name, "version": loop.version,
                      "ok": int(metrics is not None), "note": "",
                      "nivcsw": usage.ru_nivcsw, "metrics": metrics or {}}))
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
