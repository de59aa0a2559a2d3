"""Clients of MQTT 5.0 as these tests need them."""

from tests.broker.five import Five
from tests.broker.world import World

KEPT = {"SessionExpiryInterval": 60}
LETTERS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"


def two(qos: int = 2, **values: object) -> tuple[World, Five, Five]:
    """A world, one who has subscribed to "t", one who publishes."""
    world = World()
    client = Five(world, "c", **values)
    assert client.subscribe("t", qos) == qos
    return world, client, Five(world, "p")


def back(world: World, **values: object) -> Five:
    """The client "c", whose connection was cut."""
    return Five(world, "c", clean=False, present=True, **KEPT, **values)
