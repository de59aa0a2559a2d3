"""Forward mode: what a device sends goes to a connection of its own to the broker, and back, byte for byte.

The gateway reads no MQTT here but the broker's first answer, to name a refusal. It connects upstream when the device
opens a connection, tells the device when the broker is gone (the connection closes, or is refused) and when it is back,
and holds each side back when the other is slow. What must hold:

* What belongs to one connection dies with it: socket, tasks, bytes not yet acknowledged to the device.
* What is here is bounded: from the device by the link's receive window, from the broker by what asyncio takes off a
  socket at once (256 KiB, seldom more than READ_SIZE) and READ_SIZE × 3.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from mqttlite.core.errors import MQTTError
from mqttlite.link.stream import BY_APPLICATION, UPSTREAM_BACK, UPSTREAM_CLOSED, UPSTREAM_UNREACHABLE, Stream
from mqttlite.link.words import stream_reason

from .saying import Saying
from .upstream import ANSWER_MAX, READ_SIZE, Streams, answer, is_goodbye, last_word

_T = TypeVar("_T")

CONNECT_TIMEOUT_S = 5.0
PROBE_FIRST_S = 0.25  # from one look whether the broker is back to the next, doubling up to
PROBE_MAX_S = 4.0
CLOSING_S = 5.0  # what the device sent before it closed, such as DISCONNECT, has so long to reach the broker,
ENDING_S = 1.0  # or so long, when the gateway ends
PATIENCE_S = 1.0  # a device that gives up sooner has not waited for the broker's answer
GOODBYE_MAX = 16  # last bytes of a device in which its DISCONNECT is looked for
ATTEMPTS = 20  # connections that a device may ask for at once,
ATTEMPT_EVERY_S = 0.5  # and then one in so many seconds: the broker must not pay for a device gone wild


class Broker(Protocol):
    """What a forwarder asks of the broker; see upstream.Upstream."""

    async def connect(self) -> Streams:
        """Open a connection. Raises OSError or ConnectError."""

    async def look(self) -> None:
        """Whether it can be reached; raises as `connect` does."""

    def explain(self, error: Exception) -> str:
        """Words for why `connect` failed."""

    def explain_first(self, begin: bytes, waited_s: float | None = None) -> str:
        """Words for a peer that began with these bytes and is no broker; without any: has closed, or did not in this
        time.
        """


class Forwarder:
    """Joins the connections of one `stream` (a serial line) to connections to `broker`. Log lines go to `say`.

    `device`: what log lines call the device. Counters: `connections`, `refused` (no connection to the broker),
    `up_bytes`, `down_bytes`.
    """

    def __init__(self, say: Saying, stream: Stream, broker: Broker) -> None:
        self.device = "the device"
        self.connections = 0
        self.refused = 0
        self.up_bytes = 0
        self.down_bytes = 0
        self._stream = stream
        self._broker = broker
        self._say = say
        self._task: asyncio.Task[None] | None = None  # from OPEN to the end of the connection
        self._probe: asyncio.Task[None] | None = None
        self._upstream: _Upstream | None = None
        self._finishing: set[asyncio.Task[None]] = set()  # connections that have ended: the broker takes the rest
        self._unreachable = ""  # why the last attempt to reach the broker failed; said once, not at every attempt
        self._refusal = ""  # what the broker answered instead of taking the device; likewise
        self._told = b""  # the last bytes from the device
        self._asked_at = 0.0  # when the device began to wait for the broker's first answer; 0.0: it does not
        self._attempts = float(ATTEMPTS)  # that may be made at once
        self._attempted_at = 0.0
        self._writable = asyncio.Event()  # the line takes more
        stream.on_open = self._opened
        stream.on_data = self._from_device
        stream.on_close = self._closed
        stream.on_writable = self._writable.set

    @property
    def connected(self) -> bool:
        """Whether a connection to the broker is open."""
        return self._upstream is not None

    @property
    def problem(self) -> str:
        """Why the device has no connection to the broker that is of any use; "" while nothing is known of that."""
        return self._unreachable or self._refusal

    async def close(self) -> None:
        """End the connection and every task."""
        tasks = [task for task in (self._task, self._probe) if task]
        self._end()
        if self._probe:
            self._probe.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._finishing:
            _, late = await asyncio.wait(self._finishing, timeout=ENDING_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # -- the device's side

    def _opened(self, n: int) -> None:
        self._end()
        self._task = asyncio.create_task(self._forward(n))

    def _closed(self, reason: int) -> None:
        if self._upstream and self._asked_at and reason == BY_APPLICATION:
            waited_s = asyncio.get_running_loop().time() - self._asked_at
            if waited_s > PATIENCE_S:
                self._refused(self._broker.explain_first(b"", waited_s))
        self._say.info("connection ended: %s", stream_reason(reason))
        self._end()

    def _end(self) -> None:
        """End the connection, or the attempt to make one."""
        if self._task:
            self._task.cancel()
            self._task = None
        self._drop()

    def _drop(self) -> None:
        if self._upstream:
            self._upstream.stop()
            finishing = asyncio.create_task(self._upstream.finish())
            self._finishing.add(finishing)
            finishing.add_done_callback(self._finishing.discard)
            self._upstream = None

    def _from_device(self, data: bytes | memoryview) -> None:
        if self._upstream:
            self.up_bytes += len(data)
            data = bytes(data)
            self._told = data[-GOODBYE_MAX:] if len(data) >= GOODBYE_MAX else (self._told + data)[-GOODBYE_MAX:]
            self._upstream.write(data)
        else:  # between the broker's end of the connection and its CLOSE on the line there is nobody for it
            self._stream.consumed(len(data))

    # -- the broker's side

    async def _forward(self, n: int) -> None:
        """Connect upstream for connection `n` of the device, and carry what the broker sends."""
        await self._turn()
        try:
            reader, writer = await self._in_time(self._broker.connect())
        except (OSError, MQTTError) as error:
            self.refused += 1
            self._say_unreachable(error)
            self._stream.refuse(n, UPSTREAM_UNREACHABLE)
            self._watch()
            return
        if self._probe:
            self._probe.cancel()
        self._unreachable = ""
        self.connections += 1
        self._upstream = _Upstream(reader, writer, self._stream.consumed)
        self._told = b""
        if not self._stream.accept(n):  # cannot be: when the device gives up, this task is cancelled
            self._drop()
            return
        self._asked_at = asyncio.get_running_loop().time()
        begin: bytes | None = b""  # what the broker has said, while it is not known what that means
        data = last = b""
        ended = "it closed the connection"
        reason = UPSTREAM_CLOSED
        try:
            while data := await reader.read(READ_SIZE):
                self._asked_at = 0.0
                if begin is not None:
                    try:
                        begin = self._begun(begin + data)
                    except _NoBrokerError:
                        begin = None
                        reason = UPSTREAM_UNREACHABLE  # which is better for the device than bytes that it cannot read
                        break
                self.down_bytes += len(data)
                await self._to_device(data)
                last = data
        except OSError as error:
            ended = error.strerror or str(error)
        if begin is not None:
            self._refused(self._broker.explain_first(begin))
        elif not self._refusal:
            said = last_word(last)
            if not said and is_goodbye(self._told):
                self._say.info("%s has said goodbye (DISCONNECT)", self.device)
            else:
                self._say.info("the broker ended the connection: %s", said or ended)
        self._drop()
        self._stream.close(reason)
        self._watch()

    async def _turn(self) -> None:
        """Wait until another connection may be asked for; whoever asks again meanwhile cancels this one."""
        now = asyncio.get_running_loop().time()
        self._attempts = min(self._attempts + (now - self._attempted_at) / ATTEMPT_EVERY_S, ATTEMPTS)
        self._attempted_at = now
        if self._attempts < 1:
            self._say.warning("%s asks for connection after connection; it has to wait", self.device)
            await asyncio.sleep(ATTEMPT_EVERY_S)
        else:
            self._attempts -= 1

    def _begun(self, begin: bytes) -> bytes | None:
        """Find out what the broker answers to CONNECT from its first bytes; those again while they are too few.
        Raises _NoBrokerError.
        """
        found = answer(begin)
        if found is None:
            return begin if len(begin) < ANSWER_MAX else None
        if not found.is_mqtt:
            self._refused(self._broker.explain_first(begin))
            raise _NoBrokerError
        if found.refusal:
            self._refused(f"the broker refuses {self.device}: {found.refusal}")
        else:
            self._refusal = ""
            self._say.info("connected to the broker")
        return None

    def _refused(self, why: str) -> None:
        """Say it once, not at every attempt."""
        if why != self._refusal:
            self._say.warning("%s", why)
        self._refusal = why

    async def _in_time(self, work: Awaitable[_T]) -> _T:
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                return await work
        except TimeoutError:
            raise OSError(f"no answer within {CONNECT_TIMEOUT_S:g} s") from None

    def _say_unreachable(self, error: Exception) -> None:
        words = self._broker.explain(error)
        if words != self._unreachable:
            self._say.warning("the broker cannot be reached: %s", words)
        self._unreachable = words

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
                await self._in_time(self._broker.look())
            except (OSError, MQTTError) as error:
                self._say_unreachable(error)
                continue
            if self._unreachable:
                self._unreachable = ""
                self._say.info("the broker is back")
                self._stream.notify(UPSTREAM_BACK)
            return


class _NoBrokerError(Exception):
    """What answers does not speak MQTT; it has been said."""


class _Upstream:
    """What is written to one connection to the broker, and its end. `credit(n)`: its socket has taken n bytes."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, credit: Callable[[int], None]
    ) -> None:
        self._reader = reader
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

    def stop(self) -> None:
        """Nothing more is written, and no credit given any more."""
        if self._draining:
            self._draining.cancel()

    async def finish(self) -> None:
        """Tell the broker that this is all, and let it take that; CLOSING_S from now whatever it does. What it still
        sends is read: bytes that nobody has read make a close a reset, which may overtake the device's last ones.
        """
        try:
            async with asyncio.timeout(CLOSING_S):
                if not self._writer.is_closing():
                    self._writer.write_eof()
                while await self._reader.read(READ_SIZE):
                    pass
        except OSError:  # a TimeoutError, too
            pass
        finally:
            self._writer.transport.abort()
