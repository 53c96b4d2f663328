"""The size of the signal set was given to syscall() as an int.

It is the seventh argument there and lies on the stack, where an int has four bytes and the
kernel reads eight.  gcc happens to clear the others; with clang a sleep that takes the signal
mask failed with EINVAL, depending on what was on the stack before.
"""

import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

static size_t width;
#define syscall(number, ep, events, max, timeout, mask, size) (width = sizeof (size), 0)
#include "qemu_mainloop/_sys/linux.h"

int main(void)
{
    EpollEvent event;
    sigset_t mask;

    sigemptyset(&mask);
    epoll_wait_ns(0, &event, 1, 1, &mask);
    return width == sizeof (size_t) ? 0 : 1;
}
"""


def test_the_size_of_the_signal_set_is_as_wide_as_the_kernel_reads(tmp_path):
    source, program = tmp_path / "width.c", tmp_path / "width"
    source.write_text(PROGRAM)
    compiler = os.environ.get("CC", "cc").split()
    subprocess.run([*compiler, "-w", f"-I{ROOT}", str(source), "-o", str(program)],
                   check=True, timeout=60)
    assert subprocess.run([str(program)], timeout=60).returncode == 0
