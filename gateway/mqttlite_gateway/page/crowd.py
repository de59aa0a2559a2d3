"""Who goes when very many connections to the page are open: each is an open file of the gateway's. Imports aiohttp.

As with the broker's own connections (broker/gates/entrance.py), the address with most of them pays: first one on which
nothing was asked for yet, then one on which nothing is asked for now, then the oldest.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aiohttp import web

from mqttlite.broker.bounds.addresses import key_of

CONNECTIONS_MAX = 100
FIRST_REQUEST_S = 10.0  # for the first request of a connection
KEEP_ALIVE_S = 75.0  # between two requests
LOOK_S = 5.0


def address_of(transport: asyncio.BaseTransport | None) -> str:
    """Where a connection comes from, as the broker writes addresses: HOST:PORT."""
    peer = transport.get_extra_info("peername") if transport else None
    host, port = peer[:2] if peer else ("", 0)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Crowd:
    """`connections`: those of the server, oldest first."""

    def __init__(self, connections: Callable[[], list[Any]]) -> None:
        self._connections = connections
        # Requests under way, of those on which something was asked for; uvloop's of https take no weak reference
        self._asked: dict[asyncio.BaseTransport, int] = {}

    def has_room(self) -> bool:
        """For one more connection; another one may have been closed for it."""
        there = self._open()
        if len(there) < CONNECTIONS_MAX:
            return True
        by_address: dict[str, list[asyncio.Transport]] = {}
        for transport in there:
            by_address.setdefault(key_of(address_of(transport)), []).append(transport)
        most = max(by_address.values(), key=len)
        if len(most) == 1:
            return False
        min(most, key=self._worth).abort()  # of several the first one, which is the oldest
        return True

    def _worth(self, transport: asyncio.BaseTransport) -> int:
        return 2 if self._asked.get(transport) else 1 if transport in self._asked else 0

    def _open(self) -> list[asyncio.Transport]:
        found = [each.transport for each in self._connections()]
        return [each for each in found if each is not None and not each.is_closing()]

    def make_middleware(self) -> Any:
        """For web.Application, behind the door: whoever is refused there has not been served."""

        @web.middleware
        async def middleware(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            transport = request.transport
            if transport is None or request.match_info.http_exception:  # there is no such thing
                return await handler(request)
            self._asked[transport] = self._asked.get(transport, 0) + 1
            try:
                return await handler(request)
            finally:
                self._asked[transport] -= 1

        return middleware

    async def close_silent(self) -> None:
        """For ever: close connections that ask for nothing."""
        since: dict[asyncio.Transport, float] = {}
        while True:
            await asyncio.sleep(LOOK_S)
            now = time.monotonic()
            since = {each: since.get(each, now) for each in self._open()}
            self._asked = {each: count for each, count in self._asked.items() if count or each in since}
            for transport, began in since.items():
                if transport not in self._asked and now - began > FIRST_REQUEST_S:
                    transport.abort()


class Arriving(asyncio.Protocol):
    """A connection for which there has to be room when it is made: over https many may be in their handshakes at once.
    `serve` makes the protocol of one that stays.
    """

    def __init__(self, crowd: Crowd, serve: Callable[[], asyncio.Protocol]) -> None:
        self._crowd = crowd
        self._serve = serve

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        made = cast("asyncio.Transport", transport)  # uvloop's is one, and no instance
        if not self._crowd.has_room():
            made.abort()
            return
        protocol = self._serve()
        made.set_protocol(protocol)
        protocol.connection_made(transport)
