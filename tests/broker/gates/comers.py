"""Clients that come from an address."""

from tests.broker.world import Wire, World


def come(world: World, address: str, client_id: str = "", **more: object) -> Wire:
    """A client from an address; closed where it is not accepted."""
    wire = world.open(address)
    if not wire.closed:
        fields = {"keep_alive_s": 0, "username": None, "password": None, "will": None, "clean_session": True} | more
        wire.send("connect", client_id=client_id, **fields)
    return wire
