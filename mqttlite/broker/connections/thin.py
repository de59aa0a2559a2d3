"""A thin transport for plain TCP and Unix sockets: one read into the shared buffer, one send, and no object for each of
them but itself. Imports connection, poll.

It is used in a loop of poll.py; in any other, and below TLS and WebSocket, connections have asyncio's transports, which
behave alike.
"""

import asyncio
import socket
from typing import Any

from .connection import Connection
from .poll import Poll

IN, OUT = 1, 4  # select.EPOLLIN, select.EPOLLOUT
_SENT: bytearray = bytearray()  # nothing waits


class ThinTransport:
    """A socket for a connection, with what it uses of asyncio's transports; each method as described there."""

    __slots__ = (
        "_buffer",
        "_connection",
        "_events",
        "_fd",
        "_has_ended",
        "_high",
        "_is_closing",
        "_is_full",
        "_loop",
        "_peername",
        "_poll",
        "_sock",
        "_waiting",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, poll: Poll, sock: socket.socket, peername: Any, connection: Connection
    ) -> None:
        self._loop = loop
        self._poll = poll
        self._sock = sock
        self._fd = sock.fileno()
        self._peername = peername
        self._connection = connection
        self._buffer = connection.buffer
        self._waiting = _SENT  # what the kernel does not have yet
        self._high = 64 * 1024
        self._events = 0
        self._is_full = False
        self._is_closing = False
        self._has_ended = False  # our half: EOF was sent, or will be behind `_waiting`
        connection.connection_made(self)
        if not self._is_closing:
            self._want(self._events | IN)

    def _want(self, events: int) -> None:
        self._events = events
        self._poll.watch(self._fd, events, self._ready)

    def _ready(self, event: int) -> None:
        if event & ~OUT and self._events & IN:
            try:
                size = self._sock.recv_into(self._buffer)
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                self._lose(error)
                return
            if size:
                self._connection.buffer_updated(size)
            else:  # a client that says nothing more is gone
                self.close()
        if event & ~IN and self._events & OUT:
            self._write_on()

    # -- writing

    def write(self, data: Any) -> None:
        if self._waiting:
            self._waiting += data
        elif not self._is_closing:
            try:
                sent = self._sock.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError as error:
                self._lose(error)
                return
            if sent == len(data):
                return
            self._waiting = bytearray(data[sent:])
            self._want(self._events | OUT)
        if len(self._waiting) > self._high and not self._is_full:
            self._is_full = True
            self._connection.pause_writing()

    def _write_on(self) -> None:
        try:
            sent = self._sock.send(self._waiting)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._lose(error)
            return
        del self._waiting[:sent]
        if not self._waiting:
            self._waiting = _SENT
            self._want(self._events & ~OUT)
            if self._is_closing:
                self._loop.call_soon(self._end, None)
            elif self._has_ended:
                self._shut_down()
        if self._is_full and len(self._waiting) <= self._high // 4:
            self._is_full = False
            self._connection.resume_writing()  # the last thing: it may write, close or abort

    def write_eof(self) -> None:
        if self._has_ended or self._is_closing:
            return
        self._has_ended = True
        if not self._waiting:
            self._shut_down()

    def _shut_down(self) -> None:
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:  # it is gone
            self._lose(error)

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return len(self._waiting)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = 64 * 1024 if high is None else high

    # -- reading

    def pause_reading(self) -> None:
        if not self._is_closing:
            self._want(self._events & ~IN)

    def resume_reading(self) -> None:
        if not self._is_closing:
            self._want(self._events | IN)

    # -- the end

    def is_closing(self) -> bool:
        return self._is_closing

    def close(self) -> None:
        """When all is written."""
        if self._is_closing:
            return
        self._is_closing = True
        self._want(self._events & ~IN)
        if not self._waiting:
            self._loop.call_soon(self._end, None)

    def abort(self) -> None:
        self._lose(None)

    def _lose(self, error: Exception | None) -> None:
        if self._is_closing and not self._waiting:
            return  # the end is near already
        self._is_closing = True
        self._waiting = _SENT
        self._want(0)
        self._loop.call_soon(self._end, error)

    def _end(self, error: Exception | None) -> None:
        self._want(0)
        try:
            self._connection.connection_lost(error)
        finally:
            self._sock.close()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "socket":
            return self._sock
        if name == "peername":
            return self._peername
        return default
