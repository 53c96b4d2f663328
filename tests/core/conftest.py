"""Layers of the core alone: probe modules that cimport its private .pxd files.

The .pxd files and the C headers are the checkout's, the modules that the probes import
are those of the installed package.
"""

from pathlib import Path

import pytest
from extensions import build
from modules import module_fixture

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def probe_site(tmp_path_factory):
    """Where the probes are built."""
    site = tmp_path_factory.mktemp("site")
    build(tmp_path_factory.mktemp("probes"), site, sorted(HERE.glob("probe_*.pyx")), private=True)
    return site


probe_bh = module_fixture("probe_site", "probe_bh")
probe_child = module_fixture("probe_site", "probe_child")
probe_fdmon = module_fixture("probe_site", "probe_fdmon")
probe_lock = module_fixture("probe_site", "probe_lock")
probe_timer = module_fixture("probe_site", "probe_timer")
probe_wakeup = module_fixture("probe_site", "probe_wakeup")
