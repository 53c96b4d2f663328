#!/usr/bin/env python3
"""Runs every contestant through every workload, interleaved, and reports.

    run.py [--reps 9] [--groups limits,C1,…,P5] [--only NAME,…] [--results FILE] [--out FOLDER]
    run.py --quick              a few cells once: does the harness still work?
    run.py --from RUN.json…     tables and plots from saved runs, later ones win

One process per (repetition, row, contestant); within a repetition the contestants of a row
follow each other in a rotated order, so that a slow minute hits them alike.  A cell is the
median over the repetitions.  Where threads wait for each other (wall-clock rows) a measurement
is repeated when other processes took CPU time meanwhile.
"""

import argparse
import json
import os
import platform
import sys
import time

import report
from contestants import (
    BIG_MALLOC,
    BUILD,
    C_HOST,
    CONTESTANTS,
    PY_BENCH,
    PY_CONTESTANTS,
    PY_ONLY_IN,
    is_ours,
)
from measure import measure, run_c_echo, wait_quiet
from rows import EVERY_GROUP, LIMITS, PY_ROWS, ROWS

QUICK_GROUPS = ["C2e", "P1"]
QUICK_ONLY = {"bare-epoll", "bare-python", "asyncio", "qemu_mainloop", "qemu_mainloop-new"}


def pairs(params):
    return [f"{k}={v}" for k, v in params.items()]


def once(cells):
    """Columns that come from the same measurement are one job."""
    seen = []
    for cell in cells:
        if cell not in seen:
            seen.append(cell)
    return seen


# A job is (group, cell, contestant, command, wall clock?).

def limit_jobs():
    for what in LIMITS:
        yield "limits", what, "limits", [C_HOST, "limits", what], what.startswith("rt_")


def c_jobs(group, only):
    _title, workload, columns, wall = ROWS[group]
    for params in once(params for _label, params, _metric in columns):
        for name, contestant in CONTESTANTS.items():
            if group in contestant["groups"] and (not only or name in only):
                yield (group, json.dumps(params), name,
                       contestant["argv"] + [workload] + pairs(params), wall)


def python_jobs(group, only):
    _title, columns, wall = PY_ROWS[group]
    env = BIG_MALLOC if group == "P5m" else []
    for workload, params in once((w, params) for _label, w, params, _metric in columns):
        for name, (module, variant) in PY_CONTESTANTS.items():
            if only and name not in only or group not in PY_ONLY_IN.get(name, {group}):
                continue
            if group == "P0" and name != "bare-python":
                continue
            yield (group, json.dumps([workload, params]), name,
                   [*env, sys.executable, PY_BENCH, f"{module}:{variant}", workload,
                    *pairs(params)], wall)
    if group in ("P5", "P5m") and not only:
        yield group, json.dumps(["p5", {"kind": "callbacks"}]), report.C_ECHO, "echo", wall


def jobs_for(groups, only):
    for group in groups:
        if group == "limits":
            yield from limit_jobs()
        elif group in ROWS:
            yield from c_jobs(group, only)
        else:
            yield from python_jobs(group, only)


def rotate_rows(jobs, rep):
    """The jobs row by row, each row's contestants rotated by rep."""
    rows = {}
    for job in jobs:
        rows.setdefault(job[:2], []).append(job)
    out = []
    for row in rows.values():
        shift = rep % len(row)
        out += row[shift:] + row[:shift]
    return out


def run_job(command, wall):
    if command == "echo":
        wait_quiet(20)
        return run_c_echo()
    return measure(command, wall)


