"""What the parts of a client need of streams: interfaces for the type checker. Never imported at run time."""

from typing import Protocol

from ..transport import Transport


class Outflow(Protocol):
    """What writes streams (sending.Outflow)."""

    count: int

    async def write(self, transport: Transport) -> bool:
        """Write what is in `out` up to a stream, or that; False: there is none in front."""

    def look(self) -> None:
        """A deadline may have passed while a stream is written."""


class Inflow(Protocol):
    """What gives them to whoever takes them (inflow.Inflow)."""

    def whole(
        self, first: int, topic: bytes, payload: bytes, packet_id: int, generation: int, properties: bytes = ..., /
    ) -> bool:
        """A message no larger than `size_max`: whether somebody takes it here."""

    def cut(self) -> None:
        """The connection is gone, or the client closed."""

    def taken(self, size: int) -> None:
        """So many bytes were."""

    def is_full(self) -> bool:
        """Whether nothing more is to be read."""

    async def wait_for_room(self) -> None:
        """Return when there is room. StreamError when nothing is taken for too long."""
