"""Forward mode: what a device sends goes to a connection of its own to the broker, and back, byte for byte.

The gateway reads no MQTT here. It connects upstream when the device opens a connection, tells the device when the
broker is gone (the connection closes, or is refused) and when it is back, and holds each side back when the other is
slow. What must hold:

* What belongs to one connection dies with it: socket, tasks, bytes not yet acknowledged to the device.
* What is here is bounded: from the device by the link's receive window, from the broker by what asyncio takes off a
  socket at once (256 KiB, seldom more than READ_SIZE) and READ_SIZE × 3.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from mqttlite.link.stream import UPSTREAM_BACK, UPSTREAM_CLOSED, UPSTREAM_UNREACHABLE, Stream
from mqttlite.link.words import stream_reason

log = logging.getLogger("mqttlite.gateway")

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

CONNECT_TIMEOUT_S = 5.0
PROBE_FIRST_S = 0.25  # from one look whether the broker is back to the next, doubling up to
PROBE_MAX_S = 4.0
CLOSING_S = 5.0  # what the device sent before it closed, such as DISCONNECT, has so long to reach the broker
READ_SIZE = 4096  # bytes taken from the broker at once: a third of a second on a line at 115,200 baud


class Forwarder:
    """Joins the connections of one `stream` (a serial line) to connections that `connect` opens (OSError if it cannot).

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
        self._task: asyncio.Task[None] | None = None  # from OPEN to the end of the connection
        self._probe: asyncio.Task[None] | None = None
        self._upstream: _Upstream | None = None
        self._unreachable = ""  # why the last attempt to reach the broker failed; said once, not at every attempt
        self._writable = asyncio.Event()  # the line takes more
        stream.on_open = self._opened
        stream.on_data = self._from_device
        stream.on_close = self._closed
        stream.on_writable = self._writable.set

    @property
    def connected(self) -> bool:
        """Whether a connection to the broker is open."""
        return self._upstream is not None

    async def close(self) -> None:
        """End the connection and every task."""
        tasks = [task for task in (self._task, self._probe) if task]
        self._end()
        if self._probe:
            self._probe.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- the device's side

    def _opened(self, n: int) -> None:
        self._end()
        self._task = asyncio.create_task(self._forward(n))

    def _closed(self, reason: int) -> None:
        log.info("%s: connection ended: %s", self.name, stream_reason(reason))
        self._end()

    def _end(self) -> None:
        """End the connection, or the attempt to make one."""
        if self._task:
            self._task.cancel()
            self._task = None
        self._drop()

    def _drop(self) -> None:
        if self._upstream:
            self._upstream.close()
            self._upstream = None

    def _from_device(self, data: bytes | memoryview) -> None:
        if self._upstream:
            self.up_bytes += len(data)
            self._upstream.write(bytes(data))
        else:  # between the broker's end of the connection and its CLOSE on the line there is nobody for it
            self._stream.consumed(len(data))

    # -- the broker's side

    async def _forward(self, n: int) -> None:
        """Connect upstream for connection `n` of the device, and carry what the broker sends."""
        try:
            reader, writer = await self._reach()
        except OSError as error:
            self.refused += 1
            self._say_unreachable(error)
            self._stream.refuse(n, UPSTREAM_UNREACHABLE)
            self._watch()
            return
        if self._probe:
            self._probe.cancel()
        self._unreachable = ""
        self.connections += 1
        self._upstream = _Upstream(writer, self._stream.consumed)
        log.info("%s: connected to the broker", self.name)
        if not self._stream.accept(n):  # cannot be: when the device gives up, this task is cancelled
            self._drop()
            return
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

    async def _reach(self) -> Streams:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await self._connect()
        except TimeoutError:
            raise OSError(f"no answer within {CONNECT_TIMEOUT_S:g} s") from None

    def _say_unreachable(self, error: OSError) -> None:
        if str(error) != self._unreachable:
            log.warning("%s: the broker cannot be reached: %s", self.name, error)
        self._unreachable = str(error)

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
        """Look until the broker can be reached, and tell the device, which need not wait for its own back-off.

        A broker that was there all the time has closed this connection only, for a reason such as a wrong password:
        then the device's back-off is right, and nothing is said.
        """
        delay_s = PROBE_FIRST_S
        while True:
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, PROBE_MAX_S)
            try:
                _, writer = await self._reach()
            except OSError as error:
                self._say_unreachable(error)
                continue
            writer.close()
            if self._unreachable:
                self._unreachable = ""
                log.info("%s: the broker is back", self.name)
                self._stream.notify(UPSTREAM_BACK)
            return


class _Upstream:
    """The writing half of one connection to the broker. `credit(n)`: the broker's socket has taken n bytes."""

    def __init__(self, writer: asyncio.StreamWriter, credit: Callable[[int], None]) -> None:
        self._writer = writer
        self._credit = credit
        self._owed = 0  # bytes that the socket has not taken yet; the device gets its credit for them later
        self._draining: asyncio.Task[None] | None = None
        writer.transport.set_write_buffer_limits(0)  # `drain` returns when the kernel has everything

    def write(self, data: bytes) -> None:
        self._writer.write(data)
        self._owed += len(data)
        if self._writer.transport.get_write_buffer_size() == 0:
            self._pay()
        elif self._draining is None or self._draining.done():
            self._draining = asyncio.create_task(self._drain())

    async def _drain(self) -> None:
        """The broker reads slowly: let the device wait as long."""
        try:
            await self._writer.drain()
        except OSError:
            return  # whoever reads is told as well
        self._pay()

    def _pay(self) -> None:
        owed, self._owed = self._owed, 0
        self._credit(owed)

    def close(self) -> None:
        """Close when the broker has taken what was written; CLOSING_S from now whatever it takes."""
        if self._draining:
            self._draining.cancel()
        self._writer.close()
        asyncio.get_running_loop().call_later(CLOSING_S, self._writer.transport.abort)
