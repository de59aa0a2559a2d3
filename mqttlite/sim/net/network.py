"""The simulated network: hosts, listeners, connections, and what goes wrong with them. See streams.py for a connection.

A process's name is its host name. `network.conditions` say how bad the network is; `between(a, b)` makes an exception
for two hosts. A fault is placed at a packet with packets.py, at a byte with `Way.cut_at`, or at a moment with
`Connection.cut`, `partition` and `heal`.
"""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

from ..machine import Loop, Machine, Machines
from ..timeline import SECOND
from .sockets import ANY, FakeSocket, Listener, Listeners
from .streams import Conditions, Way, Ways
from .transports import SimTransport

CONNECT_LIMIT = 127 * SECOND  # how long Linux goes on trying to connect


class Observer(Protocol):
    """Sees what is written, before the network does; may place a cut (packets.py is one)."""

    def written(self, way: Way, data: bytes) -> None: ...


class Connection(Ways):
    """Both ways, and both ends: `client` is of the one who connected, `server` of the one who listened."""

    def __init__(
        self, network: "Network", number: int, client: Machine, server: Machine, port: int, conditions: Conditions
    ) -> None:
        name = f"{client.name}:{number}-{server.name}:{port}"
        super().__init__(network.world, name, (client.name, server.name), conditions, network.written)
        here, there = (network.ip(client.name), 32768 + number % 28000), (network.ip(server.name), port)
        self.client = SimTransport(network.world, client, self.up, self.down, here, there, self._over)
        self.server = SimTransport(network.world, server, self.down, self.up, there, here, self._over)
        self.up.source = self.down.sink = self.client
        self.up.sink = self.down.source = self.server
        self._network = network

    def _over(self) -> None:
        """An end is over; with both, the network forgets the connection."""
        if self.client.is_over and self.server.is_over:
            self._network.connections.pop(self.name, None)


class _Attempt(NamedTuple):
    """To connect. `loop`: of the life that tries. `fate`: as Network.on_connect."""

    number: int
    process: Machine
    loop: Loop
    factory: Callable[[], asyncio.BaseProtocol]
    name: str
    port: int
    fate: str | None
    connected: "asyncio.Future[SimTransport]"

    def fail(self, code: int) -> None:
        """The process is told, if it still waits."""
        if not self.connected.done():
            words = {
                errno.ECONNREFUSED: "Connection refused",
                errno.ETIMEDOUT: "Connection timed out",
                errno.ECONNRESET: "Connection reset by peer",
            }
            self.connected.set_exception(OSError(code, words[code]))  # of the class that belongs to the number

    def succeed(self, transport: SimTransport) -> None:
        """The process gets its end of the connection."""
        if self.connected.cancelled() or transport.is_over:
            transport.os_close()
            self.fail(errno.ECONNRESET)
        else:
            transport.begin(self.factory())
            self.connected.set_result(transport)


