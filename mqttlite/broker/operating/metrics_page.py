"""/metrics for Prometheus and /healthz for whoever watches, over HTTP, on an address of their own.

    curl -s http://127.0.0.1:9883/metrics

It is read only, tells no names of clients, and asks nobody who they are: for 127.0.0.1. GET and HEAD; a connection
carries one request. Imports metrics, health, callers, loop_watch, listen.
"""

import asyncio
import logging
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

from ..listening.listen import is_local, url_of
from . import health
from .callers import Callers
from .loop_watch import LoopWatch
from .metrics import CONTENT_TYPE, exposition

if TYPE_CHECKING:
    from ..server import Broker

log = logging.getLogger("mqttlite.broker")

REQUEST_MAX = 8192  # bytes
REQUEST_S = 5.0  # for the whole request, and for taking the answer
CONNECTIONS_MAX = 16  # at once; beyond it, the newest is closed
_WORDS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


def address_of(text: str) -> tuple[str, int]:
    """HOST:PORT in two; ValueError says what is expected."""
    host, mark, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not mark or not host or not port.isdecimal() or int(port) > 65535:
        raise ValueError(f"metrics: {text!r:.60} is no HOST:PORT, such as 127.0.0.1:9883")
    return host, int(port)


class MetricsPage:
    """`async with Broker(...) as broker, MetricsPage(broker, "127.0.0.1:9883") as page:`; port 0: any that is free.

    `address`: the real one, as HOST:PORT. Entering the block raises OSError where it cannot be had.
    `tell`, `trouble`: what is said instead, of a program that has more than a broker.
    """

    def __init__(
        self,
        broker: "Broker | None",
        address: str,
        *,
        tell: "Callable[[LoopWatch], str] | None" = None,
        trouble: Callable[[], str] | None = None,
    ) -> None:
        if broker is not None:
            tell = tell or (lambda loop_watch: exposition(broker, loop_watch))
            trouble = trouble or (lambda: health.trouble(broker))
        assert tell and trouble
        self._tell = tell
        self._trouble = trouble
        self._host, self._port = address_of(address)
        self._loop_watch = LoopWatch()
        self._callers = Callers(self._serve, CONNECTIONS_MAX)
        self.address = address

    async def __aenter__(self) -> Self:
        try:
            self._server = await asyncio.start_server(self._callers.accept, self._host, self._port, limit=REQUEST_MAX)
        except OSError as error:
            raise OSError(f"metrics: cannot listen on {self.address}: {error.strerror or error}") from error
        await self._loop_watch.__aenter__()
        url = url_of(self._server.sockets[0], "http://")
        self.address = url.removeprefix("http://")
        log.info("metrics on %s/metrics", url)
        if not all(map(is_local, self._server.sockets)):
            log.warning("metrics: everybody who reaches %s can read them; nobody is asked for a name", self.address)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._loop_watch.__aexit__(kind, error, trace)
        self._server.close()
        await self._callers.end()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(REQUEST_S):
                try:
                    head = await reader.readuntil(b"\r\n\r\n")
                except asyncio.LimitOverrunError:
                    head = b""
                writer.write(self._answer(head))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.transport.abort()  # whoever does not take the answer keeps nothing here

    def _answer(self, head: bytes) -> bytes:
        words = head.partition(b"\r\n")[0].split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return _response(400, "this is HTTP/1.1: GET /metrics\n", False)
        method, target, _ = words
        path = target.partition(b"?")[0]
        bare = method == b"HEAD"
        if method not in (b"GET", b"HEAD"):
            return _response(405, "GET and HEAD alone\n", bare, extra="Allow: GET, HEAD\r\n")
        if path == b"/metrics":
            return _response(200, self._tell(self._loop_watch), bare, CONTENT_TYPE)
        if path == b"/healthz":
            trouble = self._trouble()
            return _response(503 if trouble else 200, f"{trouble or 'ok'}\n", bare)
        return _response(404, "there are /metrics and /healthz\n", bare)


def _response(code: int, text: str, bare: bool, kind: str = "text/plain; charset=utf-8", extra: str = "") -> bytes:
    body = text.encode()
    head = (
        f"HTTP/1.1 {code} {_WORDS[code]}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        f"Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n{extra}Connection: close\r\n\r\n"
    )
    return head.encode() if bare else head.encode() + body
