"""Bugs that are planted in rooms without a simulated world (tests/planted/rooms.py) fail the test that they are for."""

import inspect
import re
from contextlib import ExitStack
from functools import partial

import pytest

from tests.gateway.page.test_door import kept, users
from tests.gateway.sinks import world
from tests.gateway.test_install import image
from tests.planted.page import PAGE
from tests.planted.rooms import ROOMS

__all__ = ["image", "kept", "users"]  # fixtures of those tests

pytestmark = pytest.mark.source("bugs are planted as pieces of it")


@pytest.mark.parametrize("name", ROOMS)
async def test_a_bug_that_is_planted_in_a_room_fails_its_test(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world, "RUN_TIMEOUT_S", 2)  # what is waited for does not come
    change, test = ROOMS[name]
    given = {each: request.getfixturevalue(each) for each in inspect.signature(test).parameters}
    with ExitStack() as stack:
        change(stack)
        with pytest.raises((AssertionError, TimeoutError, pytest.fail.Exception)):
            found = test(**given)
            if inspect.isawaitable(found):
                await found


def test_the_page_names_each_of_them_and_its_test() -> None:
    rows = re.findall(r"^- \*\*(.+)\*\*: .+\(`(test_\w+)`\)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    tests = {name: each.test.func if isinstance(each.test, partial) else each.test for name, each in ROOMS.items()}
    assert dict(rows) == {name: test.__name__ for name, test in tests.items()}