def run_all(groups, reps, only):
    jobs = list(jobs_for(groups, only))
    cells, versions, skipped = {}, {}, set()
    started = time.time()
    for rep in range(reps):
        order = rotate_rows(jobs, rep)
        for done, (group, cell, name, command, wall) in enumerate(order):
            key = (group, cell, name)
            if key in skipped:
                continue
            result = run_job(command, wall)
            entry = cells.setdefault(key, {"values": {}, "notes": [], "foreign": [],
                                           "failed": 0})
            entry["foreign"].append(result.get("foreign"))
            if result["ok"] == 0:
                skipped.add(key)
            entry["failed"] += result["ok"] < 0
            if result["note"]:
                entry["notes"].append(result["note"])
            if result.get("version"):
                versions[name] = result["version"]
            for metric, value in result["metrics"].items():
                entry["values"].setdefault(metric, []).append(value)
            if sys.stderr.isatty() or done % 50 == 0:
                print(f"rep {rep + 1}/{reps} job {done + 1}/{len(order)} "
                      f"{time.time() - started:.0f} s {group} {name}",
                      file=sys.stderr, flush=True)
    return cells, versions


def machine():
    model = ""
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return {"cpu": model, "cores": os.cpu_count(), "kernel": platform.release(),
            "libc": platform.libc_ver()[1], "python": platform.python_version(),
            "date": time.strftime("%Y-%m-%d %H:%M:%S")}


def save(path, cells, versions, reps):
    data = {"machine": machine(), "reps": reps, "versions": versions,
            "cells": [{"group": g, "cell": c, "contestant": n, **entry}
                      for (g, c, n), entry in cells.items()]}
    with open(path, "w") as f:
        json.dump(data, f, indent=1)


def load(paths):
    """The cells of all, and the machine and the versions of the last."""
    cells, versions, data = {}, {}, {}
    for path in paths:
        with open(path) as f:
            data = json.load(f)
        versions.update(data["versions"])
        for entry in data["cells"]:
            cells[(entry["group"], entry["cell"], entry["contestant"])] = entry
    return cells, versions, data


def failures(cells):
    """The cells in which a contestant failed, rather than having no such thing."""
    return [key for key, entry in cells.items() if entry.get("failed")]


def arguments():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--reps", type=int, default=9)
    ap.add_argument("--groups", default=",".join(EVERY_GROUP))
    ap.add_argument("--only", default="")
    ap.add_argument("--out", default=BUILD, help="the folder for results.json, tables.md, plots")
    ap.add_argument("--results", help="the figures, if not results.json of that folder")
    ap.add_argument("--least", action="store_true",
                    help="tables of the best repetition, not the median")
    ap.add_argument("--quick", action="store_true", help="a few cells, once")
    ap.add_argument("--from", dest="source", nargs="+", metavar="RUN.json",
                    help="tables and plots from saved runs, measure nothing")
    args = ap.parse_args()
    args.groups = [group for group in args.groups.split(",") if group]
    args.only = {name for name in args.only.split(",") if name}
    if args.quick:
        args.groups, args.only, args.reps = QUICK_GROUPS, QUICK_ONLY, 1
    if unknown := set(args.groups) - set(EVERY_GROUP):
        ap.error(f"no such group: {', '.join(sorted(unknown))}")
    if unknown := args.only - {*CONTESTANTS, *PY_CONTESTANTS}:
        ap.error(f"no such contestant: {', '.join(sorted(unknown))}")
    return args


def main():
    args = arguments()
    os.makedirs(args.out, exist_ok=True)
    results = args.results or os.path.join(
        args.out, "quick.json" if args.quick else "results.json")
    if args.source:
        cells, versions, data = load(args.source)
    else:
        cells, versions = run_all(args.groups, args.reps, args.only)
        save(results, cells, versions, args.reps)
        data = {"machine": machine(), "reps": args.reps}
    pick = report.least if args.least else report.middle
    text = report.whole(cells, versions, data, pick)
    print(text)
    failed = failures(cells)
    for key in failed:
        print(*key, cells[key]["notes"][:1], "FAILED", file=sys.stderr)
    if not args.quick:
        with open(os.path.join(args.out, "tables.md"), "w") as f:
            f.write(text)
        import plots  # needs matplotlib, which measuring does not
        plots.draw(cells, os.path.join(args.out, "plots"), pick)
    return any(args.quick or is_ours(name) for _group, _cell, name in failed)


if __name__ == "__main__":
    sys.exit(main())
