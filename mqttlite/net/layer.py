"""What a layer between a socket and MQTT's bytes is: asyncio's protocol to the transport below it, and asyncio's
transport to the protocol above it. Layers stand on one another (WebSocket on TLS on TCP); what stands above notices
nothing.

What must hold:

- The protocol above is told of the connection at once, before any handshake: who accepts connections counts it from its
  first moment, and can end it. `established` is done when bytes may flow, or has the error that ended it before.
- Nothing is kept that the peer decides the size of: while the protocol above does not read, the transport below does
  not either, and at most what one read has brought waits. Writing goes straight down; the transport below has the
  buffer, counts it, and says through pause_writing and resume_writing what it says to everybody.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, cast

from ..core.errors import ConnectError, MQTTError

READ_SIZE = 65536  # bytes read at once
PIECES_MAX = 500  # pieces that one turn of the loop takes out of what has been read: a frame may hold a single byte

# What is being read, of whichever connection: it is copied before anything else can read.
_scratch = memoryview(bytearray(READ_SIZE))


class Layer(asyncio.BufferedProtocol, asyncio.Transport):
    """See above. A subclass has `opened`, `pieces` and `write`, and more where it has an end of its own."""

    def __init__(self, above: asyncio.BaseProtocol) -> None:
        asyncio.Transport.__init__(self)
        self.above = above
        self.below: asyncio.Transport
        self.established: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.error: Exception | None = None  # why this layer ended the connection
        self.first = b""  # what came first from below: it says who is there, should it not be what was expected
        self._is_lost = False
        self._is_paused = False  # the protocol above does not want to read
        self._goes_on = False  # what has been read waits for another turn
        self._has_ended = False  # the protocol above has been told of the end

    # -- what a subclass does

    def opened(self) -> None:
        """There is a connection below."""

    def pieces(self, data: bytes) -> "Iterable[bytes]":
        """Take in `data`; what it holds for the protocol above, piece by piece, behind what was taken in before and not
        asked for. Called with b"" to go on.
        """
        raise NotImplementedError

    # -- what the transport below calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.below = cast(asyncio.Transport, transport)  # or uvloop's, which is no subclass
        self.above.connection_made(self)
        if not self.is_closing():
            self.opened()

    def get_buffer(self, sizehint: int) -> memoryview:
        return _scratch

    def buffer_updated(self, nbytes: int) -> None:
        self.take_in(bytes(_scratch[:nbytes]))

    def take_in(self, data: bytes) -> None:
        """What has come from below."""
        if not self.established.done() and len(self.first) < 512:
            self.first += data[:512]
        pieces = iter(self.pieces(data))
        for _ in range(PIECES_MAX):
            try:
                piece = next(pieces, None)
            except (OSError, MQTTError) as error:
                self.fail(error)
                return
            except Exception as error:  # of a library, about what the peer has sent
                failed = ConnectError(f"what came is wrong: {error}")
                failed.__cause__ = error
                self.fail(failed)
                return
            if piece is None:
                return
            if piece:
                self._hand_up(piece)
            if self._is_paused or self._is_lost:
                return
        self._go_on_later()

    def eof_received(self) -> bool:
        return self.has_ended()

    def connection_lost(self, error: Exception | None) -> None:
        self._is_lost = True
        error = self.error or error
        if not self.established.done():
            self.established.set_exception(error or ConnectionResetError("closed before anything was agreed"))
            self.established.exception()  # whoever waits gets it; nobody need
        self.above.connection_lost(error)

    def pause_writing(self) -> None:
        self.above.pause_writing()

    def resume_writing(self) -> None:
        self.above.resume_writing()

    # -- for a subclass

    def ready(self) -> None:
        """Bytes may flow."""
        if not self.established.done():
            self.established.set_result(None)

    def has_ended(self) -> bool:
        """The peer has said that nothing more comes; whether this side stays open."""
        if self._has_ended:
            return True
        self._has_ended = True
        stays = self.above.eof_received()  # type: ignore[attr-defined]
        if not stays:
            self.close()
        return bool(stays)

    def fail(self, error: Exception) -> None:
        """Close because of `error`, of which the protocol above is told; what was written before leaves."""
        if self.error is None:
            self.error = error
        if not self.below.is_closing():
            self.below.close()

    def _hand_up(self, data: bytes) -> None:
        above = self.above
        if isinstance(above, Layer):
            above.take_in(data)
        elif isinstance(above, asyncio.BufferedProtocol):
            view = memoryview(data)
            while view and not self._is_lost:
                room = memoryview(above.get_buffer(len(view)))
                size = min(len(room), len(view))
                room[:size] = view[:size]
                view = view[size:]
                above.buffer_updated(size)
        else:
            cast(asyncio.Protocol, above).data_received(data)

    def _go_on_later(self) -> None:
        """Give what waits to the protocol above in another turn, and read nothing until then."""
        if not self._goes_on:
            self._goes_on = True
            self.below.pause_reading()
            asyncio.get_running_loop().call_soon(self._go_on)

    def _go_on(self) -> None:
        self._goes_on = False
        if self._is_lost or self._is_paused:
            return
        self.take_in(b"")
        if not (self._is_lost or self._is_paused or self._goes_on or self.below.is_closing()):
            self.below.resume_reading()

    # -- what the protocol above calls

    def pause_reading(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            self.below.pause_reading()

    def resume_reading(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._go_on_later()

    def is_reading(self) -> bool:
        return not self._is_paused

    def write(self, data: "bytes | bytearray | memoryview[Any]") -> None:
        raise NotImplementedError

    def writelines(self, list_of_data: "Iterable[bytes | bytearray | memoryview[Any]]") -> None:
        self.write(b"".join(list_of_data))

    def get_write_buffer_size(self) -> int:
        return self.below.get_write_buffer_size()

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self.below.get_write_buffer_limits()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self.below.set_write_buffer_limits(high, low)

    def can_write_eof(self) -> bool:
        return True

    def is_closing(self) -> bool:
        return self._is_lost or self.below.is_closing()

    def close(self) -> None:
        self.below.close()

    def abort(self) -> None:
        self.below.abort()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """As below; "layer" is what bytes go through before they reach the socket."""
        return self if name == "layer" else self.below.get_extra_info(name, default)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self.above = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self.above
