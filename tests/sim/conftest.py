"""A fixture for tests of the simulated world."""

from collections.abc import Callable, Iterator

import pytest

from mqttlite.sim.world import World


@pytest.fixture
def make_world() -> Iterator[Callable[[int], World]]:
    """Makes worlds, which end with the test."""
    worlds: list[World] = []

    def make(seed: int) -> World:
        worlds.append(World(seed))
        return worlds[-1]

    yield make
    for world in worlds:
        world.close()


@pytest.fixture
def world(make_world: Callable[[int], World]) -> World:
    return make_world(1)
