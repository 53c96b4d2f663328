#!/usr/bin/env python3
"""Instructions per operation of fixed workloads, compared with the committed table.

    instructions.py             compares; the status is not 0 if a row grew by more than 3 %
    instructions.py --update    writes the table anew
    instructions.py --only ROW,…

Counted by callgrind, from what the package does when its C functions are called through their
capsules (c/pyhost.py, c/workloads/fixed.c): one process runs the rows one after another, and
callgrind counts, and writes its counts, only inside the function that does N operations, so that
Python's start and the loop's do not count.  Time does not come into it, nor who else uses the
machine; the compiler does.
"""

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import tomllib

from contestants import BUILD, HERE, OURS, cython_loop
from measure import ENV

TABLE = os.path.join(HERE, "instructions.toml")
COUNT = 5000
COUNTED = "wl_fixed_body"
GROWTH = 0.03       # more is too much
# What each row is, is said in c/workloads/fixed.c.
ROWS = {
    "idle": "a non-blocking iteration, one idle descriptor",
    "ready": "an iteration with one descriptor ready, its callback run",
    "bh": "a bottom half scheduled, and run by an iteration",
    "timer": "a timer armed as due, and fired by an iteration",
    "rearm": "one of 64 armed timers armed anew",
}
# The process is the same each time.
STEADY = {"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}


def measured(rows):
    """{row: instructions per operation}"""
    argv = cython_loop(OURS, "qemu_mainloop", "epoll")["argv"]
    with tempfile.TemporaryDirectory(dir=BUILD) as scratch:
        out = os.path.join(scratch, "callgrind")
        done = subprocess.run(
            ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}",
             f"--toggle-collect={COUNTED}", f"--dump-after={COUNTED}", *argv,
             ",".join(f"fixed_{row}" for row in rows), f"n={COUNT}", "pin=0"],
            env={**ENV, **STEADY}, capture_output=True, text=True, timeout=600)
        if done.returncode:
            sys.exit(f"status {done.returncode}\n{done.stdout}{done.stderr}")
        # callgrind.1, .2, …: one for each leaving of the function, in the order of the rows
        return {row: dumped(f"{out}.{number}") / COUNT
                for number, row in enumerate(rows, start=1)}


def dumped(path):
    with open(path) as f:
        return int(re.search(r"^(?:summary|totals): (\d+)", f.read(), re.MULTILINE)[1])


def surroundings():
    """What the figures depend on besides the sources."""
    import qemu_mainloop  # the installed one: its name says which Python
    compiler = subprocess.run(["cc", "--version"], capture_output=True, text=True).stdout
    return {"compiler": compiler.splitlines()[0], "libc": platform.libc_ver()[1],
            "machine": platform.machine(), "python": platform.python_version(),
            "version": qemu_mainloop.__version__}


def write(figures, where):
    lines = ["# Instructions per operation; written by .ci/instructions --update.", "", "[where]"]
    lines += [f'{key} = "{value}"' for key, value in where.items()]
    lines += ["", "[instructions]"]
    lines += [f"{row} = {value:.1f}    # {ROWS[row]}" for row, value in figures.items()]
    with open(TABLE, "w") as f:
        f.write("\n".join(lines) + "\n")


def compare(figures, table):
    """Prints a line a row; the rows that grew too much."""
    grown = []
    for row, value in figures.items():
        before = table["instructions"].get(row)
        if before is None:
            print(f"{row:8} {value:10.1f}   not in the table")
            continue
        change = value / before - 1
        print(f"{row:8} {value:10.1f}   was {before:10.1f}   {change:+7.1%}   {ROWS[row]}")
        if change > GROWTH:
            grown.append(row)
    return grown


def main():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("--update", action="store_true", help="write the table")
    ap.add_argument("--only", default=",".join(ROWS), help="these rows")
    args = ap.parse_args()
    rows = args.only.split(",")
    if unknown := set(rows) - set(ROWS):
        ap.error(f"no such row: {', '.join(sorted(unknown))}")
    where = surroundings()
    table = {"where": {}, "instructions": {}}
    if os.path.exists(TABLE):
        with open(TABLE, "rb") as f:
            table = tomllib.load(f)
    figures = measured(rows)
    grown = compare(figures, table)
    if args.update:
        write({row: figures.get(row, table["instructions"].get(row))
               for row in ROWS if row in figures or row in table["instructions"]}, where)
        return 0
    for key in ("compiler", "libc", "machine"):
        if table["where"].get(key) != where[key]:
            print(f"The table is from another {key}: {table['where'].get(key)}, "
                  f"here {where[key]}.")
    if grown:
        print(f"More than {GROWTH:.0%} more instructions: {', '.join(grown)}.", file=sys.stderr)
    return bool(grown)


if __name__ == "__main__":
    sys.exit(main())
