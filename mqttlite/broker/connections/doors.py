"""All that a broker listens on: opened at its start, exchanged while it runs. Imports listen, listener.

An exchange is all or nothing: `prepare` opens what is new and reads all certificates, and raises where something is not
as it should be; `take` cannot fail any more. Connections that are there stay, whatever becomes of their listener.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from ..listening import listen as listening
from ..listening.listen import ListenError
from ..listening.listener import Door, Listener
from .acceptor import Acceptor
from .broker_loop import poll_of
from .connection import Connection
from .poll import Poll
from .thin import ThinTransport

log = logging.getLogger("mqttlite.broker")

# What becomes of strangers, clients from other machines of which nobody knows who they are
ASKED = "asked"  # they have to say it
WELCOME = "welcome"  # everybody may connect, and the operator has said so
UNWANTED = "unwanted"  # everybody may connect, and nobody has said so: then they must not be able to reach it


@dataclass(eq=False)
class _Entrance:
    """A listener with its sockets. `door`: the one through which the next connection comes."""

    door: Door
    sockets: list[socket.socket]
    servers: list[asyncio.Server | Acceptor] = field(default_factory=list)
    addresses: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.addresses = [listening.url_of(sock, self.door.listener.url) for sock in self.sockets]

    def close(self) -> None:
        for sock in self.sockets:
            listening.remove_file(sock)
        for server in self.servers:
            server.close()
        for sock in self.sockets:
            sock.close()


@dataclass
class Exchange:
    """What `Doors.take` does: what is there when it is done, with the door of each; what is new, and what goes."""

    then: list[tuple[_Entrance, Door]]
    opened: list[_Entrance]
    closed: list[_Entrance]

    def give_up(self) -> None:
        """Close again what was opened for it."""
        for entrance in self.opened:
            entrance.close()


class Doors:
    """`make`: a connection that comes in through a thin transport; `make_protocol`: through one of asyncio's.
    `crowded`: told whose connection was closed before it was let in (acceptor.py).
    """

    def __init__(
        self,
        make: Callable[[], Connection],
        make_protocol: Callable[[], asyncio.BaseProtocol],
        crowded: Callable[[str], None],
    ) -> None:
        self._make = make
        self._make_protocol = make_protocol
        self._crowded = crowded
        self._letting_in: set[asyncio.Task[object]] = set()
        self._entrances: list[_Entrance] = []

    @property
    def addresses(self) -> list[str]:
        """Where it listens, ports filled in."""
        return [address for entrance in self._entrances for address in entrance.addresses]

    def prepare(self, listeners: Iterable[Listener], strangers: str) -> Exchange:
        """Open and read what `listeners` need beyond what there is. ListenError or ValueError: one of them cannot be
        had, and nothing is changed. `strangers`: ASKED, WELCOME or UNWANTED.
        """
        left = list(self._entrances)
        wanted: list[tuple[Listener, _Entrance | None]] = []
        for listener in listeners:
            found = next((each for each in left if each.door.listener.url == listener.url), None)
            if found:
                left.remove(found)
            wanted.append((listener, found))
        exchange = Exchange([], [], left)
        try:
            for listener, found in wanted:
                if found is not None:
                    door = Door(listener)
                else:
                    with _sharing(left) as is_shared:
                        sockets = listening.open_sockets(listener.url, is_shared)
                    try:
                        door = Door(listener)
                    except BaseException:
                        for sock in sockets:
                            sock.close()
                        raise
                    found = _Entrance(door, sockets)
                    exchange.opened.append(found)
                if strangers != ASKED:
                    _check_exposure(found, door, strangers)
                exchange.then.append((found, door))
        except BaseException:
            exchange.give_up()
            raise
        return exchange

    def check(self, strangers: str) -> None:
        """ListenError where strangers can connect as things are, and are UNWANTED from now on."""
        if strangers == UNWANTED:
            for entrance in self._entrances:
                _check_exposure(entrance, entrance.door, strangers)

    async def take(self, exchange: Exchange) -> list[str]:
        """Do it; what has changed, in words."""
        changes = []
        for entrance in exchange.closed:
            entrance.close()
            changes += [f"does not listen on {address} any more" for address in entrance.addresses]
        for entrance, door in exchange.then:
            if entrance.door.listener != door.listener:
                changes += [f"listens on {address} with other settings" for address in entrance.addresses]
            elif entrance.door.content != door.content:
                changes += [f"another certificate at {address}" for address in entrance.addresses]
            entrance.door = door
        self._entrances = [entrance for entrance, _ in exchange.then]
        for entrance in exchange.opened:
            for sock in entrance.sockets:
                entrance.servers.append(await self._serve(entrance, sock))
            changes += [f"listens on {address}" for address in entrance.addresses]
        return changes

    async def _serve(self, entrance: _Entrance, sock: socket.socket) -> asyncio.Server | Acceptor:
        loop = asyncio.get_running_loop()
        poll = poll_of(loop)

        def accept() -> asyncio.BaseProtocol:
            return entrance.door.protocol(self._make_protocol())

        if poll:
            let_in = self._thinly(loop, poll) if entrance.door.is_plain else self._with(loop, accept)
            return Acceptor(sock, poll, let_in, self._crowded)
        create = loop.create_unix_server if sock.family == socket.AF_UNIX else loop.create_server
        server = await create(accept, sock=sock, backlog=listening.LET_IN)
        sock.listen(listening.BACKLOG)
        return server

    def _thinly(self, loop: asyncio.AbstractEventLoop, poll: Poll) -> Callable[[socket.socket, Any], None]:
        """Lets connections in through thin transports."""

        def let_in(sock: socket.socket, name: object) -> None:
            ThinTransport(loop, poll, sock, name, self._make())

        return let_in

    def _with(
        self, loop: asyncio.AbstractEventLoop, accept: Callable[[], asyncio.BaseProtocol]
    ) -> Callable[[socket.socket, Any], None]:
        """Lets connections in through asyncio's transports."""

        async def connect(sock: socket.socket) -> None:
            try:
                await loop.connect_accepted_socket(accept, sock)
            except OSError:  # it is gone
                sock.close()

        def let_in(sock: socket.socket, name: object) -> None:
            task = loop.create_task(connect(sock))
            self._letting_in.add(task)
            task.add_done_callback(self._letting_in.discard)

        return let_in

    def reload_certificates(self) -> int:
        """Read the files of all listeners with TLS again; how many have it. ValueError: then nothing has changed."""
        prepared = [(each.door, each.door.prepare()) for each in self._entrances]
        for door, context in prepared:
            door.take(context)
        return sum(context is not None for _, context in prepared)

    def refuse(self) -> None:
        """Let nobody in any more; the sockets stay for `close`."""
        for entrance in self._entrances:
            for server in entrance.servers:
                server.close()

    def close(self) -> None:
        """Close all of them."""
        for entrance in self._entrances:
            entrance.close()


