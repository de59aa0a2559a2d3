"""What keeps a client connected: one task opens a connection after the other and watches its deadlines; of each, one
task reads and one writes. Both runtimes.

With a store, every change of the session is durable before a packet that tells of it is written; all changes that are
made while the store is busy share its next commit.
"""

import asyncio
import os

from ..core import const
from ..core.errors import ClosedError, ConnectError, MQTTError, SettingError
from ..core.features import HOST, JOURNAL, SERIAL, STREAM
from ..serial.clock import now_ms

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ..serial.dialer import SerialDialer
    from ..serial.line import Port
    from .incoming import Incoming
    from .life import Life
    from .outgoing import Outgoing
    from .pieces.interfaces import Inflow, Outflow
    from .suspects import Judge
    from .transport import Transport
    from .url import Url

DELAY_MS = const(125)  # before the first attempt to connect again, or half of it
DELAY_MAX_MS = const(32000)
USEFUL_MS = const(5000)  # how long a connection lasts at least for the delay to begin at the bottom again
CLOSING_S = const(1)  # how long an orderly end may take
PIECE = const(65536)  # bytes that are written at once; what is behind them has not left, and is not late
LINE_PIECE = const(256)  # the same on a serial line
LINE_OUT = const(12)  # pieces of packets that wait for a serial line before messages do (core/session.py)
LATE_MS = const(50)  # behind a deadline: the event loop stood still, and what has arrived meanwhile is to be read first


