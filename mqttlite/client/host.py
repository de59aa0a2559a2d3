"""The client on CPython: TCP, Unix sockets and serial lines on asyncio."""

import asyncio
import contextlib
import errno
import inspect
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..core.codec import topic_of
from ..core.errors import ConnectError, ProtocolError, RefusedError
from ..core.shown import shown
from ..core.sizes import PACKET_MAX
from ..serial.clock import now_ms
from ..store.base import Store, StoreError
from .checked import CheckedClient
from .checks import check_function, check_seconds
from .connecting import LINE_PIECE
from .dialing import open_tcp
from .sockets import SocketTransport
from .transport import Transport
from .url import Url

if TYPE_CHECKING:
    from ..serial.ports import HostPort
    from .messages import Message
    from .watchdog import Guard

log = logging.getLogger("mqttlite.client")

PORT = 1883


class Client(CheckedClient):
    """The client on CPython; see BaseClient for its arguments and methods. A path as `store` means SQLite.

    An argument of the wrong type or out of range raises TypeError or ValueError; a use before `start` RuntimeError.
    """

    _size_max = PACKET_MAX

    def _make_store(self, path: str) -> Store:
        from ..store.sqlite import SqliteStore

        return SqliteStore(path)

    _transport: SocketTransport | None = None  # of the connection, unless it is a serial line
    _guard_of: "Guard | None" = None  # of the connection, when it has a keep alive and a socket

    async def handle(self, handler: "Callable[[Message], Any]") -> None:
        """Call `handler(message)` for each message, one after the other, until the client is closed: in a thread of its
        own, so that it may block for as long as it has to, or as a coroutine function in the event loop.

        A message counts as handled when the handler has returned. What a handler raises is raised here, and its message
        is not acknowledged. Of the client, a handler in a thread may use what
        `asyncio.run_coroutine_threadsafe` runs in the event loop. Cancelled, this returns when the handler has.
        """
        check_function("handler", handler)
        if inspect.iscoroutinefunction(handler):
            async for message in self:
                await handler(message)
            return
        from .threads import HandlerThread

        thread = HandlerThread("mqttlite handler")
        try:
            async for message in self:
                await thread.call(handler, message)
        finally:
            thread.close()

    async def start(self) -> None:
        """As BaseClient.start."""
        if hasattr(self.store, "on_room"):
            self.store.on_room = self._wake  # a disk has room again, though nothing was confirmed
        await super().start()

    async def close(self) -> None:
        """As BaseClient.close. StoreError also when the disk is full, and something that was taken is not on it."""
        if hasattr(self.store, "hurry"):
            self.store.hurry()
        await super().close()

    async def _open(self) -> Transport:
        url = self.url
        self._transport = None
        if url.scheme == "mqtt":
            self._transport = (await open_tcp(SocketTransport, url.host or "localhost", url.port or PORT))[1]
            return self._transport
        if url.scheme == "unix":
            loop = asyncio.get_running_loop()
            self._transport = (await loop.create_unix_connection(SocketTransport, url.path))[1]
            return self._transport
        if url.scheme == "serial":
            return await self._open_serial()
        raise ConnectError(f"'{url.scheme}' is not a known scheme; use mqtt://, unix:// or serial://")

    def on_connected(self, session_present: bool) -> None:
        """See BaseClient; from now on a thread looks whether PINGREQ is overdue."""
        super().on_connected(session_present)
        transport = self._transport
        if transport and transport.has_descriptor and self._protocol.keep_alive_ms:
            from .watchdog import Guard, watchdog

            self._guard_of = Guard(self, transport, asyncio.get_running_loop())
            watchdog.add(self._guard_of)

    async def _connection(self) -> Exception:
        try:
            error = await super()._connection()
        finally:
            if self._guard_of:
                from .watchdog import watchdog

                watchdog.remove(self._guard_of)
                self._guard_of = None
        transport = self._transport
        if transport is None or self.is_connected or self._error or isinstance(error, (RefusedError, StoreError)):
            return error
        return await self._explained(error, transport)

    async def _write(self, transport: Transport) -> None:
        await super()._write(transport)  # ends after DISCONNECT
        if isinstance(transport, SocketTransport):
            transport.write_eof()

    async def _explained(self, error: Exception, transport: SocketTransport) -> Exception:
        """`error` ended a connection before CONNACK: perhaps because no MQTT broker is there."""
        from . import recognise

        first = transport.first
        if first[:1] == b"\x20":  # CONNACK, or something like it
            return error
        url = self.url
        words = recognise.recognise(first)
        if not first:
            if self._connected_once:  # there is a broker, then
                return error
            port = url.port or PORT if url.scheme == "mqtt" else 0
            if transport.ended and port and not self.retry_first:  # it is about to be told, and once is enough
                words = recognise.recognise(await recognise.probe(url.host or "localhost", port))
            words = words or recognise.silent(port, None if transport.ended else self.timeout_s)
        elif isinstance(error, ProtocolError):
            words = words or recognise.not_mqtt(first)
        if not words:
            return error
        explained = ConnectError(f"{where(self.url)} {words}")
        explained.__cause__ = error
        return explained

    def _fail(self, error: Exception) -> None:
        # Whether PINGREQ is late, or behind what the kernel has not got rid of yet, only the kernel knows.
        transport = self._transport
        late = isinstance(error, ConnectError) and error.ended < 0 and self._protocol.waiting_since is not None
        if late and self.is_connected and transport and transport.gets_rid():
            self._protocol.waiting_since = now_ms()
            return
        super()._fail(error)

    async def heard(self, timeout_s: float = 10) -> bool:
        """Whether the broker has read all that was sent on this connection, QoS 0 included: asks for a sign of life,
        and waits for it, `timeout_s` seconds at most. False when the connection is lost first: then what was published
        last at QoS 0 may be lost, too. TypeError or ValueError unless `timeout_s` is a number above 0.
        """
        check_seconds("timeout_s", timeout_s)
        self._check_use()
        protocol = self._protocol
        if not self.is_connected:
            return False
        protocol.ping(now_ms())
        self._to_write.set()
        self._attention.set()  # another deadline now
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self.is_connected and protocol.waiting_since is not None:
                    await self._progress.wait()
        return self.is_connected and protocol.waiting_since is None

    async def _open_serial(self) -> Transport:
        if self._serial is None:
            from ..serial.dialer_host import HostSerialDialer

            self._piece = LINE_PIECE
            self._serial = HostSerialDialer(self.url, self.client_id, self._open_port, self._log, self._attention.set)
        return await self._serial.connect()

    def _open_port(self, baud: int) -> "HostPort":
        from ..serial.ports import open_port  # needs pyserial

        return open_port(self.url.path, baud, self.url.query.get("rtscts", "0") == "1")

    def _log(self, text: str) -> None:
        # Topics, names and a broker's own words: a log is read on a terminal, and a line of it is one line.
        log.warning("%s: %s", shown(self.client_id), text if text.isprintable() else shown(text, len(text)))

    def _words(self, error: Exception) -> str:
        if self.is_connected:
            return self._lost(error)
        if isinstance(error, ConnectionError) and self._transport:  # there was a connection already
            why = error.strerror or error
            return f"the broker at {where(self.url)} was reached, and ended the connection before CONNACK: {why}"
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            return why_unreachable(self.url, error)
        return super()._words(error)

    def _lost(self, error: Exception) -> str:
        """What has ended a connection that was there, and what was under way."""
        is_line = self.url.scheme == "serial"
        broker = "the broker" if is_line else f"the broker at {where(self.url)}"
        if isinstance(error, ConnectError) and error.ended == 0:
            words = f"{broker} closed the connection"
        elif isinstance(error, OSError):
            words = f"the connection to {broker} was lost: {error.strerror or error}"
        else:
            words = str(error) if is_line else f"the connection to {broker} was given up: {error}"
        session = self._protocol.session
        message = session.messages.get(session.first)
        if message and session.first < session.sent:
            topic = topic_of(message[0]).decode()
            words += f" while message {session.first} ('{topic}', {len(message[1]):,} bytes) was not confirmed"
        return words


def where(url: Url) -> str:
    """What a broker's address is called."""
    return url.path if url.scheme in ("unix", "serial") else f"{url.host or 'localhost'}:{url.port or PORT}"


def why_unreachable(url: Url, error: Exception) -> str:
    """Why no connection to `url` could be made, and what to do about it."""
    if isinstance(error, socket.gaierror):
        return f"cannot find the host '{url.host}' ({error.strerror}); check the name"
    if not isinstance(error, OSError):
        return str(error)
    if error.errno == errno.ECONNREFUSED or isinstance(error, ConnectionRefusedError):
        return f"nothing listens at {where(url)}; is the broker running, and is this its port?"
    if error.errno == errno.ENOENT:
        return f"there is no {where(url)}; is the broker running?"
    return f"cannot reach {where(url)}: {error.strerror or error}"
