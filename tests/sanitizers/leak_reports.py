"""Reads the reports of a run of `.ci/sanitize leak`: which of them count.

usage: leak_reports.py DIRECTORY.  A block that leaked counts if the stack of its allocation
has a frame in one of our modules, or in a module that the tests compile: CPython leaves blocks
of its own behind when a process ends.  What is no leak at all counts, too.
"""

import re
import sys
from pathlib import Path

LEAK = re.compile(r"(Direct|Indirect) leak of ")
OURS = re.compile(r"qemu_mainloop|probe_|foreign_|stress_kit")
# What a report of leaks consists of besides its records.
FRAME = re.compile(r"=+$|==\d+==ERROR: LeakSanitizer: |SUMMARY: AddressSanitizer: .* leaked in ")


def that_count(report):
    """The records of this report that count, and all its leaks: (counting, leaks)."""
    records = [record.strip() for record in re.split(r"\n\s*\n", report) if record.strip()]
    leaks = [record for record in records if LEAK.match(record)]
    other = [record for record in records if not LEAK.match(record)
             and not all(FRAME.match(line) for line in record.splitlines())]
    return other + [leak for leak in leaks if OURS.search(leak)], leaks


def main(directory):
    counting, leaks, processes = [], 0, 0
    for path in sorted(Path(directory).iterdir()):
        here, found = that_count(path.read_text(errors="replace"))
        counting += here
        leaks += len(found)
        processes += 1
    for record in counting:
        print(record, end="\n\n")
    print(f"{leaks} places where blocks leaked, in the reports of {processes} processes; "
          f"{len(counting)} reports count")
    return bool(counting)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
