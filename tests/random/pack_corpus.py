"""pack_corpus.py DIRECTORY…: makes corpus.txt of the programs that show most, of those in the
directories and in the present corpus.

What a program shows is which pairs of events follow one another at which depth, with which
answers, on every fdmon: coverage of the core's lines and of the model's rules at once.  The
drivers must be importable (RANDOM_DRIVERS of the tests, on PYTHONPATH).
"""

import sys
from pathlib import Path

import driver
from corpus_file import read_corpus, write_corpus
from loop_model import Disagreement, check

import qemu_mainloop

CORPUS = Path(__file__).parent / "corpus.txt"
MOST_PROGRAMS, MOST_BYTES = 180, 80_000


def shown(program):
    features = set()
    for fdmon in qemu_mainloop.fdmons():
        for on_main in (False, True):
            trace = driver.run(program, fdmon, on_main)
            try:
                check(trace, driver.EVENT_NAMES)
            except Disagreement:
                print("left out, it disagrees:", program.hex())
                return set()
            depth, before = 0, None
            for event, a, _, c, d in trace:
                name = driver.EVENT_NAMES[event]
                depth += {"call": 1, "return_": -1}.get(name, 0)
                now = name, a if name in ("call", "return_", "waited") else None, min(d, 0), c < 0
                features.add((on_main, depth, before, now))
                before = now
    return features


def main(folders):
    qemu_mainloop.main_loop()
    programs = set(read_corpus(CORPUS)) if CORPUS.exists() else set()
    programs |= {path.read_bytes() for folder in folders for path in Path(folder).iterdir()}
    features = {program: shown(program) for program in programs}
    seen, chosen, size = set(), [], 0
    while len(chosen) < MOST_PROGRAMS:
        best = max(features, key=lambda p: len(features[p] - seen) / (len(p) + 50), default=None)
        if best is None or not features[best] - seen or size + len(best) > MOST_BYTES:
            break
        chosen.append(best)
        size += len(best)
        seen |= features.pop(best)
    write_corpus(CORPUS, "programs for the C-level driver; see pack_corpus.py", chosen)
    print(len(chosen), "programs of", len(programs), "with", len(seen), "pairs,", size, "bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
