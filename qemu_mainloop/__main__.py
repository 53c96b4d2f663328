"""``python -m qemu_mainloop run | info | bench``."""

import argparse
import errno
import importlib
import importlib.util
import os
import platform
import signal
import sys

import qemu_mainloop
from qemu_mainloop import _bench


class Mistake(Exception):
    """What the user is told in one line, with exit status 2."""


def load_target(target):
    """The function that TARGET names: ``path.py`` has ``main``, ``module:function``."""
    if target.endswith(".py") or os.sep in target:
        if not os.path.isfile(target):
            raise Mistake(f"no such file: {target}")
        spec = importlib.util.spec_from_file_location("__qemu_mainloop_target__", target)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        sys.path.insert(0, os.path.dirname(os.path.abspath(target)))
        spec.loader.exec_module(module)
        name = "main"
    else:
        module_name, colon, name = target.partition(":")
        if not colon or not module_name or not name:
            raise Mistake(f"{target!r} is neither a .py file nor module:function")
        sys.path.insert(0, os.getcwd())
        try:
            module = importlib.import_module(module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise
            raise Mistake(f"no such module: {error.name}") from None
    function = getattr(module, name, None)
    if not callable(function):
        raise Mistake(f"{target} has no function {name}(loop, args)")
    return function


def use_fdmon(loop, name):
    """Put the main loop on that fdmon."""
    try:
        loop._use_fdmon(name)
    except (ValueError, OSError) as error:
        raise Mistake(str(error)) from None


def print_stats(loop):
    """What the loop has done, on standard error."""
    for key, value in loop.info().items():
        print(f"{key}: {value}", file=sys.stderr)


def call_target(function, loop, options):
    """What main(loop, args) of the target gives; an address that is taken is a mistake."""
    try:
        return function(loop, options.args)
    except OSError as error:
        if error.errno not in (errno.EADDRINUSE, errno.EADDRNOTAVAIL):
            raise
        where = f" {error.filename}" if error.filename else ""
        raise Mistake(f"{options.target}: {error.strerror}{where}") from None


def run(options):
    """Run a program on the main loop until SIGINT or SIGTERM, or until it stops it."""
    function = load_target(options.target)
    loop = qemu_mainloop.main_loop()
    if options.fdmon is not None:
        use_fdmon(loop, options.fdmon)
    status = 0
    close = None
    try:
        for signo in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signo, loop.stop)
        result = call_target(function, loop, options)
        if callable(result):
            close = result
        elif result is not None:
            return int(result)
        loop.run()
    finally:
        try:
            if close is not None:
                closed = close()
                status = 0 if closed is None else int(closed)
        finally:
            if options.stats:
                print_stats(loop)
            loop.close()
    return status


def fdmon_report(name):
    """Can the fdmon be had here, and if not, why not?"""
    try:
        qemu_mainloop.MainLoop(fdmon=name).close()
    except OSError as error:
        return f"no ({error.strerror})"
    return "yes"


def info(options):
    """Print one directory, or everything there is to know about this installation."""
    if options.include:
        print(qemu_mainloop.get_include())
    elif options.cython_include:
        print(qemu_mainloop.get_cython_include())
    else:
        with qemu_mainloop.MainLoop() as loop:
            default = loop.fdmon
        print(f"version: {qemu_mainloop.__version__}")
        print("ABI: 1")
        print(f"Python: {platform.python_implementation()} {platform.python_version()}")
        print(f"system: {platform.system()} {platform.release()} {platform.machine()}")
        print(f"default fdmon: {default}")
        for name in ("adaptive", "epoll", "poll", "io_uring", "kqueue", "win32"):
            print(f"fdmon {name}: {fdmon_report(name)}")
        print(f"pidfd: {'yes' if hasattr(os, 'pidfd_open') and has_pidfd() else 'no'}")
        print(f"hosting by fileno(): {hosting_report()}")
        print(f"C include directory: {qemu_mainloop.get_include()}")
        print(f"Cython include directory: {qemu_mainloop.get_cython_include()}")
    return 0


