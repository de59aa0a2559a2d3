"""Connections of a client over TLS and WebSocket: `mqtts://`, `ws://`, `wss://`. CPython; loaded by who has such a URL.

The layers of mqttlite.net between the socket and what reads MQTT's bytes, and what is said when they do not come about.
"""

import asyncio
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from ...core.errors import ConnectError, MQTTError, SettingError
from ...net.layer import Layer
from ..connecting.dialing import open_tcp
from ..connecting.unreachable import PORTS, port_of, where
from ..url import Url
from .tls_options import TlsOptions

if TYPE_CHECKING:
    from types import ModuleType

    from ...net.tls import TlsLayer

PATH = "/mqtt"  # of a WebSocket whose URL has none, as most brokers have it

P = TypeVar("P", bound=asyncio.BaseProtocol)


def is_secure(url: Url) -> bool:
    """Whether its bytes go through TLS."""
    return url.scheme in ("mqtts", "wss")


def target_of(url: Url) -> str:
    """The path of a WebSocket, and the query behind it."""
    query = "&".join(f"{key}={value}" if value else key for key, value in url.query.items())
    return (url.path or PATH) + (query and "?" + query)


class Dialer:
    """Opens connections to one URL. `context` is kept from one to the next, until a file that it is made of changes."""

    def __init__(self, url: Url, options: TlsOptions | None = None) -> None:
        self.url = url
        self.options = options or TlsOptions()
        self.name = where(url)
        self._context: ssl.SSLContext | None = None
        self._stamps: object = None

    async def open(self, factory: "Callable[[], P]") -> tuple[asyncio.Transport, P]:
        """A transport through which bytes may flow, and the protocol that `factory` has made for it. Raises OSError,
        ConnectError with words for what is wrong with TLS or WebSocket, SettingError for files that are.

        The time is the caller's to limit; cancelled, this leaves nothing open.
        """
        url = self.url
        context = self._made() if is_secure(url) else None
        web = url.scheme in ("ws", "wss")
        if web:
            _websocket()  # before anything is opened: the package may be missing
        stacks: dict[asyncio.BaseProtocol, tuple[Layer, TlsLayer | None, P]] = {}

        def make() -> asyncio.BaseProtocol:
            above = factory()
            top = above_tls = self._web_layer(above) if web else None
            tls = self._tls_layer(above_tls or above, context) if context else None
            lowest = tls or top
            assert lowest
            stacks[lowest] = (top or lowest, tls, above)
            return lowest

        _, lowest = await open_tcp(make, url.host or "localhost", port_of(url))
        top, tls, above = stacks[lowest]
        try:
            await asyncio.shield(top.established)
            return top, above
        except Exception as error:
            raise await self._explained(error, top, tls) from error
        finally:
            if not top.established.done() or top.established.exception():
                top.abort()

    async def open_streams(self, limit: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """As `open`, with asyncio's streams; `limit`: bytes that the reader holds before reading stops."""
        loop = asyncio.get_running_loop()
        readers: dict[asyncio.BaseProtocol, asyncio.StreamReader] = {}

        def make() -> asyncio.StreamReaderProtocol:
            reader = asyncio.StreamReader(limit=limit, loop=loop)
            protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
            readers[protocol] = reader
            return protocol

        transport, protocol = await self.open(make)
        reader = readers[protocol]
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    def _made(self) -> ssl.SSLContext:
        stamps = self.options.stamps()
        if self._context is None or stamps != self._stamps:
            self._context = self.options.context(self.url.scheme, self.name)
            self._stamps = stamps
        return self._context

    def _tls_layer(self, above: asyncio.BaseProtocol, context: ssl.SSLContext) -> "TlsLayer":
        from ...net.tls import TlsLayer, fingerprint

        name = self.options.server_name or (self.url.host or "localhost").partition("%")[0]
        return TlsLayer(
            above,
            context,
            server_name=name,
            check=lambda tls: self.options.check(fingerprint(tls), self.name),
        )

    def _web_layer(self, above: asyncio.BaseProtocol) -> Layer:
        url = self.url
        host = f"[{url.host}]" if ":" in url.host else url.host or "localhost"
        port = "" if url.port in (0, PORTS[url.scheme]) else f":{url.port}"
        layer: Layer = _websocket().WebSocketClientLayer(above, host + port, target_of(url))
        return layer

    def late_words(self, error: Exception) -> str:
        """Words for what ended a connection before the broker has said anything: in TLS 1.3, what it has against this
        client's certificate comes only then. "" when it is about neither TLS nor WebSocket.
        """
        if hasattr(error, "status"):  # a WebSocketError
            return f"speaks WebSocket, but {error}"
        if not is_secure(self.url):
            return ""
        from . import failures

        return failures.of_reason(error)

    def perhaps(self) -> str:
        """What may be behind a connection that ends after CONNECT without a word: its end can overtake the alert in
        which TLS 1.3 asks for this client's certificate. "" when it has one, or there is no TLS.
        """
        if not is_secure(self.url) or self.options.certificate is not None or self.options.tls is not None:
            return ""
        return " Perhaps it wants a certificate of the client: give it with certificate= and key_file="

    async def _explained(self, error: Exception, top: Layer, tls: "TlsLayer | None") -> Exception:
        """`error` in words, for whom nobody else has any."""
        from . import failures

        if isinstance(error, SettingError) or (isinstance(error, MQTTError) and not hasattr(error, "status")):
            return error
        if tls and not (tls.established.done() and not tls.established.exception()):
            words = await failures.of_tls(error, self.url, self.options, tls.first)
        elif top is not tls:
            words = failures.of_upgrade(error, self.url, target_of(self.url), top.first)
        else:
            words = ""
        return ConnectError(f"{self.name} {words}") if words else error


def _websocket() -> "ModuleType":
    """The module for it, of which only who needs it has the package."""
    try:
        from ...net import websocket
    except ImportError as error:
        raise SettingError(str(error)) from None
    return websocket
