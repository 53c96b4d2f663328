"""The drivers, built once a session, and hypothesis' profiles.

RANDOM_MINUTES says how long to try; without it the same inputs are tried every time.
RANDOM_DRIVERS names a directory in which the drivers are built already.
"""

import os
import sys
from pathlib import Path

import pytest
from extensions import build
from hypothesis import HealthCheck, settings
from modules import module_fixture

import qemu_mainloop as q

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

QUIET = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
settings.register_profile("gate", derandomize=True, database=None, deadline=None, max_examples=25,
                          stateful_step_count=30, suppress_health_check=QUIET)
settings.register_profile("hours", deadline=None, max_examples=20_000, stateful_step_count=80,
                          suppress_health_check=QUIET)
settings.load_profile("hours" if os.environ.get("RANDOM_MINUTES") else "gate")


@pytest.fixture(scope="session", autouse=True)
def the_wall_clock_is_watched(the_main_loop_exists):
    """The main loop's watch on the wall clock comes with its first HOST timer, and stays."""
    loop = q.main_loop()
    timer = loop.timer_new(lambda: None, clock=q.Clock.HOST)
    timer.mod_ns(2**62)
    loop.wait(True)
    timer.delete()


@pytest.fixture(params=["own", "main"])
def on_main(request, fdmon):
    """A context of one's own, or the main loop with the header's names."""
    yield request.param == "main"
    if q.main_loop().fdmon != q.fdmons()[0]:
        q.main_loop()._use_fdmon(q.fdmons()[0])


@pytest.fixture(scope="session")
def driver_site(tmp_path_factory):
    """Where the drivers are built."""
    if os.environ.get("RANDOM_DRIVERS"):
        return Path(os.environ["RANDOM_DRIVERS"])
    site = tmp_path_factory.mktemp("random")
    build(site / "source", site, [*HERE.glob("*.pyx"), *HERE.glob("*.h")], private=True)
    return site


driver = module_fixture("driver_site", "driver")
files = module_fixture("driver_site", "files")