class Network:
    """All hosts and connections of a world. `connections`: those that are not over at both ends, by name."""

    def __init__(self, world: Machines) -> None:
        self.world = world
        self.conditions = Conditions()
        self.connections: dict[str, Connection] = {}
        self.observer: Observer | None = None
        # Asked for each attempt to connect: None (go on), "refuse" or "vanish"
        self.on_connect: Callable[[str, str, int], str | None] | None = None
        self.listeners = Listeners(world)
        self._exceptions: dict[frozenset[str], Conditions] = {}
        self._partitions: set[frozenset[str]] = set()
        self._number = 0
        self._addresses: dict[str, str] = {}
        self._ghosts: dict[str, list[SimTransport]] = {}  # ends whose machine has lost power, by host

    # -- for scenarios

    def between(self, a: str, b: str) -> Conditions:
        """The conditions between two hosts, for changing them."""
        pair = frozenset((a, b))
        if pair not in self._exceptions:
            self._exceptions[pair] = replace(self.conditions)
        return self._exceptions[pair]

    def partition(self, a: str, b: str) -> None:
        """Nothing gets through between two hosts, and nobody is told, until `heal`."""
        self._partitions.add(frozenset((a, b)))
        self.world.note("network", "partition", f"{a} {b}")
        for connection in self._of(a, b):
            connection.freeze()

    def heal(self, a: str, b: str) -> None:
        """What was held up gets through."""
        self._partitions.discard(frozenset((a, b)))
        self.world.note("network", "heal", f"{a} {b}")
        for connection in self._of(a, b):
            connection.thaw()

    def cut(self, a: str, b: str, how: str = "reset") -> None:
        """Cut every connection between two hosts; `how` as Connection.cut."""
        for connection in self._of(a, b):
            connection.cut(how)

    def _of(self, a: str, b: str) -> list[Connection]:
        return [one for one in self.connections.values() if one.hosts in ((a, b), (b, a))]

    # -- for the loop

    def conditions_of(self, a: str, b: str) -> Conditions:
        return self._exceptions.get(frozenset((a, b)), self.conditions) if self._exceptions else self.conditions

    def is_partitioned(self, a: str, b: str) -> bool:
        return bool(self._partitions) and frozenset((a, b)) in self._partitions

    def ip(self, host: str) -> str:
        """The address of a host."""
        if host not in self._addresses:
            number = len(self._addresses) + 1
            self._addresses[host] = f"10.0.{number >> 8}.{number & 255}"
        return self._addresses[host]

    def address(self, process: Machine, host: str) -> str:
        """The address that `host` means to a process; gaierror: there is no such host."""
        if host in ("localhost", "127.0.0.1", "::1"):
            return "127.0.0.1"
        if host in self.world.processes:
            return self.ip(host)
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None

    def host(self, process: Machine, host: str) -> str:
        """The name of the host that `host` means to a process; "": there is none at that address."""
        address = self.address(process, host)
        if address == "127.0.0.1":
            return process.name
        return next((name for name, known in self._addresses.items() if known == address), "")

    def getaddrinfo(self, process: Machine, host: Any, port: Any) -> list[Any]:
        address = self.address(process, str(host or ANY))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port or 0)))]

    def written(self, way: Way, data: bytes) -> None:
        """A program writes something."""
        self.world.note(way.name, "write", data)
        if self.observer is not None:
            self.observer.written(way, data)

    def socket(self) -> Listener:
        """A socket of the process that is running."""
        process = self.world.current
        if process is None:
            raise RuntimeError("no process is running: whose socket?")
        return Listener(self.listeners, process)

    def pair(self) -> tuple["PairEnd", "PairEnd"]:
        """Two sockets of the process that is running, joined with each other."""
        process = self.world.current
        if process is None:
            raise RuntimeError("no process is running: whose sockets?")
        self._number += 1
        connection = Connection(self, self._number, process, process, 0, replace(self.conditions, latency=(0, 50_000)))
        self.connections[connection.name] = connection
        return PairEnd(connection.client), PairEnd(connection.server)

    async def connect(
        self, process: Machine, factory: Callable[[], asyncio.BaseProtocol], host: str, port: int
    ) -> tuple[SimTransport, Any]:
        """Connect to a listener. Raises OSError as asyncio does."""
        world = self.world
        name = self.host(process, host)
        loop = process.loop
        connected: asyncio.Future[SimTransport] = loop.create_future()
        self._number += 1
        world.note(process.name, "connect", f"{self._number} {name}:{port}")
        conditions = self.conditions_of(process.name, name)
        fate = self.on_connect(process.name, name, port) if self.on_connect else None
        if not fate and (conditions.refuse or conditions.vanish):
            drawn = world.random.random()
            fate = "refuse" if drawn < conditions.refuse else None
            fate = "vanish" if drawn >= 1 - conditions.vanish else fate
        there = world.draw(*conditions.latency)
        attempt = _Attempt(self._number, process, loop, factory, name, port, fate, connected)
        target = world.processes.get(name)
        if fate == "vanish" or target is None or not target.powered or self.is_partitioned(process.name, name):
            world.at(world.now + CONNECT_LIMIT, loop.enter, attempt.fail, errno.ETIMEDOUT)
        else:
            world.at(world.now + world.ahead + there, self._arrive, attempt)
        try:
            transport = await connected
        except asyncio.CancelledError:
            if connected.done() and not connected.cancelled() and not connected.exception():
                connected.result().abort()
            raise
        return transport, transport.get_protocol()

    def _arrive(self, attempt: _Attempt) -> None:
        """The attempt arrives at the host: its kernel answers, whatever its process does."""
        world = self.world
        number, process, loop, _, name, port, fate, _ = attempt
        if loop.dead:
            return
        conditions = self.conditions_of(process.name, name)
        back = world.now + world.draw(*conditions.latency)
        listener = self.listeners.at.get((name, port))
        if not world.processes[name].powered or self.is_partitioned(process.name, name):
            world.at(world.now + CONNECT_LIMIT, loop.enter, attempt.fail, errno.ETIMEDOUT)
        elif fate == "refuse" or listener is None or not listener.accepts(process):
            world.at(back, loop.enter, attempt.fail, errno.ECONNREFUSED)
        else:
            connection = Connection(self, number, process, listener.process, port, conditions)
            self.connections[connection.name] = connection
            listener.process.loop.enter(listener.accept, connection.server)
            world.at(back, loop.enter, attempt.succeed, connection.client)

    # -- for processes

    def process_died(self, process: Machine, power: bool) -> None:
        """The kernel closes what the process had open; or nobody does, because there is no kernel any more."""
        self.listeners.died(process)
        for connection in list(self.connections.values()):
            for end in (connection.client, connection.server):
                if end.process is process and end.life == process.life:
                    if power:
                        end.vanish()
                        self._ghosts.setdefault(process.name, []).append(end)
                    else:
                        end.os_close()

    def powered_on(self, process: Machine) -> None:
        """The machine is back, and its kernel knows nothing of the old connections."""
        for end in self._ghosts.pop(process.name, ()):
            end.refuse_ghost()


class PairEnd(FakeSocket):
    """One of two sockets that are joined with each other."""

    family = socket.AF_UNIX

    def __init__(self, transport: SimTransport) -> None:
        super().__init__(("", 0))
        self._transport = transport

    def begin(self, factory: Callable[[], asyncio.BaseProtocol]) -> tuple[SimTransport, Any]:
        """A program goes on with it, as with a connection."""
        protocol = factory()
        self._transport.begin(protocol)
        return self._transport, protocol

    def close(self) -> None:
        self._transport.os_close()


class SocketModule:
    """The module `socket` for a module that listens, or makes pairs."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def __getattr__(self, name: str) -> Any:
        return getattr(socket, name)

    def socket(self, *_: object) -> Listener:
        return self._network.socket()

    def socketpair(self, *_: object) -> tuple[PairEnd, PairEnd]:
        return self._network.pair()

    def getaddrinfo(self, host: Any, port: Any, *_: object, **__: object) -> list[Any]:
        process = self._network.world.current
        assert process is not None
        return self._network.getaddrinfo(process, host, port)
