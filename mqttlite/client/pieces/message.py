"""A message that arrives in pieces, as `sink` gets it. Both runtimes."""

import asyncio

from ...core import const
from ..messages import Message

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from typing import Self

    from .interfaces import Inflow


class StreamedMessage(Message):
    """A message whose payload is taken with `async for piece in message`: `size` bytes in all. The rest is as of
    Message; `payload` is empty. Iterating raises StreamError when the connection is lost in the middle.
    """

    _error: "Exception | None" = None
    _is_whole = False  # its last byte has come
    _is_ended = False  # nobody takes the rest
    _is_done = False  # `sink` has returned

    def __init__(self, inflow: "Inflow", topic: str, flags: int, generation: int, size: int) -> None:
        Message.__init__(self, topic, b"", flags, 0, generation)
        self.size = size
        self._inflow = inflow
        self._pieces: "list[bytes]" = []
        self._more = asyncio.Event()

    def __aiter__(self) -> "Self":
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._error:
                raise self._error
            if self._pieces:
                piece = self._pieces.pop(0)
                self._inflow.taken(len(piece))
                return piece
            if self._is_whole:
                raise StopAsyncIteration
            self._more.clear()
            await self._more.wait()
