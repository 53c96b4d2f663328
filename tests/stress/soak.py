"""Everything that the stress tests do, at a time and for as long as one likes.

    soak.py [MINUTES] [--seed N]

A process of its own runs the scenarios in several threads, which its parent watches: what
crashes, hangs, loses something or grows ends with a status that is not 0, and nothing is left
behind.  Every few seconds all threads pause; then descriptors, threads and memory must be what
they were after the warm-up.  Ctrl-C ends it early, with the same checks.
"""

import argparse
import collections
import faulthandler
import gc
import importlib
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).parent
SEASON_S = 5                     # between two pauses
HANG_S = 90                      # a scenario takes a second or two
MOST_GROWTH = {"malloc": 1 << 20, "rss": 16 << 20}
VIOLATION, HANG, CRASH = 1, 3, 4


# ---- scenarios: each is given a random.Random and gives counts

def scenarios(fdmons):
    """({name: scenario} for the main loop, one at a time; {…} for any number at a time)."""
    contention, descriptors, lives, races, storm = (
        importlib.import_module(f"stress_kit.{name}")
        for name in ("contention", "descriptors", "lives", "races", "storm"))
    python = importlib.import_module("soak_python")

    def a_seed(draw):
        return draw.randrange(2**32)

    main = {
        "storm on the main loop": lambda draw: storm.storm(
            a_seed(draw), 700, "main", fdmons[0], draw.randint(2, 6), draw.random() < 0.5),
        "contention": lambda draw: python.contention(contention.Contest(a_seed(draw)), 500),
        "main loop in Python": lambda draw: python.main_loop_turns(draw, 30),
    }
    any_number = {
        "storm": lambda draw: storm.storm(
            a_seed(draw), 700, draw.choice(["own", "hosted"]), draw.choice(fdmons),
            draw.randint(2, 8), draw.random() < 0.5),
        "wake against sleep": lambda draw: races.wake_against_sleep(
            a_seed(draw), 20_000, draw.choice(["notify", "schedule", "oneshot", "timer"]),
            draw.choice(fdmons), draw.randint(1, 3)),
        "notify inside notify": lambda draw: races.notify_inside_notify(
            a_seed(draw), 1_000, draw.choice(fdmons)),
        "stop against start": lambda draw: races.stop_against_start(a_seed(draw), 3_000),
        "contexts": lambda draw: lives.lives(a_seed(draw), 500, "contexts"),
        "IOThreads": lambda draw: lives.lives(a_seed(draw), 500, "iothreads"),
        "closed descriptors": lambda draw: descriptors.churn(
            a_seed(draw), 500, draw.choice(["own", "hosted"]), draw.choice(fdmons), False),
        "many descriptors": lambda draw: descriptors.many(
            a_seed(draw), 3_000, 5, draw.choice(fdmons)),
        "run and stop in Python": lambda draw: python.run_and_stop(draw, 200),
        "loops and IOThreads in Python": lambda draw: python.lives(30),
    }
    return main, any_number


class Lane(threading.Thread):
    """Runs one scenario after the other until the season is over."""

    def __init__(self, number, draw, scenarios, until, counts):
        super().__init__(name=f"lane {number}", daemon=True)
        self.draw, self.scenarios, self.until, self.counts = draw, scenarios, until, counts
        self.doing, self.error = None, None

    def run(self):
        while time.monotonic() < self.until and self.error is None:
            self.doing = self.draw.choice(list(self.scenarios))
            try:
                for name, n in self.scenarios[self.doing](self.draw).items():
                    if name.startswith(("longest", "most")):
                        self.counts[name] = max(self.counts[name], n)
                    else:
                        self.counts[name] += n
            except Exception as error:
                self.error = f"{self.doing}: {type(error).__name__}: {error}"


# ---- what must not grow

def measure():
    """Bytes that malloc() gave out, resident bytes, descriptors, threads."""
    kit = importlib.import_module("kit")
    gc.collect()
    resident = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    return {"malloc": kit.bytes_in_use(), "rss": resident,
            "descriptors": len(os.listdir("/proc/self/fd")), "threads": len(
                os.listdir("/proc/self/task"))}


def measure_after(base):
    """The same, once the threads that have ended are gone for the kernel, too."""
    until = time.monotonic() + 10
    now = measure()
    while base is not None and now["threads"] != base["threads"] and time.monotonic() < until:
        time.sleep(0.01)
        now = measure()
    return now


