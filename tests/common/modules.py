"""Modules from where a test has built them."""

import importlib
import sys

import pytest


def import_from(site, name):
    """The module, from that directory."""
    sys.path.insert(0, str(site))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(site))


def module_fixture(site_fixture, name):
    """A session fixture, named as the module, that is a module from where that fixture says."""

    @pytest.fixture(scope="session", name=name.rpartition(".")[2])
    def module(request):
        return import_from(request.getfixturevalue(site_fixture), name)

    return module