def check_listener(listener: Listener, strangers: str) -> None:
    """As `prepare`, without listening: ListenError says what is wrong, but not whether a port is taken."""
    door = Door(listener)
    if strangers == UNWANTED and not door.asks_for_certificates and not listening.is_local_url(listener.url):
        raise _exposed(listener.url)


def _check_exposure(entrance: _Entrance, door: Door, strangers: str) -> None:
    """ListenError where strangers can connect and are not welcome."""
    if door.asks_for_certificates or all(map(listening.is_local, entrance.sockets)):
        return
    if strangers != WELCOME:
        raise _exposed(entrance.addresses[0])
    for address in entrance.addresses:
        log.warning("%s can be reached from other machines, and everybody there may connect", address)


def _exposed(url: str) -> ListenError:
    return ListenError(
        f"{url} can be reached from other machines, and there are no users, so everybody there could "
        "read and publish everything. Make users and a certificate in one step (mqttlite broker --init FOLDER), or a "
        "password file alone (mqttlite passwd, then --password-file); or listen on 127.0.0.1 or a Unix socket; or say "
        "--let-anybody-on-the-network-in, if that is what you want"
    )


@contextlib.contextmanager
def _sharing(leaving: Iterable[_Entrance]) -> Iterator[bool]:
    """A port that is about to be given up on one address can be had on another one, as from 127.0.0.1 to 0.0.0.0."""
    sockets = [sock for entrance in leaving for sock in entrance.sockets if sock.family != socket.AF_UNIX]
    for sock in sockets:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        yield bool(sockets)
    finally:
        for sock in sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
