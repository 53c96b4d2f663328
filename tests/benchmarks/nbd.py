#!/usr/bin/env python3
"""The NBD export of docs/examples beside nbdkit's memory plugin and qemu-nbd, same clients.

    nbd.py [--reps 3] [--seconds 2] [--results FILE]

Each server has a RAM disk (qemu-nbd: a file on tmpfs) and a UNIX socket.  fio reads and
writes over one connection for a fixed time, nbdcopy reads everything over four.  A cell is
the median of the repetitions, in which the servers follow each other in a rotated order:
requests a second, and the server's processor time for each request.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIZE_MIB = 256
TICK_NS = 10**9 // os.sysconf("SC_CLK_TCK")

# label -> fio's (rw, block size, depth); None: nbdcopy.
CELLS = {
    "4 KiB random read, depth 1": ("randread", "4k", 1),
    "4 KiB random read, depth 32": ("randread", "4k", 32),
    "4 KiB random write, depth 1": ("randwrite", "4k", 1),
    "4 KiB random write, depth 32": ("randwrite", "4k", 32),
    "64 KiB sequential read, depth 1": ("read", "64k", 1),
    "64 KiB sequential read, depth 32": ("read", "64k", 32),
    "64 KiB sequential write, depth 32": ("write", "64k", 32),
    "1 MiB sequential read, depth 32": ("read", "1m", 32),
    "1 MiB sequential write, depth 32": ("write", "1m", 32),
    "nbdcopy, 256 KiB, 4 connections of depth 64": None,
}


def servers(image):
    """name -> command for a socket."""
    return {
        "nbd_export": lambda s: [sys.executable, "-m", "nbd_export", "--size", f"{SIZE_MIB}M",
                                 "--unix", s],
        "nbdkit memory": lambda s: ["nbdkit", "-f", "-U", s, "memory", f"{SIZE_MIB}M"],
        "qemu-nbd": lambda s: ["qemu-nbd", "-t", "-e", "8", "-f", "raw", "-k", s, image],
    }


@contextlib.contextmanager
def serving(command, socket):
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while not Path(socket).exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} does not serve")
            time.sleep(0.01)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(20)


def processor_ns(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_NS


def fill(uri):
    """Memory that was never written costs no copying."""
    subprocess.run(["nbdcopy", "--connections=1", "-", uri],
                   input=os.urandom(1 << 20) * SIZE_MIB, check=True)


def load(uri, cell, seconds):
    """How many requests were made in how many seconds."""
    if cell is None:
        begin = time.monotonic()
        subprocess.run(["nbdcopy", "--connections=4", "--requests=64", "--request-size=262144",
                        uri, "null:"], check=True)
        return SIZE_MIB * 4, time.monotonic() - begin
    rw, size, depth = cell
    out = subprocess.run(
        ["fio", "--name=job", "--ioengine=nbd", f"--uri={uri}", f"--rw={rw}", f"--bs={size}",
         f"--iodepth={depth}", f"--size={SIZE_MIB}M", "--time_based", f"--runtime={seconds}",
         "--randrepeat=1", "--output-format=json"],
        check=True, capture_output=True, text=True).stdout
    job = json.loads(out[out.index("{"):])["jobs"][0]
    side = job["write" if "write" in rw else "read"]
    return side["total_ios"], side["runtime"] / 1000


def measure(command, cell, seconds):
    with tempfile.TemporaryDirectory() as folder:
        socket = f"{folder}/socket"
        with serving(command(socket), socket) as process:
            uri = f"nbd+unix:///?socket={socket}"
            fill(uri)
            before = processor_ns(process.pid)
            requests, took = load(uri, cell, seconds)
            used = processor_ns(process.pid) - before
    return requests / took, used / requests


def table(results, names):
    lines = ["| load | " + " | ".join(f"{n}: 1/s | CPU, us" for n in names) + " |",
             "|---|" + "---:|---:|" * len(names)]
    for label, row in results.items():
        cells = []
        for name in names:
            rates, costs = zip(*row[name], strict=True)
            rate = f"{statistics.median(rates):,.0f}".replace(",", " ")
            cells.append(f"{rate} | {statistics.median(costs) / 1000:.2f}")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--results", type=Path, help="also as JSON")
    args = parser.parse_args()
    results = {label: {} for label in CELLS}
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        image = f"{folder}/image"
        with open(image, "wb") as f:
            f.truncate(SIZE_MIB << 20)
        commands = servers(image)
        names = list(commands)
        for rep in range(args.reps):
            for label, cell in CELLS.items():
                for name in names[rep % len(names):] + names[:rep % len(names)]:
                    result = measure(commands[name], cell, args.seconds)
                    results[label].setdefault(name, []).append(result)
                    print(f"{label}, {name}: {result[0]:.0f}/s {result[1] / 1000:.2f} us",
                          file=sys.stderr)
    if args.results:
        args.results.write_text(json.dumps(results, indent=1))
    print(table(results, names))


if __name__ == "__main__":
    main()
