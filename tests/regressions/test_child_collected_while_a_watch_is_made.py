"""A child that another watch collects while one is being made is nobody's to watch.

The second watch looked at the child, found it there, and was entered after the first had
collected it: its callback was called without an exit status, as if a stranger had taken it.
"""

import os
import subprocess
import sys
import textwrap

import pytest

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the way with a pidfd"),
    pytest.mark.interposes("takes the place of syscall"),
]

# Once there is something to close, pidfd_open() closes it, upon which the child ends, and
# returns only when somebody has collected it.
HOLD = """
    #define _GNU_SOURCE
    #include <dlfcn.h>
    #include <sched.h>
    #include <stdarg.h>
    #include <sys/syscall.h>
    #include <sys/wait.h>
    #include <unistd.h>

    int closes = -1;

    long syscall(long number, ...)
    {
        static long (*next)(long, ...);
        siginfo_t info;
        long of[6], result;
        va_list list;
        int i;

        va_start(list, number);
        for (i = 0; i < 6; i++) {
            of[i] = va_arg(list, long);
        }
        va_end(list);
        if (!next) {
            *(void **)&next = dlsym(RTLD_NEXT, "syscall");
        }
        result = next(number, of[0], of[1], of[2], of[3], of[4], of[5]);
        if (number == SYS_pidfd_open && closes >= 0) {
            close(closes);
            closes = -1;
            while (!waitid(P_PID, of[0], &info, WEXITED | WNOWAIT)) {
                sched_yield();
            }
            for (i = 0; i < 10000; i++) {       /* and its watch is gone */
                sched_yield();
            }
        }
        return result;
    }
"""

# add_child_watch() keeps the GIL, so that the loop, in the other thread, collects the child
# and waits for the GIL to call the first watch's callback.
SCRIPT = """
    import ctypes, os, subprocess, sys, threading
    import qemu_mainloop as q

    loop = q.MainLoop(fdmon=sys.argv[2])
    reader, writer = os.pipe()
    child = subprocess.Popen(["cat"], stdin=reader)
    calls = []
    loop.add_child_watch(child.pid, lambda *args: calls.append(args))
    driver = threading.Thread(target=loop.run, daemon=True)
    driver.start()
    while loop.info()["sleeps"] == 0:
        pass
    ctypes.c_int.in_dll(ctypes.CDLL(sys.argv[1]), "closes").value = writer
    try:
        loop.add_child_watch(child.pid, lambda *args: calls.append(args))
    except (ChildProcessError, ValueError):
        pass
    else:
        sys.exit("watched what another watch had collected")
    loop.stop()
    driver.join()
    child.returncode = 0
    assert calls == [(child.pid, 0)] and loop.info()["child_watches"] == 0, calls
    loop.close()
"""


def test_it_is_refused(loop, tmp_path):
    library = tmp_path / "hold.so"
    (tmp_path / "hold.c").write_text(textwrap.dedent(HOLD))
    subprocess.run([os.environ.get("CC", "cc"), "-O1", "-shared", "-fPIC", "-o", library,
                    tmp_path / "hold.c", "-ldl", "-lpthread"], check=True)
    done = subprocess.run(
        [sys.executable, "-P", "-c", textwrap.dedent(SCRIPT), library, loop.fdmon],
        capture_output=True, text=True, env={**os.environ, "LD_PRELOAD": str(library)}, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
