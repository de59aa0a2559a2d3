"""A connection over asyncio's transports: TLS and WebSocket, and loops that are not ours. Imports connection."""

import asyncio
from typing import cast

from .connection import Connection
from .turns import Turns


class Protocol(asyncio.BufferedProtocol):
    """asyncio asks what it is derived from; all else is `Connection`'s."""

    __slots__ = ("connection",)

    def __init__(self, turns: Turns, place: str = "") -> None:
        self.connection = Connection(turns, place)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.connection.connection_made(cast(asyncio.Transport, transport))  # or uvloop's, which is no subclass

    def get_buffer(self, sizehint: int) -> memoryview:
        return self.connection.buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.connection.buffer_updated(nbytes)

    def pause_writing(self) -> None:
        self.connection.pause_writing()

    def resume_writing(self) -> None:
        self.connection.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self.connection.connection_lost(exc)

    def eof_received(self) -> bool:
        return False  # asyncio closes the transport: a client that says nothing more is gone