def hosting_report():
    """Can another loop host ours here, and if not, why not?"""
    try:
        with qemu_mainloop.MainLoop() as loop:
            loop.fileno()
    except (NotImplementedError, OSError) as error:
        return f"no ({error})"
    return "yes"


def has_pidfd():
    """Does this kernel (and its sandbox) have pidfds?"""
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError:
        return False
    return True


def bench(options):
    """Print what the basic operations take on this machine."""
    try:
        with qemu_mainloop.MainLoop(options.fdmon) as loop:
            name = loop.fdmon
        print(f"qemu_mainloop {qemu_mainloop.__version__}, fdmon {name}, "
              f"{platform.python_implementation()} {platform.python_version()}, "
              f"{platform.system()} {platform.release()} {platform.machine()}")
        for what, ns in _bench.measure(options.fdmon):
            print(f"{what:<46}{ns:>8.0f} ns", flush=True)
    except BrokenPipeError:
        raise
    except (ValueError, OSError) as error:
        raise Mistake(str(error)) from None
    return 0


def parser():
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m qemu_mainloop", description="QEMU's main loop for Python and Cython."
    )
    top.add_argument(
        "--version", action="version", version=f"qemu_mainloop {qemu_mainloop.__version__}"
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parse_run = commands.add_parser(
        "run",
        help="run a program on the main loop",
        description="Calls main(loop, args) of TARGET, then runs the main loop until SIGINT or "
        "SIGTERM or loop.stop().  main may return an exit status, which ends the program at "
        "once, or a function to be called when the loop has ended, whose result is the exit "
        "status; None is 0.",
    )
    parse_run.add_argument("target", metavar="TARGET", help="a .py path, or module:function")
    parse_run.add_argument(
        "args", metavar="ARGS", nargs="*", default=[],
        help="the program's own arguments, passed on as they are",
    )
    parse_run.add_argument(
        "--fdmon", metavar="NAME", help="the kernel interface that waits (see info)"
    )
    parse_run.add_argument(
        "--stats", action="store_true", help="print what the loop has done, at the end"
    )
    parse_run.set_defaults(function=run)
    parse_info = commands.add_parser("info", help="describe this installation")
    which = parse_info.add_mutually_exclusive_group()
    which.add_argument("--include", action="store_true", help="print the C include directory")
    which.add_argument(
        "--cython-include", action="store_true", help="print the directory for cython -I"
    )
    parse_info.set_defaults(function=info)
    parse_bench = commands.add_parser(
        "bench",
        help="measure the basic operations on this machine",
        description="CPU time of the basic operations of a loop, with callbacks in Python; takes "
        "about a second.",
    )
    parse_bench.add_argument(
        "--fdmon", metavar="NAME", help="the kernel interface that waits (see info)"
    )
    parse_bench.set_defaults(function=bench)
    return top


def describe(function, options):
    """Call it for what it prints; that nobody reads the rest of it (``| head``) is no error."""
    try:
        status = function(options)
        print(end="", flush=True)
    except BrokenPipeError:
        # Nor at exit, when Python flushes what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return status


def split_at_target(argv):
    """Ours and the program's arguments: argparse would take a leading "--" away."""
    if argv[:1] == ["run"]:
        expects_value = False
        for i, word in enumerate(argv[1:], 1):
            if not word.startswith("-") and not expects_value:
                return argv[: i + 1], argv[i + 1 :]
            expects_value = word == "--fdmon"
    return argv, []


def main(argv=None):
    """The command line's entry; the exit status."""
    ours, rest = split_at_target(sys.argv[1:] if argv is None else argv)
    options = parser().parse_args(ours)
    options.args = rest
    try:
        if options.function is run:
            return run(options)
        return describe(options.function, options)
    except Mistake as mistake:
        print(f"{parser().prog}: {mistake}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
