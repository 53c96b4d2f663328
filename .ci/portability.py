"""portability.py WORK TARGET…: the compiling of .ci/portability."""

import concurrent.futures
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

SYSTEMS = {"macos": "darwin", "freebsd": "freebsd"}          # as meson names them
CROSS_FILE = """
[binaries]
c = [{python!r}, '-m', 'ziglang', 'cc', '-target', {target!r}]
ar = [{python!r}, '-m', 'ziglang', 'ar']
strip = 'true'
[host_machine]
system = {system!r}
cpu_family = {cpu!r}
cpu = {cpu!r}
endian = 'little'
"""


def run(command, **kw):
    """Runs it; its output if it fails."""
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **kw)
    return done.stdout + f"\nexit status {done.returncode}\n" if done.returncode else ""


def configure(work, target):
    """The commands that meson has for the target: [(directory, output, command)]."""
    cpu, _, system = target.partition("-")
    cross = work / f"{target}.ini"
    cross.write_text(CROSS_FILE.format(
        python=sys.executable, target=target, cpu=cpu, system=SYSTEMS[system]))
    tree = work / target
    if not (tree / "build.ninja").exists():
        failed = run(["meson", "setup", "--cross-file", cross, "-Dwerror=true", "-Doptimization=0",
                      "-Dbuildtype=plain", tree])
        if failed:
            raise SystemExit(failed)
    return [(tree, entry["output"], shlex.split(entry["command"]))
            for entry in json.loads((tree / "compile_commands.json").read_text())]


def together(step, items):
    """Runs step for each, two at a time; ends the program if one fails."""
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        failures = [text for text in pool.map(step, items) if text]
    if failures:
        raise SystemExit("\n".join(failures))


def main(work, targets):
    began = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        commands = dict(zip(targets, pool.map(lambda t: configure(work, t), targets), strict=True))
    # The C sources are the same for all: Cython makes them once.
    sources = {output: command for of_target in commands.values()
               for _, output, command in of_target if output.endswith(".c")}
    common = work / "c"

    def translate(output):
        (common / output).parent.mkdir(parents=True, exist_ok=True)
        return run(sources[output], cwd=common)

    def compile_(step):
        tree, output, command = step
        (tree / output).parent.mkdir(parents=True, exist_ok=True)
        at = command.index("-c") + 1
        return run([*command[:at], str(common / command[at]), *command[at + 1:]], cwd=tree)

    together(translate, sources)
    for target in targets:
        steps = [step for step in commands[target] if step[1].endswith(".o")]
        together(compile_, steps)
        print(f"{target}: {len(steps)} modules compiled, "
              f"{time.monotonic() - began:.0f} s since the start", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
