"""The quiet ring of the adaptive fdmon where io_uring is not to be had."""

import os
import sys
from ctypes import c_int, c_void_p

import pytest
from c_functions import c_function, c_variable

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="io_uring")

NEVER = 1 << 30                                      # its patience then


def look_in_vain_for_minutes():
    """As many looks that find nothing as there is patience, the most of them skipped."""
    init = c_function("_fdmon.quiet", "quiet_init", None, c_void_p)
    found_nothing = c_function("_fdmon.quiet", "quiet_found_nothing", None, c_void_p, c_int)
    c_variable("_fdmon.quiet", "first_patience", c_int).value = NEVER
    ring = (c_int * 1024)()
    init(ring)
    before = list(ring)
    found_nothing(ring, 0)
    idle, = (i for i in range(len(ring)) if ring[i] != before[i])
    ring[idle] = NEVER - 10
    for _ in range(100):
        found_nothing(ring, 0)
    assert ring[idle] < 100


def test_it_may_be_idle_for_ever():
    """Where there was no ring the billionth idle wait in a row looked into it."""
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            look_in_vain_for_minutes()
            status = 0
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
