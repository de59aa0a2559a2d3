"""Sockets as far as the shells touch them: listening ones, and what a transport says about itself."""

import asyncio
import errno
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..loop import VirtualLoop
    from ..process import Process
    from .network import Network
    from .transports import SimTransport

ANY = "0.0.0.0"


class FakeSocket:
    """A socket of the simulated network. Raises OSError."""

    type = socket.SOCK_STREAM

    def __init__(self, network: "Network", process: "Process", family: int) -> None:
        self.family = family
        self.process = process
        self.accepting = False
        self._network = network
        self._name: tuple[str, int] | str = "" if family == socket.AF_UNIX else (ANY, 0)
        self._factory: Callable[[], asyncio.BaseProtocol] | None = None

    def __enter__(self) -> "FakeSocket":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def setsockopt(self, *_: object) -> None:
        pass

    def setblocking(self, flag: bool) -> None:
        pass

    def fileno(self) -> int:
        return -1

    def getsockname(self) -> Any:
        return self._name

    @property
    def _place(self) -> tuple[str, int | str]:
        return self.process.name, self._name if isinstance(self._name, str) else self._name[1]

    def bind(self, name: Any) -> None:
        if self.family != socket.AF_UNIX and not name[1]:
            name = (name[0], self._network.free_port())
        self._name = name if isinstance(name, str) else (name[0], name[1])
        if self._place in self._network.listeners:
            raise OSError(errno.EADDRINUSE, "Address already in use")
        self._network.listeners[self._place] = self

    def listen(self, backlog: int = 128) -> None:
        pass  # connections are refused until somebody serves

    def connect(self, name: Any) -> None:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

    def close(self) -> None:
        self.accepting = False
        if self._network.listeners.get(self._place) is self:
            del self._network.listeners[self._place]

    def serve(self, loop: "VirtualLoop", factory: Callable[[], asyncio.BaseProtocol]) -> "Server":
        """Accept connections from now on."""
        self._factory = factory
        self.accepting = not loop.dead
        self._network.world.note(self.process.name, "listen", str(self._place[1]))
        return Server(loop, self)

    def accepts(self, process: "Process") -> bool:
        """Whether a process can connect: one on another machine not to an address of this one alone."""
        return self.accepting and (process is self.process or self._name[0] != "127.0.0.1")

    def accept(self, transport: "SimTransport") -> None:
        """The process takes a connection that its kernel has made."""
        if self.accepting and self._factory:
            transport.begin(self._factory())
        else:
            transport.os_close()


class Server(asyncio.AbstractServer):
    """A listening socket, as asyncio shows it."""

    def __init__(self, loop: "VirtualLoop", sock: FakeSocket) -> None:
        self._loop = loop
        self._socket = sock
        self._closed = loop.create_future()

    @property
    def sockets(self) -> tuple[FakeSocket, ...]:
        return (self._socket,) if self.is_serving() else ()

    def close(self) -> None:
        self._socket.close()
        if not self._closed.done():
            self._closed.set_result(None)

    async def wait_closed(self) -> None:
        await asyncio.shield(self._closed)

    def is_serving(self) -> bool:
        return self._socket.accepting

    def get_loop(self) -> "VirtualLoop":
        return self._loop

    async def start_serving(self) -> None:
        pass

    async def serve_forever(self) -> None:
        await self.wait_closed()


class SocketModule:
    """The module `socket` for a module that listens."""

    def __init__(self, network: "Network") -> None:
        self._network = network

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)

    def socket(self, family: int = socket.AF_INET, *_: object) -> FakeSocket:
        return self._network.socket(family)

    def getaddrinfo(self, host: Any, port: Any, *_: object, **__: object) -> list[Any]:
        process = self._network.world.current
        assert process is not None
        return self._network.getaddrinfo(process, host, port)
