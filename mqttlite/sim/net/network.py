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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from .sockets import ANY, FakeSocket, SocketModule
from .streams import Connection, Way
from .transports import SimTransport

if TYPE_CHECKING:
    from ..loop import VirtualLoop
    from ..process import Process
    from ..world import World

SECOND = 1_000_000_000
CONNECT_LIMIT = 127 * SECOND  # how long Linux goes on trying to connect


@dataclass(slots=True)
class Conditions:
    """How bad a network is. Times in nanoseconds, from and to; probabilities from 0 to 1.

    latency     of each piece, in one direction
    split       probability that what is written at once arrives in several pieces
    stall       probability for each piece to be held up (a lost packet that TCP sends again), and all behind it
    stall_ns    for how long
    refuse      probability that an attempt to connect is refused
    vanish      probability that an attempt to connect is never answered
    window      bytes in one direction that were not read yet, beyond which the sender's kernel takes no more
    """

    latency: tuple[int, int] = (100_000, 2_000_000)
    split: float = 0.1
    stall: float = 0.0
    stall_ns: tuple[int, int] = (200_000_000, 3_000_000_000)
    refuse: float = 0.0
    vanish: float = 0.0
    window: int = 65536


class Observer(Protocol):
    """Sees what is written, before the network does; may place a cut (packets.py is one)."""

    def written(self, way: Way, data: bytes) -> None: ...


class Network:
    """All hosts and connections of a world. `connections`: those that are not over at both ends, by name."""

    def __init__(self, world: "World") -> None:
        self.world = world
        self.conditions = Conditions()
        self.connections: dict[str, Connection] = {}
        self.observer: Observer | None = None
        # Asked for each attempt to connect: None (go on), "refuse" or "vanish"
        self.on_connect: Callable[[str, str, int | str], str | None] | None = None
        self.listeners: dict[tuple[str, int | str], FakeSocket] = {}  # by host and port
        self._exceptions: dict[frozenset[str], Conditions] = {}
        self._partitions: set[frozenset[str]] = set()
        self._ports = 32768
        self._number = 0
        self._addresses: dict[str, str] = {}
        self._ghosts: dict[str, list[SimTransport]] = {}  # ends whose machine has lost power, by host

    # -- for scenarios

    def between(self, a: str, b: str) -> Conditions:
        """The conditions between two hosts, for changing them."""
        pair = frozenset((a, b))
        if pair not in self._exceptions:
            now = self.conditions
            self._exceptions[pair] = Conditions(
                now.latency, now.split, now.stall, now.stall_ns, now.refuse, now.vanish, now.window
            )
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

    def address(self, process: "Process", host: str) -> str:
        """The address that `host` means to a process; gaierror: there is no such host."""
        if host in ("localhost", "127.0.0.1", "::1"):
            return "127.0.0.1"
        if host in self.world.processes:
            return self.ip(host)
        try:
            return str(ipaddress.ip_address(host))
        except ValueError:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known") from None

    def host(self, process: "Process", host: str) -> str:
        """The name of the host that `host` means to a process; "": there is none at that address."""
        address = self.address(process, host)
        if address == "127.0.0.1":
            return process.name
        return next((name for name, known in self._addresses.items() if known == address), "")

    def getaddrinfo(self, process: "Process", host: Any, port: Any) -> list[Any]:
        address = self.address(process, str(host or ANY))
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, int(port or 0)))]

    def socket_module(self) -> SocketModule:
        """What stands in the place of the module `socket` in mqttlite.broker.listen."""
        return SocketModule(self)

    def socket(self, family: int) -> FakeSocket:
        """A socket of the process that is running."""
        process = self.world.current
        if process is None:
            raise RuntimeError("no process is running: whose socket?")
        return FakeSocket(self, process, family)

    def free_port(self) -> int:
        self._ports = self._ports + 1 if self._ports < 60999 else 32768
        return self._ports

    async def connect(
        self, process: "Process", factory: Callable[[], asyncio.BaseProtocol], host: str, port: int | str
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
        target = world.processes.get(name)
        if fate == "vanish" or target is None or not target.powered or self.is_partitioned(process.name, name):
            world.at(world.now + CONNECT_LIMIT, loop.enter, _fail, connected, errno.ETIMEDOUT)
        else:
            at = world.now + world.ahead + there
            world.at(at, self._arrive, self._number, process, loop, factory, name, port, fate, connected)
        try:
            transport = await connected
        except asyncio.CancelledError:
            if connected.done() and not connected.cancelled() and not connected.exception():
                connected.result().abort()
            raise
        return transport, transport.get_protocol()

    def _arrive(
        self,
        number: int,
        process: "Process",
        loop: "VirtualLoop",
        factory: Callable[[], asyncio.BaseProtocol],
        name: str,
        port: int | str,
        fate: str | None,
        connected: "asyncio.Future[SimTransport]",
    ) -> None:
        """The attempt arrives at the host: its kernel answers, whatever its process does."""
        world = self.world
        if loop.dead:
            return
        conditions = self.conditions_of(process.name, name)
        back = world.now + world.draw(*conditions.latency)
        listener = self.listeners.get((name, port))
        if not world.processes[name].powered or self.is_partitioned(process.name, name):
            world.at(world.now + CONNECT_LIMIT, loop.enter, _fail, connected, errno.ETIMEDOUT)
            return
        if fate == "refuse" or listener is None or not listener.accepts(process):
            world.at(back, loop.enter, _fail, connected, errno.ECONNREFUSED)
            return
        server = listener.process
        connection = Connection(self, number, process, server, port, conditions)
        self.connections[connection.name] = connection
        server.loop.enter(listener.accept, connection.server)
        world.at(back, loop.enter, self._connected, connection, factory, connected)

    def _connected(
        self,
        connection: Connection,
        factory: Callable[[], asyncio.BaseProtocol],
        connected: "asyncio.Future[SimTransport]",
    ) -> None:
        transport = connection.client
        if connected.cancelled() or transport.is_over:
            transport.os_close()
            if not connected.done():
                _fail(connected, errno.ECONNRESET)
            return
        transport.begin(factory())
        connected.set_result(transport)

    # -- for processes

    def process_died(self, process: "Process", power: bool) -> None:
        """The kernel closes what the process had open; or nobody does, because there is no kernel any more."""
        for place in [place for place, listener in self.listeners.items() if listener.process is process]:
            self.listeners.pop(place).accepting = False
        for connection in list(self.connections.values()):
            for end in (connection.client, connection.server):
                if end.process is process and end.life == process.life:
                    if power:
                        end.vanish()
                        self._ghosts.setdefault(process.name, []).append(end)
                    else:
                        end.os_close()

    def powered_on(self, process: "Process") -> None:
        """The machine is back, and its kernel knows nothing of the old connections."""
        for end in self._ghosts.pop(process.name, ()):
            end.refuse_ghost()


def _fail(connected: "asyncio.Future[SimTransport]", code: int) -> None:
    if not connected.done():
        words = {
            errno.ECONNREFUSED: "Connection refused",
            errno.ETIMEDOUT: "Connection timed out",
            errno.ECONNRESET: "Connection reset by peer",
        }
        connected.set_exception(OSError(code, words[code]))  # of the class that belongs to the number
