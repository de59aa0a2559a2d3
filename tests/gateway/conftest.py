"""Fixtures of the firmware's tests."""

import pytest


@pytest.fixture(params=["micropython", "cpython"])
def runtime(request: pytest.FixtureRequest) -> str:
    """Both runtimes, one after the other."""
    return str(request.param)