def grown(base, now):
    """What has grown, in words; None: nothing."""
    for name, most in MOST_GROWTH.items():
        if now[name] > base[name] + most:
            return f"{name} grew from {base[name]} to {now[name]} bytes"
    for name in ("descriptors", "threads"):
        if now[name] != base[name]:
            return f"{name}: {now[name]} instead of {base[name]}"
    return None


def say(begin, counts, now):
    figures = ", ".join(f"{name} {n:,}" for name, n in sorted(counts.items()))
    print(f"[{time.monotonic() - begin:6.0f} s] rss {now['rss'] / 2**20:.1f} MB, malloc"
          f" {now['malloc'] / 2**20:.2f} MB, {now['descriptors']} descriptors,"
          f" {now['threads']} threads; {figures}", flush=True)


# ---- the working process

def season(number, seed, main, any_number, counts):
    """Runs the lanes; what went wrong, or None."""
    until = time.monotonic() + SEASON_S
    draws = [random.Random(f"{seed} {number} {lane}") for lane in range(3)]
    lanes = [Lane(i, draw, any_number if i else main, until, counts)
             for i, draw in enumerate(draws)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join(SEASON_S + HANG_S)
        if lane.is_alive():
            print(f"HANG: {lane.doing}, season {number}, seed {seed}", flush=True)
            show_stacks()
            os._exit(HANG)
    return next((lane.error for lane in lanes if lane.error), None)


def show_stacks():
    faulthandler.dump_traceback()
    try:
        subprocess.run(["gdb", "-batch", "-p", str(os.getpid()), "-ex", "thread apply all bt"],
                       stdin=subprocess.DEVNULL, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        pass                     # no gdb here


def work(minutes, seed):
    import qemu_mainloop as q

    faulthandler.enable()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    q.main_loop()
    interrupted = []
    signal.signal(signal.SIGINT, lambda signo, frame: interrupted.append(signo))
    main, any_number = scenarios(list(q.fdmons()))
    counts = collections.Counter()
    first = measure()
    warm = dict(first)
    begin, number, base = time.monotonic(), 0, None
    warm_up_s = min(60, minutes * 60 / 4)
    while time.monotonic() - begin < minutes * 60 and not interrupted:
        wrong = season(number, seed, main, any_number, counts)
        now = measure_after(base)
        say(begin, counts, now)
        if wrong is None and base is not None:
            wrong = grown(base, now)
        if wrong is not None:
            print(f"VIOLATION: {wrong}, season {number}, seed {seed}", flush=True)
            return VIOLATION
        if base is None:
            warm = {name: max(warm[name], now[name]) for name in MOST_GROWTH}
            if time.monotonic() - begin >= warm_up_s:
                base = {**first, **warm}
        number += 1
    print(f"{'interrupted' if interrupted else 'done'}: {number} seasons, seed {seed},"
          f" nothing lost, nothing grown", flush=True)
    return 128 + signal.SIGINT if interrupted else 0


# ---- the process that watches

def watch(minutes, seed, site):
    """Runs the worker in a session of its own, so that all of it can be ended."""
    print(f"seed {seed}, {minutes:g} minutes", flush=True)
    environment = {**os.environ, "STRESS_KIT": str(site)}
    worker = subprocess.Popen(
        [sys.executable, __file__, str(minutes), "--seed", str(seed), "--work"],
        env=environment, start_new_session=True)
    asked = []

    def stop(signo, frame):
        asked.append(signo)
        worker.send_signal(signal.SIGINT)

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    try:
        status = worker.wait(minutes * 60 + 4 * HANG_S)
        if status < 0:
            print(f"CRASH: {signal.Signals(-status).name}, seed {seed}", flush=True)
            status = CRASH
    except subprocess.TimeoutExpired:
        print(f"HANG: it does not end, seed {seed}", flush=True)
        status = HANG
    finally:
        try:
            os.killpg(worker.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass                 # nobody is left
        worker.wait()
    return status


def main():
    parser = argparse.ArgumentParser(description="Stresses the installed qemu_mainloop.")
    parser.add_argument("minutes", nargs="?", type=float, default=10)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    parser.add_argument("--work", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sys.path.insert(0, str(HERE))
    if options.work:
        sys.path.insert(0, os.environ["STRESS_KIT"])
        return work(options.minutes, options.seed)
    if os.environ.get("STRESS_KIT"):
        return watch(options.minutes, options.seed, os.environ["STRESS_KIT"])
    with tempfile.TemporaryDirectory() as scratch:
        site = importlib.import_module("kit").build(scratch)
        return watch(options.minutes, options.seed, site)


if __name__ == "__main__":
    sys.exit(main())
