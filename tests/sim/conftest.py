"""What tests of the simulated world share: worlds that end with the test, whoever makes them."""

from collections.abc import Iterator
from typing import Any

import pytest

from mqttlite.sim.world import World


@pytest.fixture(autouse=True)
def worlds(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[World]]:
    """All worlds of a test. What is left in one would be ended by the collection of garbage, in some later test and in
    the midst of its world, with errors that nobody there can explain.
    """
    made: list[World] = []
    begin = World.__init__

    def begin_and_note(self: World, *args: Any, **named: Any) -> None:
        begin(self, *args, **named)
        made.append(self)

    monkeypatch.setattr(World, "__init__", begin_and_note)
    yield made
    for world in made:
        world.close()


@pytest.fixture
def world() -> World:
    return World(1)
