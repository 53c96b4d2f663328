"""Programs of public C calls, compared step by step with the model, on every fdmon."""

import os
import random
import time
from pathlib import Path

import pytest
from corpus_file import read_corpus
from loop_model import Disagreement, Model, check

pytestmark = pytest.mark.timeout(600)      # the drivers are compiled first

CORPUS = read_corpus(Path(__file__).parent / "corpus.txt")
MINUTES = float(os.environ.get("RANDOM_MINUTES", 0))
LENGTHS = (30, 100, 300, 900)


@pytest.fixture
def agrees(driver, fdmon, on_main):
    """agrees(program): runs it and checks its trace; the model, for its figures."""

    def run(program):
        try:
            return check(driver.run(program, fdmon, on_main), driver.EVENT_NAMES)
        except Disagreement as error:
            raise Disagreement(f"program {program.hex()}\n{error}") from None

    return run


def programs(seed):
    while True:
        chance = random.Random(seed)
        yield chance.randbytes(chance.choice(LENGTHS))
        seed += 1


def test_the_corpus(agrees):
    """What the fuzzer found to reach most."""
    for program in CORPUS:
        agrees(program)


def test_random_programs(agrees):
    """A hundred and fifty; as many as there is time for if RANDOM_MINUTES is set."""
    end = time.monotonic() + MINUTES * 60
    seed = random.randrange(2**40) if MINUTES else 0
    iterations = tried = 0
    for program in programs(seed):
        iterations += agrees(program).iterations
        tried += 1
        if time.monotonic() > end and tried >= 150:
            break
    print(f"{tried} programs, {iterations} iterations")
    assert iterations > tried


def test_the_model_refuses_a_callback_that_was_not_due():
    """The checker itself: a trace that is wrong is told apart from one that is right."""
    names = ["bh_new", "schedule", "wait", "call", "return_", "waited"]
    right = [(0, 1), (1, 1), (2, 0), (3, 5, 1, 0), (4, 5, 1, 0), (5, 1, 0, 1)]
    assert isinstance(check(right, names), Model)
    for wrong in (right[:1] + right[2:], right[:3] + right[5:], right[:5] + [(5, 0, 0, 1)]):
        with pytest.raises(Disagreement):
            check(wrong, names)
