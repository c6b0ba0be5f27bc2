"""Tests that are skipped where a library is missing are not skipped in CI."""

import importlib.util

import pytest

from tests.needs import CI, MODULES


@pytest.mark.skipif(not CI, reason="a developer may have fewer libraries")
@pytest.mark.parametrize("module", MODULES)
def test_ci_has_what_tests_need(module):
    assert importlib.util.find_spec(module) is not None
