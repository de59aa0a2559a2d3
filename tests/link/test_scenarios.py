"""Each scenario on CPython."""

from collections.abc import Callable

import pytest

from tests.link.scenarios import SCENARIOS


@pytest.mark.parametrize("scenario", SCENARIOS, ids=[s.__name__ for s in SCENARIOS])
def test_scenario(scenario: Callable[[], None]) -> None:
    scenario()
