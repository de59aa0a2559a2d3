"""What keeps a client connected: one task opens a connection after the other and watches its deadlines; of each, one
task reads and one writes. Both runtimes.
"""

import asyncio
import os

from ..core import const
from ..core.errors import ClosedError, ConnectError, MQTTError, SettingError
from ..serial.clock import now_ms

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..core.client import ClientProtocol
    from ..link.stats import Stats
    from ..serial.dialer import SerialDialer
    from ..serial.line import Port
    from .messages import Message
    from .suspects import Suspicion
    from .transport import Transport
    from .url import Url

DELAY_MS = const(125)  # before the first attempt to connect again, or half of it
DELAY_MAX_MS = const(32000)
USEFUL_MS = const(5000)  # how long a connection lasts at least for the delay to begin at the bottom again
CLOSING_S = const(1)  # how long an orderly end may take
PIECE = const(65536)  # bytes that are written at once; what is behind them has not left, and is not late
LINE_PIECE = const(256)  # the same on a serial line
LATE_MS = const(50)  # behind a deadline: the event loop stood still, and what has arrived meanwhile is to be read first
STALLED_S = const(1)  # how long a full inbox may stop reading while the application takes nothing


class Connecting:
    """The connections of a client, which is a subclass."""

    _finished_max = 1000  # messages whose end need not be durable yet: so many may be repeated after a crash
    _out_max = 512  # pieces of packets that are written at once, and that wait before `publish` at QoS 0 does

    if TYPE_CHECKING:
        url: Url
        client_id: str
        timeout_s: float
        inbox_max: int
        inbox_bytes: int
        retry_first: bool
        on_connection: "Callable[[bool, str], None] | None"
        _protocol: ClientProtocol

        async def _commit(self) -> None: ...
        def _stop(self, error: MQTTError) -> None: ...
        def _is_open(self) -> bool: ...
        def _wake(self) -> None: ...

        # What the runtime provides: here it would only take heap.

        async def _open(self) -> Transport:
            """Open a transport."""

        def _open_port(self, baud: int) -> Port:
            """Open the serial port of a serial:// URL at `baud` bit/s."""

    def __init__(self) -> None:
        self.is_connected = False
        self._inbox: "list[Message]" = []
        self._inbox_size = 0  # bytes of their payloads, at most
        self._full = False  # nothing is read, because of that
        self._since = 0  # ms; when the event loop had its last turn, as far as whoever takes messages knows
        self._gathered = 0  # messages acknowledged, at most: of which that is not written
        self._left = 0  # pieces of packets taken out of the protocol's `out`
        self._gone = 0  # of those, written
        self._error: "MQTTError | None" = None  # why the client is closed
        self._failure: "Exception | None" = None  # why the connection is being given up
        self._connected_once = False
        self._piece = PIECE
        self._writing = False  # the transport has not taken all of what was in `out`
        self._split = False  # a piece of it is written, perhaps in the middle of a packet, and another will be
        self._finished = 0  # messages, since the last commit began
        self._progressed = 0  # bits: a message was received, 1, or confirmed, 2, on this connection
        self._thrown_out = 0  # connections that worked and were ended by the broker, in a row (suspects.py)
        self._barren = 0  # messages set aside since one was confirmed (suspects.py)
        self._suspicion: "Suspicion | None" = None  # that a message is never taken (suspects.py)
        self._stalled = False  # the inbox is full and the application takes nothing
        self._serial: "SerialDialer | None" = None  # of a serial:// URL: the line outlives connections
        self._to_write = asyncio.Event()  # something is in the protocol's `out`
        self._attention = asyncio.Event()  # the connection's task has to look again
        self._progress = asyncio.Event()  # pulsed whenever something that somebody may wait for has happened
        self._room = asyncio.Event()  # something was taken from the inbox

    # -- what the runtime may say better

    def _words(self, error: Exception) -> str:
        """What went wrong with the connection, and what to do about it."""
        if isinstance(error, asyncio.TimeoutError):
            return "no answer from %s within %s s" % (self.url.host or self.url.path, self.timeout_s)
        return str(error)

    def _log(self, text: str) -> None:
        """Tell whoever runs the program."""

    async def _open_serial(self) -> "Transport":
        if self._serial is None:
            from ..serial.dialer import SerialDialer  # only who has a serial line loads the link

            self._piece = LINE_PIECE
            self._serial = SerialDialer(self.url, self.client_id, self._open_port, self._log, self._attention.set)
        return await self._serial.connect()

    def link_stats(self) -> "Stats | None":
        """The counters of the serial link (link/stats.py), None without one."""
        return self._serial.link.stats if self._serial else None

    # -- one connection after the other

    async def _run(self) -> None:
        """Keep a connection until the client is closed."""
        try:
            await self._keep_connected()
        except Exception as error:
            self._broken(error)
        self.is_connected = False
        self._wake()

    async def _keep_connected(self) -> None:
        """One connection after the other. The first one has to succeed, unless `retry_first`."""
        protocol = self._protocol
        delay_ms = DELAY_MS // 2
        short = 0  # connections in a row that were made and did not last
        while self._is_open():
            self._progressed = 0
            error = await self._connection()
            was_connected = self.is_connected
            reason = self._words(error)
            lived_ms = now_ms() - protocol.connected_at if was_connected else 0
            # Twice as long each time: a loop that leads nowhere must cost little, and two clients that throw each other
            # out lead nowhere, although messages flow. From the bottom again after a connection that was of use for a
            # while; no longer than before after one of use that lasted as long as that.
            useful = self._progressed or not protocol.session.unfinished
            if useful and lived_ms > max(USEFUL_MS, 4 * delay_ms):
                delay_ms = DELAY_MS
                short = 0
            else:
                if not useful or lived_ms < delay_ms:
                    delay_ms = min(2 * delay_ms, 8 * lived_ms if useful and lived_ms > 1000 else DELAY_MAX_MS)
                short += was_connected
            if self._progressed & 2:
                self._barren = 0
            pause_ms = delay_ms * (128 + os.urandom(1)[0]) // 256
            if short > 2 or self._suspicion or (not useful and lived_ms > protocol.keep_alive_ms):
                from .suspects import judge  # hardly ever needed, so not loaded before

                reason, pause_ms = judge(self, error, reason, pause_ms)  # type: ignore[arg-type]
                if self._suspicion and self._suspicion.rounds:
                    delay_ms = DELAY_MS
            protocol.closed()
            self.is_connected = False
            self._wake()
            if not self._is_open():
                return
            if isinstance(error, SettingError) or not (was_connected or self._connected_once or self.retry_first):
                self._stop(error if isinstance(error, MQTTError) else ConnectError(reason))
                return
            if was_connected and self.on_connection:
                self.on_connection(False, reason)
            self._log("%s; trying again in %d ms" % (reason, pause_ms))
            self._attention.clear()
            await self._pause(pause_ms)

    async def _pause(self, ms: int) -> None:
        """Wait for `ms` milliseconds, or until somebody asks for attention."""
        try:
            await asyncio.wait_for(self._attention.wait(), ms / 1000)
        except asyncio.TimeoutError:
            return

    async def _connection(self) -> Exception:
        """Open a transport and use it until it is lost; why it was."""
        self._failure = None
        self._attention.clear()
        while True:
            late = now_ms() + self.timeout_s * 1000 + LATE_MS
            try:
                transport = await asyncio.wait_for(self._open(), self.timeout_s)
                break
            except (OSError, MQTTError, asyncio.TimeoutError) as error:
                if not isinstance(error, asyncio.TimeoutError) or now_ms() < late:
                    return error  # else the event loop stood still, and perhaps nobody else
        protocol = self._protocol
        self._writing = self._split = False
        protocol.connect(now_ms())
        self._to_write.set()
        loops = [self._read, self._write]
        if self._suspicion:
            loops.append(self._suspicion.probe)
        tasks = [asyncio.create_task(self._guard(loop, transport)) for loop in loops]
        try:
            while self._failure is None and self._error is None:
                deadline = protocol.deadline()
                if deadline is None:
                    await self._attention.wait()
                else:
                    # An answer brings the next deadline forward, and tells nobody: look once in each keep alive.
                    wait_ms = max(deadline - now_ms(), 0)
                    await self._pause(min(wait_ms, protocol.keep_alive_ms or wait_ms))
                    if now_ms() > deadline + LATE_MS:
                        await asyncio.sleep(LATE_MS / 1000)
                    try:
                        protocol.tick(now_ms())
                    except MQTTError as error:
                        self._fail(error)
                    if protocol.out:
                        self._to_write.set()
                if self._failure is None:
                    self._attention.clear()
            if self._failure is None and self.is_connected:
                # An orderly end: `_write` sends DISCONNECT, and the broker closes when it has read all.
                self._to_write.set()
                await self._pause(CLOSING_S * 1000)
        finally:
            for task in tasks:
                task.cancel()
            transport.close()
        return self._failure or ClosedError("the client is closed")

    async def _guard(self, loop: "Callable[[Transport], Awaitable[None]]", transport: "Transport") -> None:
        """Run a loop; what ends it ends the connection, and nothing else."""
        try:
            await loop(transport)
        except asyncio.CancelledError:
            raise
        except (OSError, MQTTError) as error:
            self._fail(error)
        except Exception as error:
            self._broken(error)

    def _broken(self, error: Exception) -> None:
        """A fault of ours or of the application's callback, or no memory: say so, never hang."""
        self._stop(MQTTError("internal error: %r" % error))
        self._log(str(self._error))

    def _fail(self, error: Exception) -> None:
        """The connection is to be given up because of `error`."""
        if self._failure is None:
            self._failure = error
        self._attention.set()

    async def _read(self, transport: "Transport") -> None:
        protocol = self._protocol
        # More is waiting only if what arrives makes us answer, and the answers cannot leave.
        answers_max = 4 * self._out_max + 3 * protocol.session.window
        while True:
            data = await transport.read()
            if not data:
                error = ConnectError("the broker closed the connection")
                error.ended = 0
                raise error
            self._inbox_size += len(data)
            try:
                protocol.receive(data, now_ms())
            finally:
                if protocol.out:
                    self._to_write.set()
            self._wake()
            while len(protocol.out) > answers_max:
                await self._progress.wait()
            if self._is_full(1):
                await self._wait_for_room()

    def _is_full(self, divisor: int) -> bool:
        """Whether the inbox has reached its limits, divided by this."""
        if self._inbox_size * divisor >= self.inbox_bytes:
            self._inbox_size = sum([len(message.payload) for message in self._inbox])
        return len(self._inbox) * divisor >= self.inbox_max or self._inbox_size * divisor >= self.inbox_bytes

    async def _wait_for_room(self) -> None:
        """Do not read while the inbox is full. When the application takes nothing for a while (it may itself be waiting
        for an answer from the broker), read on, up to twice the bytes: QoS 1 and 2 are bounded by the broker's window,
        QoS 0 is dropped, counted.
        """
        self._stalled = False
        self._full = True
        while self._is_full(2) and not self._stalled and self._is_open():
            self._room.clear()
            if self._protocol.waiting_since is not None:
                self._protocol.waiting_since = now_ms()  # PINGRESP may be behind what is not read
            try:
                await asyncio.wait_for(self._room.wait(), STALLED_S)
            except asyncio.TimeoutError:
                self._stalled = self._inbox_size < 2 * self.inbox_bytes
        self._full = False

    async def _write(self, transport: "Transport") -> None:
        protocol = self._protocol
        out = protocol.out
        session = protocol.session
        left: "int | None" = None  # when CONNECT or PINGREQ has left, which waits for its answer
        while True:
            await self._to_write.wait()
            self._to_write.clear()
            while out:
                size = len(out)
                if size <= self._out_max:
                    data = b"".join(out)  # one write, however many packets there are
                    out.clear()
                else:
                    size = self._out_max
                    data = b"".join(out[:size])
                    out[:size] = []
                self._left += size
                self._writing = True
                if session.wanted or self._finished > self._finished_max:
                    session.wanted = False
                    await self._commit()  # everything that these packets tell of has been recorded
                at = 0
                while at < len(data):
                    whole = len(data) <= self._piece  # as it is: a view would be garbage on a board
                    self._split = at + self._piece < len(data)
                    await transport.write(data if whole else memoryview(data)[at : at + self._piece])
                    at += self._piece
                    protocol.sent_at = now_ms()
                    if protocol.waiting_since is not None and protocol.waiting_since != left:
                        protocol.waiting_since = protocol.sent_at  # what asks for an answer was behind this, or in it
                self._gone = self._left
                if not out:
                    self._gathered = 0
                    left = protocol.waiting_since
            self._writing = False
            if self._error:
                protocol.disconnect()
                await transport.write(b"".join(out))
                return  # nothing may be sent after DISCONNECT [MQTT-3.14.4-2]
            self._wake()