class Connector:
    """The connections of a client; a subclass for each runtime opens them."""

    serial: "SerialDialer | None" = None  # of a serial:// URL: the line outlives connections
    outflow: "Outflow | None" = None  # of messages whose payloads are sent piece by piece
    inflow: "Inflow | None" = None  # of those that arrive so
    judge: "Judge | None" = None  # of connections that do not last: loaded with the third in a row
    task: "asyncio.Task[None] | None" = None  # from start to end
    closing: "asyncio.Event | None" = None  # set when it is done
    if HOST:  # where they can be set (reconnect.py)
        least_ms = DELAY_MS
        greatest_ms = DELAY_MAX_MS

    def __init__(
        self,
        life: "Life",
        outgoing: "Outgoing",
        incoming: "Incoming",
        url: "Url",
        timeout_s: float,
        retry_first: bool,
        on_connection: "Callable[[bool, str], None] | None",
    ) -> None:
        self.life = life
        self.outgoing = outgoing
        self.incoming = incoming
        self.url = url
        self.timeout_s = timeout_s
        self.retry_first = retry_first
        self.on_connection = on_connection
        self.was_connected = False  # ever
        self.piece = PIECE
        self.is_writing = False  # the transport has not taken all of what was in the protocol's `out`
        self.is_split = False  # a piece of it is written, perhaps in the middle of a packet, and another will be
        life.on_connected = self.on_connected
        life.on_end = self._ended

    # -- what the runtime provides, and what it may say better

    async def open(self) -> "Transport":  # type: ignore[empty-body]
        """Open a transport to `url`."""

    def dialer_type(self) -> "type[SerialDialer]":
        """What connects over the serial line. Only who has one loads the link."""
        from ..serial.dialer import SerialDialer

        return SerialDialer

    def open_port(self, baud: int) -> "Port":  # type: ignore[empty-body]
        """Open the serial port of a serial:// URL at `baud` bit/s."""

    def words(self, error: Exception) -> str:
        """What went wrong with the connection, and what to do about it."""
        if isinstance(error, asyncio.TimeoutError):
            return "no answer from %s within %s s" % (self.url.host or self.url.path, self.timeout_s)
        return str(error)

    async def open_serial(self) -> "Transport":
        """A connection over the serial line."""
        if self.serial is None:
            self.piece = LINE_PIECE
            life = self.life
            life.session.out_max = LINE_OUT
            dialer = self.dialer_type()
            self.serial = dialer(self.url, life.client_id, self.open_port, life.log, life.attention.set)
        return await self.serial.connect()

    # -- one connection after the other

    async def run(self) -> None:
        """Keep a connection until the client is closed."""
        life = self.life
        try:
            await self._keep_connected()
        except Exception as error:
            life.break_off(error)
        life.is_connected = False
        life.wake()

    async def _keep_connected(self) -> None:
        """One connection after the other. The first one has to succeed, unless `retry_first`."""
        life = self.life
        protocol = life.protocol
        delay_ms = (self.least_ms if HOST else DELAY_MS) // 2
        short = 0  # connections in a row that were made and did not last
        while not life.error:
            self.incoming.has_received = self.outgoing.has_confirmed = False
            error = await self.connection()
            was_connected = life.is_connected
            reason = self.words(error)
            lived_ms = now_ms() - protocol.connected_at if was_connected else 0
            # Twice as long each time: a loop that leads nowhere must cost little, and two clients that throw each other
            # out lead nowhere, although messages flow. From the bottom again after a connection that was of use for a
            # while; no longer than before after one of use that lasted as long as that.
            useful = self.incoming.has_received or self.outgoing.has_confirmed or not life.session.unfinished
            if useful and lived_ms > max(USEFUL_MS, 4 * delay_ms):
                delay_ms = self.least_ms if HOST else DELAY_MS
                short = 0
            else:
                if not useful or lived_ms < delay_ms:
                    delay_ms = min(
                        2 * delay_ms,
                        8 * lived_ms if useful and lived_ms > 1000 else (self.greatest_ms if HOST else DELAY_MAX_MS),
                    )
                short += was_connected
            pause_ms = delay_ms * (128 + os.urandom(1)[0]) // 256
            if HOST:
                pause_ms = min(pause_ms, self.greatest_ms)
            judge = self.judge
            if judge and self.outgoing.has_confirmed:
                judge.barren = 0
            if short > 2 or (judge and judge.suspicion) or (not useful and lived_ms > protocol.keep_alive_ms):
                if not judge:
                    from .suspects import Judge  # hardly ever needed, so not loaded before

                    judge = self.judge = Judge(life, self.outgoing)
                reason, pause_ms = judge.judge(error, reason, pause_ms)
                if judge.suspicion and judge.suspicion.rounds:
                    delay_ms = self.least_ms if HOST else DELAY_MS
            protocol.closed()
            life.is_connected = False
            if STREAM and self.inflow:
                self.inflow.cut()
            life.wake()
            if life.error:
                return
            if isinstance(error, SettingError) or not (was_connected or self.was_connected or self.retry_first):
                life.end(error if isinstance(error, MQTTError) else ConnectError(reason))
                return
            if was_connected and self.on_connection:
                self.on_connection(False, reason)
            life.log("%s; trying again in %d ms" % (reason, pause_ms))
            life.attention.clear()
            await self.pause(pause_ms)

    async def pause(self, ms: int) -> None:
        """Wait for `ms` milliseconds, or until somebody asks for attention."""
        try:
            await asyncio.wait_for(self.life.attention.wait(), ms / 1000)
        except asyncio.TimeoutError:
            return

    async def connection(self) -> Exception:
        """Open a transport and use it until it is lost; why it was."""
        life = self.life
        life.failure = None
        life.attention.clear()
        while True:
            late = now_ms() + self.timeout_s * 1000 + LATE_MS
            try:
                transport = await asyncio.wait_for(self.open(), self.timeout_s)
                break
            except (OSError, MQTTError, asyncio.TimeoutError) as error:
                if not isinstance(error, asyncio.TimeoutError) or now_ms() < late:
                    return error  # else the event loop stood still, and perhaps nobody else
        protocol = life.protocol
        self.is_writing = self.is_split = False
        protocol.connect(now_ms())
        life.to_write.set()
        loops = [self.read, self.write]
        if self.judge and self.judge.suspicion:
            loops.append(self.judge.suspicion.probe)
        tasks = [asyncio.create_task(self._guard(loop, transport)) for loop in loops]
        try:
            while not (life.failure or life.error):
                deadline = protocol.deadline()
                if deadline is None:
                    await life.attention.wait()
                else:
                    # An answer brings the next deadline forward, and tells nobody: look once in each keep alive.
                    wait_ms = max(deadline - now_ms(), 0)
                    await self.pause(min(wait_ms, protocol.keep_alive_ms or wait_ms))
                    if now_ms() > deadline + LATE_MS:
                        await asyncio.sleep(LATE_MS / 1000)
                    if STREAM and self.outflow:
                        self.outflow.look()
                    self.tick()
                    if protocol.out:
                        life.to_write.set()
                if not life.failure:
                    life.attention.clear()
            if not life.failure and life.is_connected:
                # An orderly end: `write` sends DISCONNECT, and the broker closes when it has read all.
                life.to_write.set()
                await self.pause(CLOSING_S * 1000)
        finally:
            for task in tasks:
                task.cancel()
            transport.close()
        return life.failure or ClosedError("the client is closed")

    def tick(self) -> None:
        """A deadline may have passed."""
        try:
            self.life.protocol.tick(now_ms())
        except MQTTError as error:
            self.life.fail(error)

    async def _guard(self, loop: "Callable[[Transport], Awaitable[None]]", transport: "Transport") -> None:
        """Run a loop; what ends it ends the connection, and nothing else."""
        try:
            await loop(transport)
        except asyncio.CancelledError:
            raise
        except (OSError, MQTTError) as error:
            self.life.fail(error)
        except Exception as error:
            self.life.break_off(error)

    def on_connected(self, session_present: bool) -> None:
        """Of core.events: CONNACK was accepted; repeats and subscriptions are in `out`."""
        life = self.life
        life.is_connected = self.was_connected = True
        life.attention.set()  # another deadline now
        life.session_present = session_present
        if self.on_connection:
            self.on_connection(True, "")

    def _ended(self, error: MQTTError) -> None:
        """The client is closed."""
        self.outgoing.give_up(error)
        self.incoming.has_room.set()
        if STREAM and self.inflow:
            self.inflow.cut()

    # -- reading and writing

    async def read(self, transport: "Transport") -> None:
        life = self.life
        incoming = self.incoming
        protocol = life.protocol
        # More is waiting only if what arrives makes us answer, and the answers cannot leave.
        answers_max = 4 * life.out_max + 3 * life.session.window
        while True:
            data = await transport.read()
            if not data:
                error = ConnectError("the broker closed the connection")
                error.ended = 0
                raise error
            incoming.size += len(data)
            try:
                protocol.receive(data, now_ms())
            finally:
                if protocol.out:
                    life.to_write.set()
            life.wake()
            while len(protocol.out) > answers_max:
                await life.progress.wait()
            if incoming.is_full(1):
                await incoming.wait_for_room()
            if STREAM and self.inflow:
                await self.inflow.wait_for_room()

    async def write(self, transport: "Transport") -> None:
        """Write what is in the protocol's `out`, up to DISCONNECT."""
        life = self.life
        protocol = life.protocol
        out = protocol.out
        session = life.session
        left: "int | None" = None  # when CONNECT or PINGREQ has left, which waits for its answer
        while True:
            await life.to_write.wait()
            life.to_write.clear()
            while out:
                if STREAM and self.outflow and self.outflow.count and await self.outflow.write(transport):
                    continue
                size = len(out)
                if size <= life.out_max:
                    data = b"".join(out)  # one write, however many packets there are
                    out.clear()
                else:
                    size = life.out_max
                    data = b"".join(out[:size])
                    out[:size] = []
                life.taken_out += size
                self.is_writing = True
                if JOURNAL and (session.wanted or life.finished > life.finished_max):
                    session.wanted = False
                    await life.commit()  # everything that these packets tell of has been recorded
                at = 0
                while at < len(data):
                    whole = len(data) <= self.piece  # as it is: a view would be garbage on a board
                    self.is_split = at + self.piece < len(data)
                    await transport.write(data if whole else memoryview(data)[at : at + self.piece])
                    at += self.piece
                    protocol.sent_at = now_ms()
                    if protocol.waiting_since is not None and protocol.waiting_since != left:
                        protocol.waiting_since = protocol.sent_at  # what asks for an answer was behind this, or in it
                life.written = life.taken_out
                if not out:
                    self.incoming.gathered = 0
                    left = protocol.waiting_since
                    if SERIAL and session.sent < session.next:
                        session._pump()
            self.is_writing = False
            if life.error:
                protocol.disconnect()
                await transport.write(b"".join(out))
                return  # nothing may be sent after DISCONNECT [MQTT-3.14.4-2]
            life.wake()
