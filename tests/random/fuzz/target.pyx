# libFuzzer's entry point: each input is a program for the driver, whose trace is checked.
# A disagreement is printed and ends the process, so that the input is kept; one that does not
# come again is noted beside the others (found/once-*.txt), and the fuzzing goes on.

from libc.stdint cimport uint8_t
from libc.stdlib cimport abort

import os
import sys
import traceback
from pathlib import Path

import driver
import loop_model
import qemu_mainloop

cdef extern from *:
    """
    #include <stddef.h>
    #include <stdint.h>
    /* From the preloaded fuzzer. */
    extern int LLVMFuzzerRunDriver(int *argc, char ***argv,
                                   int (*one)(const uint8_t *data, size_t size));
    """
    int LLVMFuzzerRunDriver(int *argc, char ***argv,
                            int (*one)(const uint8_t *data, size_t size) noexcept) nogil

run = driver.run
check = loop_model.check
names = driver.EVENT_NAMES
found = Path(os.environ["RANDOM_FOUND"])


cdef int one(const uint8_t *data, size_t size) noexcept:
    cdef bytes program = data[:size]
    try:
        check(run(program), names)
    except BaseException:
        story = traceback.format_exc()
        try:
            check(run(program), names)
        except BaseException:
            sys.stderr.write(story)
            sys.stderr.flush()
            abort()
        (found / f"once-{program.hex()[:64]}.txt").write_text(f"{program.hex()}\n{story}")
    return 0


def main(list arguments):
    """Run the fuzzer with these command-line arguments, the first of which is a name."""
    cdef char *argv[64]
    cdef char **where = argv
    cdef int argc = len(arguments)
    cdef int i
    encoded = [argument.encode() for argument in arguments]
    for i in range(argc):
        argv[i] = encoded[i]
    argv[argc] = NULL
    qemu_mainloop.main_loop()
    return LLVMFuzzerRunDriver(&argc, &where, one)
