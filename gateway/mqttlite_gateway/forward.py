"""Forward mode: what a device sends goes to a connection of its own to the broker, and back, byte for byte.

The gateway reads no MQTT here. It connects upstream when the device opens a connection, tells the device when the
broker is gone (the connection closes, or is refused) and when it is back, and holds each side back when the other is
slow.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from mqttlite.link.stream import UPSTREAM_BACK, UPSTREAM_CLOSED, UPSTREAM_UNREACHABLE, Stream
from mqttlite.link.words import stream_reason

log = logging.getLogger("mqttlite.gateway")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

CONNECT_TIMEOUT_S = 5.0
PROBE_FIRST_S = 0.25  # from one look whether the broker is back to the next, doubling up to
PROBE_MAX_S = 4.0
READ_SIZE = 4096  # bytes taken from the broker at once: a third of a second on a line at 115,200 baud


class Forwarder:
    """Joins the connections of one `stream` (a serial line) to connections that `connect` opens.

    `name` is what log lines call the line. Counters: `connections`, `refused`, `up_bytes`, `down_bytes`.
    """

    def __init__(self, name: str, stream: Stream, connect: Callable[[], Awaitable[Streams]]) -> None:
        self.name = name
        self.connections = 0
        self.refused = 0
        self.up_bytes = 0
        self.down_bytes = 0
        self._stream = stream
        self._connect = connect
        self._task: asyncio.Task[None] | None = None  # one connection, from OPEN to its end
        self._probe: asyncio.Task[None] | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._owed = 0  # bytes that the broker's socket has not taken yet; the device gets its credit for them later
        self._draining: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        stream.on_open = self._opened
        stream.on_data = self._from_device
        stream.on_close = self._closed
        stream.on_writable = self._writable.set

    @property
    def connected(self) -> bool:
        """Whether a connection to the broker is open."""
        return self._writer is not None

    async def close(self) -> None:
        """End the connection and every task."""
        tasks = [task for task in (self._task, self._probe, self._draining) if task]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._drop()

    # -- the stream's side

    def _opened(self, n: int) -> None:
        self._end_task()
        self._task = asyncio.create_task(self._forward(n))

    def _closed(self, reason: int) -> None:
        log.info("%s: connection ended: %s", self.name, stream_reason(reason))
        self._end_task()

    def _end_task(self) -> None:
        if self._task:
            self._task.cancel()
            self._task = None
        self._drop()

    def _drop(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None
        self._owed = 0

    def _from_device(self, data: bytes | memoryview) -> None:
        writer = self._writer
        if writer is None:
            self._stream.consumed(len(data))
            return
        self.up_bytes += len(data)
        writer.write(bytes(data))
        self._owed += len(data)
        if self._draining is None or self._draining.done():
            if writer.transport.get_write_buffer_size() == 0:
                self._credit()
            else:
                self._draining = asyncio.create_task(self._drain(writer))

    def _credit(self) -> None:
        owed, self._owed = self._owed, 0
        self._stream.consumed(owed)

    async def _drain(self, writer: asyncio.StreamWriter) -> None:
        """The broker reads slowly: let the device wait as long."""
        with contextlib.suppress(OSError):
            await writer.drain()
        if writer is self._writer:
            self._credit()

    # -- the broker's side

    async def _forward(self, n: int) -> None:
        """Connect upstream for connection `n` of the device, and carry what the broker sends."""
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                reader, writer = await self._connect()
        except (OSError, TimeoutError) as error:
            self.refused += 1
            log.warning("%s: the broker cannot be reached: %s", self.name, error or "no answer")
            self._stream.refuse(n, UPSTREAM_UNREACHABLE)
            self._watch()
            return
        self._writer = writer
        self.connections += 1
        if not self._stream.accept(n):
            self._drop()
            return
        log.info("%s: connected to the broker", self.name)
        try:
            while data := await reader.read(READ_SIZE):
                self.down_bytes += len(data)
                await self._to_device(data)
            ended = "it closed the connection"
        except OSError as error:
            ended = str(error)
        log.info("%s: the broker ended the connection: %s", self.name, ended)
        self._drop()
        self._stream.close(UPSTREAM_CLOSED)
        self._watch()

    async def _to_device(self, data: bytes) -> None:
        """Put `data` on the line; while its buffer is full the broker is not read."""
        while True:
            self._writable.clear()
            sent = self._stream.send(data)
            if sent == len(data):
                return
            data = data[sent:]
            await self._writable.wait()

    # -- after the broker has gone

    def _watch(self) -> None:
        if self._probe is None or self._probe.done():
            self._probe = asyncio.create_task(self._tell_when_back())

    async def _tell_when_back(self) -> None:
        """Look until the broker can be reached again, and tell the device, which need not wait for its own back-off."""
        delay_s = PROBE_FIRST_S
        while not self.connected:
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, PROBE_MAX_S)
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    _, writer = await self._connect()
            except (OSError, TimeoutError):
                continue
            writer.close()
            self._stream.notify(UPSTREAM_BACK)
            return
