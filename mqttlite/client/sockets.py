"""A connected socket on CPython, TCP or Unix, as asyncio's BufferedProtocol.

Instead of asyncio's streams: those have a new buffer of 256 KiB allocated for each read, which cost more processor time
than all else that a message needs. (asyncio itself sets TCP_NODELAY.)
"""

import asyncio
import contextlib
from typing import cast

READ_SIZE = 65536  # bytes read at once
FIRST_BYTES = 512  # at the beginning of the connection that are kept: they say who is there, should it not be a broker


class SocketTransport(asyncio.BufferedProtocol):
    """See transport.Transport. What arrives while nobody reads is kept, one buffer at the most."""

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._transport: asyncio.Transport | None = None
        self.first = b""  # what came first
        self._received = b""
        self._is_paused = False
        self._error: Exception | None = None
        self.ended = False  # nothing more comes
        self._reader: asyncio.Future[None] | None = None
        self._may_write = asyncio.Event()
        self._may_write.set()

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # or uvloop's, which is no subclass
        transport.set_write_buffer_limits(0)  # so that `write` returns when the kernel has everything

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])
        if self._received:
            data = self._received + data
            self._is_paused = True
            assert self._transport is not None
            self._transport.pause_reading()
        self._received = data
        self._wake()

    def eof_received(self) -> None:
        self.ended = True
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        self._error = error
        self.ended = True
        self._may_write.set()
        self._wake()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def _wake(self) -> None:
        if self._reader and not self._reader.done():
            self._reader.set_result(None)

    # -- what the client calls

    async def read(self) -> bytes:
        """What has arrived, at least one byte; b"" when the peer has closed. OSError when the connection is lost."""
        while not self._received:
            if self.ended:
                if self._error:
                    raise self._error
                return b""
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        data, self._received = self._received, b""
        if len(self.first) < FIRST_BYTES:
            self.first += data[:FIRST_BYTES]
        if self._is_paused:
            self._is_paused = False
            assert self._transport is not None
            self._transport.resume_reading()
        return data

    async def write(self, data: bytes | memoryview) -> None:
        """Write `data`; returns when the kernel has it. OSError when the connection is lost."""
        assert self._transport is not None
        self._transport.write(data)
        if not self._may_write.is_set():
            await self._may_write.wait()
        if self.ended and self._error:
            raise self._error

    def write_eof(self) -> None:
        """Nothing more is written, and reading goes on: a peer that still writes is not reset."""
        assert self._transport is not None
        with contextlib.suppress(OSError):  # it has gone already
            self._transport.write_eof()

    def close(self) -> None:
        """Close at once; what was written is the kernel's."""
        if self._transport:
            self._transport.abort()
