"""The connections of a client on CPython: TCP, Unix sockets, serial lines; and what went wrong with them, in words."""

import asyncio
from typing import TYPE_CHECKING, Any

from ...core.codec import topic_of
from ...core.errors import ConnectError, MQTTError, ProtocolError, RefusedError, StoreError
from ...serial.clock import now_ms
from ..connector import Connector
from ..traffic.incoming_host import HostIncoming
from ..transport import Transport
from .dialing import open_tcp
from .flow import Flow
from .sockets import SocketTransport
from .unreachable import PORTS, port_of, where, why_unreachable, without_user

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from ...serial.dialer_host import HostSerialDialer
    from ...serial.ports import HostPort
    from ..arguments.reconnect import Reconnect
    from ..authentication import Exchange
    from ..life import Life
    from ..secure.dialer import Dialer
    from ..secure.tls_options import TlsOptions
    from ..traffic.outgoing_host import HostOutgoing
    from ..url import Url
    from .watchdog import Guard


class HostConnector(Connector):
    """See Connector."""

    transport: SocketTransport | None = None  # of the connection, unless it is a serial line
    tls: "TlsOptions | None" = None  # what the client was told about TLS
    dialer: "Dialer | None" = None  # of mqtts://, ws:// and wss://
    guard: "Guard | None" = None  # of the connection, when it has a keep alive and a socket
    connections = 0  # that were accepted, until now
    give_up_after_s: float | None = None  # without a connection (reconnect.py)
    is_anonymous = False  # no user name was given
    follows = False  # to the server that a broker of 5.0 names
    home: "Url | None" = None  # where to go when that has ended
    exchange: "Exchange | None" = None  # authentication in several packets (5.0)
    _giving_up: asyncio.TimerHandle | None = None
    incoming: HostIncoming

    def __init__(self, life: "Life", outgoing: "HostOutgoing", incoming: HostIncoming, *options: Any) -> None:
        super().__init__(life, outgoing, incoming, *options)
        self.flow = life.to_write = Flow(self, outgoing, incoming)
        incoming.flush = self.flow.flush
        self.ended = asyncio.Event()  # pulsed at the end, and when a function that is called has failed (comfort.py)

    async def open(self) -> Transport:
        """See Connector."""
        url = self.url
        self.transport = None
        if self.exchange:
            self.exchange.begin()
        if url.scheme == "mqtt":
            self.transport = (await open_tcp(SocketTransport, url.host or "localhost", port_of(url)))[1]
            return self.transport
        if url.scheme in PORTS:
            if self.dialer is None:
                from ..secure.dialer import Dialer  # only who has such a URL loads it

                self.dialer = Dialer(url, self.tls)
            self.transport = (await self.dialer.open(SocketTransport))[1]
            return self.transport
        if url.scheme == "unix":
            loop = asyncio.get_running_loop()
            self.transport = (await loop.create_unix_connection(SocketTransport, url.path))[1]
            return self.transport
        if url.scheme == "serial":
            return await self.open_serial()
        raise ConnectError(
            f"'{url.scheme}' is not a known scheme; use {', '.join(name + '://' for name in PORTS)}, unix:// or serial://"
        )

    def on_connected(self, session_present: bool) -> None:
        """See Connector; from now on a thread looks whether PINGREQ is overdue."""
        self.connections += 1
        if self._giving_up:
            self._giving_up.cancel()
            self._giving_up = None
        super().on_connected(session_present)
        transport = self.transport
        if transport and transport.has_descriptor and self.life.protocol.keep_alive_ms:
            from .watchdog import Guard, watchdog

            self.guard = Guard(self, transport, asyncio.get_running_loop())
            watchdog.add(self.guard)

    def set_delays(self, reconnect: "Reconnect") -> None:
        """How long to wait before the next attempt to connect, and in all."""
        self.least_ms = max(round(reconnect.least_s * 1000), 1)
        self.greatest_ms = max(round(reconnect.greatest_s * 1000), 1)
        self.give_up_after_s = reconnect.give_up_after_s

    def _give_up(self) -> None:
        self.life.end(ConnectError(f"no connection to {where(self.url)} for {self.give_up_after_s} s: given up"))

    async def run(self) -> None:
        """See Connector."""
        try:
            await super().run()
        finally:
            if self._giving_up:
                self._giving_up.cancel()

    def _ended(self, error: MQTTError) -> None:
        super()._ended(error)
        self.ended.set()
        self.incoming.wake()

    async def connection(self) -> Exception:
        """See Connector. Where the broker names another server, and the client follows, on to that one."""
        error = await self.one_connection()
        if self.follows:
            from ..versions.server_reference import follow

            return await follow(self, error)
        return error

    def go_to(self, url: "Url") -> None:
        """Connect to this from now on."""
        self.url = url
        self.dialer = None

    async def one_connection(self) -> Exception:
        """As `connection`, of one server."""
        if self.give_up_after_s and not self._giving_up:  # it counts from the end of the last connection
            self._giving_up = asyncio.get_running_loop().call_later(self.give_up_after_s, self._give_up)
        try:
            error = await super().connection()
        finally:
            self.flow.end()
            if self.guard:
                from .watchdog import watchdog

                watchdog.remove(self.guard)
                self.guard = None
        if isinstance(error, RefusedError) and self.is_anonymous and not self.exchange:
            return without_user(error)
        transport = self.transport
        life = self.life
        if transport is None or life.is_connected or life.error or isinstance(error, (RefusedError, StoreError)):
            return error
        return await self._explained(error, transport)

    async def _guard(self, loop: "Callable[[Transport], Awaitable[None]]", transport: Transport) -> None:
        """See Connector. A connection that has ended has nothing to say about the next one."""

        async def run(transport: Transport) -> None:
            try:
                await loop(transport)
            except Exception:
                task = asyncio.current_task()
                if task is None or not task.cancelling():
                    raise

        await super()._guard(run, transport)

    async def read(self, transport: Transport) -> None:
        """See Connector."""
        await (self.flow.read(transport) if transport is self.transport else super().read(transport))

    async def write(self, transport: Transport) -> None:
        """See Connector."""
        await (self.flow.write(transport) if transport is self.transport else super().write(transport))

    async def _explained(self, error: Exception, transport: SocketTransport) -> Exception:
        """`error` ended a connection before CONNACK: perhaps because no MQTT broker is there."""
        from . import recognise

        first = transport.first
        if first[:1] == b"\x20":  # CONNACK, or something like it
            return error
        url = self.url
        words = recognise.recognise(first)
        if not first:
            if self.was_connected:  # there is a broker, then
                return error
            port = port_of(url) if url.scheme == "mqtt" else 0
            if transport.ended and port and not self.retry_first:  # it is about to be told, and once is enough
                words = recognise.recognise(await recognise.probe(url.host or "localhost", port))
            if self.dialer:
                words = self.dialer.late_words(error)
            if not words:
                words = recognise.silent(port, None if transport.ended else self.timeout_s, self.dialer is not None)
                if transport.ended and self.dialer:
                    words += self.dialer.perhaps()
        elif isinstance(error, ProtocolError):
            words = words or recognise.not_mqtt(first)
        if not words:
            return error
        explained = ConnectError(f"{where(self.url)} {words}")
        explained.__cause__ = error
        return explained

    def tick(self) -> None:
        """See Connector. Whether PINGREQ is late, or behind what the kernel has not got rid of yet, only the kernel
        knows.
        """
        protocol = self.life.protocol
        try:
            protocol.tick(now_ms())
        except MQTTError as error:
            if self.life.is_connected and self.transport and self.transport.gets_rid():
                protocol.waiting_since = now_ms()
            else:
                self.life.fail(error)

    def dialer_type(self) -> "type[HostSerialDialer]":
        """See Connector."""
        from ...serial.dialer_host import HostSerialDialer

        return HostSerialDialer

    def open_port(self, baud: int) -> "HostPort":
        """See Connector."""
        from ...serial.ports import open_port  # needs pyserial

        return open_port(self.url.path, baud, self.url.query.get("rtscts", "0") == "1")

    def words(self, error: Exception) -> str:
        """See Connector."""
        if self.life.is_connected:
            return self._lost(error)
        if isinstance(error, ConnectionError) and self.transport:  # there was a connection already
            why = error.strerror or error
            return f"the broker at {where(self.url)} was reached, and ended the connection before CONNACK: {why}"
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            return why_unreachable(self.url, error)
        return super().words(error)

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
        session = self.life.session
        message = session.messages.get(session.first)
        if message and session.first < session.sent:
            topic = topic_of(message[0]).decode()
            size = getattr(message[1], "size", len(message[1]))  # of a stream, whose bytes are not here
            words += f" while message {session.first} ('{topic}', {size:,} bytes) was not confirmed"
        return words
