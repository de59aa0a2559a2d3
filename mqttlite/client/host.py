"""The client on CPython: TCP, Unix sockets and serial lines on asyncio."""

import asyncio
import errno
import logging
import socket
from typing import TYPE_CHECKING

from ..core.errors import ConnectError
from ..core.sizes import PACKET_MAX
from ..store.base import Store
from .base import BaseClient
from .sockets import SocketTransport
from .transport import Transport

if TYPE_CHECKING:
    from .ports import HostPort

log = logging.getLogger("mqttlite.client")

PORT = 1883


class Client(BaseClient):
    """The client on CPython; see BaseClient for its arguments and methods. A path as `store` means SQLite."""

    _size_max = PACKET_MAX

    def _make_store(self, path: str) -> Store:
        from ..store.sqlite import SqliteStore

        return SqliteStore(path)

    async def _open(self) -> Transport:
        url = self.url
        if url.scheme == "mqtt":
            return await self._open_tcp(url.host or "localhost", url.port or PORT)
        if url.scheme == "unix":
            return (await asyncio.get_running_loop().create_unix_connection(SocketTransport, url.path))[1]
        if url.scheme == "serial":
            return await self._open_serial()
        raise ConnectError(f"'{url.scheme}' is not a known scheme; use mqtt://, unix:// or serial://")

    async def _open_tcp(self, host: str, port: int) -> SocketTransport:
        try:
            return (await asyncio.get_running_loop().create_connection(SocketTransport, host, port))[1]
        except UnicodeError:  # of the codec for international names
            raise ConnectError(f"cannot find the host '{host}': it is not a possible name") from None

    def _open_port(self, baud: int) -> "HostPort":
        from .ports import open_port  # needs pyserial

        return open_port(self.url.path, baud, self.url.query.get("rtscts", "0") == "1")

    def _log(self, text: str) -> None:
        log.warning("%s: %s", self.client_id, text)

    def _words(self, error: Exception) -> str:
        url = self.url
        where = url.path if url.scheme in ("unix", "serial") else f"{url.host or 'localhost'}:{url.port or PORT}"
        if isinstance(error, socket.gaierror):
            return f"cannot find the host '{url.host}' ({error.strerror}); check the name"
        if isinstance(error, OSError) and not isinstance(error, TimeoutError):
            if error.errno == errno.ECONNREFUSED or isinstance(error, ConnectionRefusedError):
                return f"nothing listens at {where}; is the broker running, and is this its port?"
            if error.errno == errno.ENOENT:
                return f"there is no {where}; is the broker running?"
            return f"cannot reach {where}: {error.strerror or error}"
        return super()._words(error)
