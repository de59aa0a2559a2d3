"""Server-sent events: one stream a browser, with what has changed of what is shown, and the topics that it looks at.

A browser that is slow costs the gateway one buffer of known size: it is sent the newest state when it takes something
again, and of topics the newest messages, with the number of those that were left out. One that takes nothing for
STALL_S is closed.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import web

from mqttlite.broker.bounds.addresses import key_of

from .parts import Parts, as_json
from .people import Visitor

STREAMS_MAX = 24  # browsers at once
STREAMS_EACH = 8  # of one user, or address
TAIL_MAX = 100  # messages of topics that wait for one browser
TAIL_SEND = 50  # of them in one event: four times a second
EVERY_S = 0.25  # at least between two events
STILL_S = 15.0  # without news, a remark is sent, so that proxies and browsers know that somebody is there
STALL_S = 20.0
BUFFER_BYTES = 64 << 10  # not taken yet: then nothing more is written
TURNS = 20  # looks at a full buffer in STALL_S
CHECK_S = 30.0  # how often it is asked whether the visitor may still be here


class TooManyError(Exception):
    """There is no room for another stream."""


class Stream:
    """One browser's. `visitor`: whose it is; `watching`: what ends its look at topics, None without one."""

    def __init__(self, visitor: Visitor) -> None:
        self.id = secrets.token_urlsafe(12)
        self.visitor = visitor
        self.known: dict[str, int] = {}
        self.watching: Callable[[], None] | None = None
        self.filter = ""
        self._tail: deque[dict[str, Any]] = deque()
        self._left_out = 0
        self.news = asyncio.Event()
        self.is_over = False

    def show(self, message: dict[str, Any]) -> None:
        """A message of the topics that it looks at; the oldest gives way where it has not taken enough."""
        if len(self._tail) >= TAIL_MAX:
            self._tail.popleft()
            self._left_out += 1
        self._tail.append(message)
        self.news.set()

    def messages(self) -> tuple[list[dict[str, Any]], int]:
        """The next messages, and how many before them were left out."""
        found = [self._tail.popleft() for _ in range(min(TAIL_SEND, len(self._tail)))]
        left_out, self._left_out = self._left_out, 0
        if self._tail:
            self.news.set()
        return found, left_out

    def watch(self, topic_filter: str, end: Callable[[], None] | None) -> None:
        """It looks at other topics; `end` stops that."""
        if self.watching:
            self.watching()
        self.watching = end
        self.filter = topic_filter
        self._tail.clear()
        self._left_out = 0

    def end(self) -> None:
        """Close it at the next turn."""
        self.is_over = True
        self.news.set()


class Streams:
    """`parts`: what is shown. `may_stay`: whether a visitor may still be here."""

    def __init__(self, parts: Parts, may_stay: Callable[[web.Request], bool]) -> None:
        self._parts = parts
        self._may_stay = may_stay
        self._streams: dict[str, Stream] = {}
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._streams)

    def get(self, name: str, visitor: Visitor) -> Stream | None:
        """The stream of this name, if it is this visitor's."""
        stream = self._streams.get(name)
        return stream if stream and stream.visitor.csrf == visitor.csrf else None

    def wake(self) -> None:
        """There is something new in the parts."""
        for stream in self._streams.values():
            stream.news.set()

    def close(self) -> None:
        """All of them end, and there are no more."""
        self._is_closed = True
        for stream in self._streams.values():
            stream.end()

    def open(self, visitor: Visitor) -> Stream:
        """A new one. TooManyError."""
        same = sum(_whose(each.visitor) == _whose(visitor) for each in self._streams.values())
        if self._is_closed or len(self._streams) >= STREAMS_MAX or same >= STREAMS_EACH:
            raise TooManyError(
                f"{len(self._streams)} pages are open, {same} of them by you: close one, then load this one again"
            )
        stream = Stream(visitor)
        self._streams[stream.id] = stream
        return stream

    async def serve(self, request: web.Request, stream: Stream, response: web.StreamResponse) -> None:
        """Until the browser goes, takes nothing, or may not be here any more."""
        loop = asyncio.get_running_loop()
        try:
            await response.prepare(request)  # from here on: one that has gone already leaves nothing behind
            await _send(response, "hello", as_json({"stream": stream.id}))
            check_at = loop.time() + CHECK_S
            stream.news.set()
            while not stream.is_over:
                try:
                    async with asyncio.timeout(STILL_S):
                        await stream.news.wait()
                except TimeoutError:
                    await response.write(b": still here\n\n")
                stream.news.clear()
                if loop.time() > check_at:
                    check_at = loop.time() + CHECK_S
                    if not self._may_stay(request):
                        await _send(response, "login", "{}")
                        return
                if not await _has_room(request):
                    return
                await self._send_news(stream, response)
                await asyncio.sleep(EVERY_S)
        except (ConnectionError, TimeoutError):
            pass
        finally:
            del self._streams[stream.id]
            stream.watch("", None)

    async def _send_news(self, stream: Stream, response: web.StreamResponse) -> None:
        if news := self._parts.news(stream.known):
            await _send(response, "state", news)
        messages, left_out = stream.messages()
        if messages or left_out:
            text = as_json({"filter": stream.filter, "messages": messages, "left_out": left_out})
            await _send(response, "tail", text)


async def _send(response: web.StreamResponse, event: str, data: str) -> None:
    async with asyncio.timeout(STALL_S):
        await response.write(f"event: {event}\ndata: {data}\n\n".encode())


async def _has_room(request: web.Request) -> bool:
    """Wait until the browser has taken enough of what it was sent; False: it does not, or is gone."""
    for _ in range(TURNS):
        transport = request.transport
        if transport is None or transport.is_closing():
            return False
        if transport.get_write_buffer_size() < BUFFER_BYTES:
            return True
        await asyncio.sleep(STALL_S / TURNS)
    if request.transport is not None:
        request.transport.abort()
    return False


def _whose(visitor: Visitor) -> str:
    return visitor.name or key_of(visitor.address)
