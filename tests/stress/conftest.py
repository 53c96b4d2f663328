"""The C threads that stress loops, built once, and what every test here looks at afterwards.

STRESS_SEED gives the seed (a random one otherwise; it is printed with a failure), STRESS_FACTOR
how many times the usual length each test has.
"""

import os
import random

import pytest
from modules import import_from, module_fixture

SEED = int(os.environ.get("STRESS_SEED") or random.SystemRandom().randrange(2**32))
FACTOR = float(os.environ.get("STRESS_FACTOR", 1))


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


races = module_fixture("stress_site", "stress_kit.races")
storm = module_fixture("stress_site", "stress_kit.storm")
descriptors = module_fixture("stress_site", "stress_kit.descriptors")
lives = module_fixture("stress_site", "stress_kit.lives")
contention = module_fixture("stress_site", "stress_kit.contention")


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
