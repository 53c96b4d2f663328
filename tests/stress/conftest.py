"""The C threads that stress loops, built once, and what every test here looks at afterwards.

STRESS_SEED gives the seed (a random one otherwise; it is printed with a failure), STRESS_FACTOR
how many times the usual length each test has.
"""

import importlib
import os
import random
import sys

import pytest

SEED = int(os.environ.get("STRESS_SEED") or random.SystemRandom().randrange(2**32))
FACTOR = float(os.environ.get("STRESS_FACTOR", 1))


def import_from(site, name):
    sys.path.insert(0, str(site))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(site))


@pytest.fixture(scope="session")
def kit():
    """What the soak uses, too."""
    return import_from(os.path.dirname(__file__), "kit")


@pytest.fixture(scope="session")
def stress_site(kit, tmp_path_factory):
    """Where stress_kit is; STRESS_KIT names one that was built before."""
    built = os.environ.get("STRESS_KIT")
    if built:
        return built
    return kit.build(tmp_path_factory.mktemp("stress"))


def kit_module(name):
    """A session fixture that is a module of the kit."""

    @pytest.fixture(scope="session", name=name)
    def module(stress_site):
        return import_from(stress_site, f"stress_kit.{name}")

    return module


races = kit_module("races")
storm = kit_module("storm")
descriptors = kit_module("descriptors")
lives = kit_module("lives")
contention = kit_module("contention")


@pytest.fixture
def seed(request):
    """Another one for each test, from the run's."""
    seed = random.Random(f"{SEED} {request.node.name}").randrange(2**32)
    print(f"STRESS_SEED={SEED}")
    return seed


@pytest.fixture
def times():
    """times(n): n, or more if a longer run is wanted."""
    return lambda n: int(n * FACTOR)
