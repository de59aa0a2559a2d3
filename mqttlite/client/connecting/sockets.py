"""A connected socket on CPython, TCP or Unix, or a layer upon one, as asyncio's BufferedProtocol.

Instead of asyncio's streams: those have a new buffer of 256 KiB allocated for each read, which cost more processor time
than all else that a message needs. (asyncio itself sets TCP_NODELAY.)
"""

import asyncio
import contextlib
import errno
import os
import sys
import threading
from collections.abc import Callable
from typing import cast

READ_SIZE = 65536  # bytes read at once
FIRST_BYTES = 512  # at the beginning of the connection that are kept: they say who is there, should it not be a broker


class SocketTransport(asyncio.BufferedProtocol):
    """See transport.Transport; flow.py needs `give_to` and `send`, too. What arrives while nobody reads is kept: one
    buffer at the most.
    """

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(READ_SIZE))
        self._transport: asyncio.Transport | None = None
        self.first = b""  # what came first
        self._received = b""
        self._is_paused = False
        self._error: Exception | None = None
        self._fault: Exception | None = None  # of `_take`
        self._unsent = 1 << 62  # bytes that the kernel had when `gets_rid` was called last
        self.ended = False  # nothing more comes
        self._is_closed = False  # by us
        self._reader: asyncio.Future[None] | None = None
        self._take: Callable[[bytes], bool] | None = None  # what arrives is given to this
        self._may_write = asyncio.Event()
        self._may_write.set()
        self._lock = threading.Lock()  # for `write_beside`
        self._descriptor = -1  # of the socket, as long as it is ours
        self._rest = b""  # of what `write_beside` has begun

    # -- what asyncio calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast(asyncio.Transport, transport)  # or uvloop's, which is no subclass
        transport.set_write_buffer_limits(0)  # so that `write` returns when the kernel has everything
        if os.name == "posix" and not transport.get_extra_info("layer"):
            self._descriptor = transport.get_extra_info("socket").fileno()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(self._buffer[:nbytes])
        take = self._take
        if take:
            try:
                if not take(data):
                    return
            except Exception as error:  # belongs to whoever waits in `give_to`
                self._fault = error
            self._take = None
            self._pause()
            self._wake()
            return
        if self._received:
            data = self._received + data
            self._pause()
        self._received = data
        self._wake()

    def eof_received(self) -> None:
        self.ended = True
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        with self._lock:
            self._descriptor = -1  # it is about to be closed, and may soon be another's
        self._error = error
        self.ended = True
        self._may_write.set()
        self._wake()

    def pause_writing(self) -> None:
        self._may_write.clear()

    def resume_writing(self) -> None:
        self._may_write.set()

    def _pause(self) -> None:
        if not self._is_paused:
            self._is_paused = True
            assert self._transport is not None
            self._transport.pause_reading()

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
            await self._next()
        data, self._received = self._received, b""
        if len(self.first) < FIRST_BYTES:
            self.first += data[:FIRST_BYTES]
        self._resume()
        return data

    async def give_to(self, take: Callable[[bytes], bool]) -> bool:
        """Call `take` with what arrives, at least one byte, in the instant in which it does: until it answers True or
        raises, which is raised here. From then on what arrives is kept. False when the peer has closed, OSError when
        the connection is lost.
        """
        data, self._received = self._received, b""
        if data and take(data):
            return True
        self._take = take
        self._resume()
        try:
            while self._take is not None and not self.ended:
                await self._next()
        finally:
            self._take = None
        if self._fault:
            raise self._fault
        if self.ended and self._error:
            raise self._error
        return not self.ended

    async def _next(self) -> None:
        """Something has happened that a reader waits for."""
        self._reader = asyncio.get_running_loop().create_future()
        await self._reader

    def _resume(self) -> None:
        if self._is_paused:
            self._is_paused = False
            assert self._transport is not None
            self._transport.resume_reading()

    def send(self, data: bytes | memoryview) -> bool:
        """Write `data`; whether the kernel has it. If not, wait for `taken` before anything else is written."""
        assert self._transport is not None
        with self._lock:
            if self._rest:
                data = self._rest + data
                self._rest = b""
            self._transport.write(data)
        return self._may_write.is_set()

    async def taken(self) -> None:
        """Return when the kernel has everything. OSError when the connection is lost."""
        if not self._may_write.is_set():
            await self._may_write.wait()
        if self.ended:
            if self._error:
                raise self._error
            if self._is_closed:
                raise ConnectionAbortedError(errno.ECONNABORTED, "the client has closed the connection")

    async def write(self, data: bytes | memoryview) -> None:
        """Write `data`; returns when the kernel has it. OSError when the connection is lost."""
        self.send(data)
        await self.taken()

    @property
    def has_descriptor(self) -> bool:
        """Whether there is a socket of the operating system, for `write_beside`."""
        return self._descriptor >= 0

    def write_beside(self, packet: bytes, may: Callable[[], bool]) -> bool:
        """From any thread: hand a packet to the kernel now, unless bytes of another are waiting, or `may()` says no;
        whether it was.
        """
        with self._lock:
            if self._descriptor < 0 or self._rest or not may():
                return False
            assert self._transport is not None
            if self._transport.is_closing() or self._transport.get_write_buffer_size():
                return False
            try:
                count = os.write(self._descriptor, packet)
            except OSError:  # full, or gone, which the event loop will be told
                return False
            self._rest = packet[count:]
            return True

    def gets_rid(self) -> bool:
        """Whether the kernel has bytes of ours that the peer has not acknowledged, and fewer than at the last call."""
        if self._descriptor < 0 or sys.platform != "linux":
            return False
        import fcntl
        import termios

        left = int.from_bytes(fcntl.ioctl(self._descriptor, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        fewer = 0 < left < self._unsent
        self._unsent = left
        return fewer

    def write_eof(self) -> None:
        """Nothing more is written, and reading goes on: a peer that still writes is not reset."""
        assert self._transport is not None
        with contextlib.suppress(OSError):  # it has gone already
            self._transport.write_eof()

    def close(self) -> None:
        """Close at once; what was written is the kernel's."""
        self._take = None
        self._is_closed = True
        if self._transport:
            self._transport.abort()
