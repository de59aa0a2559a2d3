"""Sockets as far as the shells touch them: listening ones, and what a transport says about itself."""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import Any, Protocol

from ..machine import Loop, Machine, Machines

ANY = "0.0.0.0"


class FakeSocket:
    """What a transport says of its socket."""

    family, type = socket.AF_INET, socket.SOCK_STREAM

    def __init__(self, name: tuple[str, int]) -> None:
        self._name = name

    def setsockopt(self, *_: object) -> None:
        pass

    def setblocking(self, flag: bool) -> None:
        pass

    def fileno(self) -> int:
        return -1

    def getsockname(self) -> Any:
        return self._name


class Acceptable(Protocol):
    """The end of a connection that a kernel has made."""

    def begin(self, protocol: asyncio.BaseProtocol) -> None: ...
    def os_close(self) -> None: ...


class Listeners:
    """All sockets that are bound. `at`: by host and port."""

    def __init__(self, world: Machines) -> None:
        self.world = world
        self.at: dict[tuple[str, int], Listener] = {}
        self._ports = 32768

    def free_port(self) -> int:
        """A port that nobody has asked for."""
        self._ports = self._ports + 1 if self._ports < 60999 else 32768
        return self._ports

    def died(self, process: Machine) -> None:
        """A process's kernel closes its sockets."""
        for place in [place for place, listener in self.at.items() if listener.process is process]:
            self.at.pop(place).accepting = False


class Listener(FakeSocket):
    """A socket of a process, which may be bound and listen. Raises OSError."""

    def __init__(self, listeners: Listeners, process: Machine) -> None:
        super().__init__((ANY, 0))
        self.process = process
        self.accepting = False
        self._listeners = listeners
        self._factory: Callable[[], asyncio.BaseProtocol] | None = None

    def __enter__(self) -> "Listener":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _place(self) -> tuple[str, int]:
        return self.process.name, self._name[1]

    def bind(self, name: Any) -> None:
        self._name = (name[0], name[1] or self._listeners.free_port())
        if self._place in self._listeners.at:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        self._listeners.at[self._place] = self

    def listen(self, backlog: int = 128) -> None:
        pass  # connections are refused until somebody serves

    def connect(self, name: Any) -> None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    def close(self) -> None:
        self.accepting = False
        if self._listeners.at.get(self._place) is self:
            del self._listeners.at[self._place]

    def serve(self, loop: Loop, factory: Callable[[], asyncio.BaseProtocol]) -> "Server":
        """Accept connections from now on."""
        self._factory = factory
        self.accepting = not loop.dead
        self._listeners.world.note(self.process.name, "listen", str(self._place[1]))
        return Server(loop, self)

    def accepts(self, process: Machine) -> bool:
        """Whether a process can connect: one on another machine not to an address of this one alone."""
        return self.accepting and (process is self.process or self._name[0] != "127.0.0.1")

    def accept(self, transport: Acceptable) -> None:
        """The process takes a connection that its kernel has made."""
        if self.accepting and self._factory:
            transport.begin(self._factory())
        else:
            transport.os_close()


class Server(asyncio.AbstractServer):
    """A listening socket, as asyncio shows it."""

    def __init__(self, loop: Loop, sock: Listener) -> None:
        self._loop = loop
        self._socket = sock
        self._closed = loop.create_future()

    @property
    def sockets(self) -> tuple[Listener, ...]:
        return (self._socket,) if self.is_serving() else ()

    def close(self) -> None:
        self._socket.close()
        if not self._closed.done():
            self._closed.set_result(None)

    async def wait_closed(self) -> None:
        await asyncio.shield(self._closed)

    def is_serving(self) -> bool:
        return self._socket.accepting

    def get_loop(self) -> Loop:
        return self._loop

    async def start_serving(self) -> None:
        pass

    async def serve_forever(self) -> None:
        await self.wait_closed()
