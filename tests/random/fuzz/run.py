"""The fuzzer's process, which .ci/fuzz starts with the fuzzer preloaded."""

import sys
import tempfile
from pathlib import Path

import target
from corpus_file import read_corpus

CORPUS = Path(__file__).parent.parent / "corpus.txt"

if __name__ == "__main__":
    if Path(sys.argv[-1]).is_file():
        sys.exit(target.main(["fuzz", *sys.argv[1:]]))       # one input, again
    with tempfile.TemporaryDirectory() as seeds:
        if CORPUS.exists():
            for number, program in enumerate(read_corpus(CORPUS)):
                (Path(seeds) / str(number)).write_bytes(program)
        sys.exit(target.main(["fuzz", *sys.argv[1:], seeds]))
