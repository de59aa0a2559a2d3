"""The client on MicroPython: TCP over Wi-Fi, and the serial link over a UART."""

import asyncio

from ..core import PORT, const
from ..core.errors import SettingError
from ..core.features import SERIAL, TLS
from .connector import Connector
from .face import BaseClient

TYPE_CHECKING = const(0)
if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from ..serial.line import Port
    from ..store.base import Store
    from .transport import Transport

READ_SIZE = const(256)  # bytes asked for at once; what a read allocates
STARVED_MAX = const(5)  # attempts to connect, one after the other, that find no memory in the network's buffers
_ENOMEM = const(12)


class StreamTransport:
    """A connected socket, as MicroPython's stream."""

    def __init__(self, stream: "Any") -> None:
        self._stream = stream

    def read(self) -> "Coroutine[Any, Any, bytes]":
        """What has arrived, at least one byte; b"" when the peer has closed."""
        return self._stream.read(READ_SIZE)  # type: ignore[no-any-return]

    async def write(self, data: "bytes | memoryview") -> None:
        """Write `data` as one piece."""
        stream = self._stream
        stream.write(data)
        if stream.out_buf:  # what the socket has not taken at once
            await stream.drain()

    def close(self) -> None:
        """Close at once."""
        self._stream.s.close()


class BoardConnector(Connector):
    """See Connector."""

    _starved = 0
    tls: "Any" = None  # whom to trust, and the name to look for: as Client was told
    server_name = ""
    _address = -1  # of the host's addresses, the one before the next to be tried

    async def open(self) -> "Transport":
        """See Connector."""
        url = self.url
        if url.scheme == "mqtt" or (TLS and url.scheme == "mqtts"):
            host = url.host
            port = url.port or PORT
            if TLS and url.scheme == "mqtts":
                from . import board_tls

                port = url.port or board_tls.PORT
            self._address += 1  # the next one, unless it turns out to be the broker
            try:
                if self._address:
                    from .addresses import other

                    host = other(host, port, self._address)
                stream, _ = await asyncio.open_connection(host, port)
                self._starved = 0
            except OSError as error:
                self._starved = self._starved + 1 if error.errno == _ENOMEM else 0
                if self._starved == STARVED_MAX:
                    raise MemoryError from None  # only a restart helps, and only the program can do it
                raise
            try:
                # TCP_NODELAY: without it a packet can wait for a delayed acknowledgement
                stream.s.setsockopt(6, 1, 1)  # type: ignore[attr-defined]
            except OSError:
                pass  # not every port of MicroPython has it
            if TLS and url.scheme == "mqtts":
                return board_tls.TlsTransport(stream, self.tls, self.server_name or url.host)
            return StreamTransport(stream)
        if SERIAL and url.scheme == "serial":
            return await self.open_serial()
        raise SettingError("'" + url.scheme + "' is not a known scheme; use mqtt:// or serial://")

    def on_connected(self, session_present: bool) -> None:
        """See Connector: this address again, next time."""
        self._address -= 1
        Connector.on_connected(self, session_present)

    def open_port(self, baud: int) -> "Port":
        """See Connector."""
        if SERIAL and self.url.host == "usb":
            from ..serial.usb_port import UsbPort

            return UsbPort(self.serial)  # type: ignore[arg-type]
        from ..serial.board_port import open_port

        return open_port(self.url, baud)

    def words(self, error: Exception) -> str:
        """See Connector."""
        if isinstance(error, OSError):
            from ..core.oserror import words

            return words(error)
        return Connector.words(self, error)


class Client(BaseClient):
    """The client on a board; see BaseClient for its arguments and methods. Queues are smaller by default. A path as
    `store` means a journal on the file system. For mqtts://, `tls` says whom to trust (board_tls.py), and `server_name`
    under which name, if not that of the URL."""

    _connector_type = BoardConnector
    _clear_step = 128

    def __init__(
        self,
        url: str,
        *,
        queue_max: int = 40,
        inbox_max: int = 20,
        inbox_bytes: int = 16384,
        tls: "Any" = None,
        server_name: str = "",
        **options: "Any",
    ) -> None:
        BaseClient.__init__(self, url, queue_max=queue_max, inbox_max=inbox_max, inbox_bytes=inbox_bytes, **options)
        if TLS:
            connector = self._connector
            connector.tls = tls  # type: ignore[attr-defined]
            connector.server_name = server_name  # type: ignore[attr-defined]
        life = self._life
        life.protocol.digest_shift = 18
        life.out_max = 24  # what is written at once has to fit into a gap of a fragmented heap
        life.finished_max = 32

    def __getattr__(self, name: str) -> "Any":
        """is_connected and the counters: what a host has as properties, for less memory."""
        return getattr(self._life, name)

    def _make_store(self, path: str) -> "Store":
        from ..store.journal import Journal

        return Journal(path)

    def _log(self, text: str) -> None:
        print("mqttlite:", text)
