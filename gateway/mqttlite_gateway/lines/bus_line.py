"""One device of a bus, as one of the gateway's lines: its own connections, name, log, console and state."""

import asyncio
from typing import Any, NoReturn, Protocol

from mqttlite.core.shown import shown
from mqttlite.link.bus.station import Station
from mqttlite.link.frames import Greeting

from ..settings.port import SerialPort
from .forward import Broker
from .line import GatewayLine
from .names import Names

ANOTHER_S = 60.0  # two devices that answer at one address take turns within that time
DAMAGED_LEAST = 20  # answers
DAMAGED_SHARE = 0.3


class Shared(Protocol):
    """What a line asks of its bus; see bus.Bus."""

    path: str
    trouble: str

    def look(self) -> None:
        """Look for its port."""

    def heard(self, line: "BusLine", /) -> None:
        """A device is there."""

    def share_of(self, station: Station, /) -> float:
        """What part of the time a device had the bus."""

    def problem_of(self, address: int, /) -> tuple[str, str] | None:
        """What is wrong with a device that the others suffer from."""


class BusLine(GatewayLine):
    """The device that `station` of `bus` is about; `config`: its line's path is the bus's with the address."""

    def __init__(
        self,
        config: SerialPort,
        station: Station,
        bus: Shared,
        broker: Broker,
        names: "Names[GatewayLine] | None" = None,
    ) -> None:
        super().__init__(config, broker, names, link=station.link)
        self.station = station
        self.bus = bus
        self._named_at: dict[bytes, float] = {}

    def opened(self) -> None:
        """The bus's port is open."""
        self.console.port(_OnTheLink())

    def closed(self) -> None:
        """It is not any more."""
        self.console.closed()

    async def run(self) -> None:
        """The bus serves its port; until cancelled."""
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            await self.forwarder.close()
            self.say.close()

    def lent(self) -> NoReturn:
        """Not possible: the port is not its own. Raises ValueError."""
        raise ValueError(f"{self.config.path} is one of many devices on a bus: flash the board at its USB socket")

    def look(self) -> None:
        """The bus looks for its port."""
        self.bus.look()

    def problem(self) -> tuple[str, str]:
        """See GatewayLine."""
        station = self.station
        if self.bus.trouble:
            return "no port", self.bus.trouble
        found = self.bus.problem_of(station.address)
        if found:
            return found
        if len(self._rivals()) > 1:
            names = " and ".join(f"'{shown(name)}'" for name in self._rivals())
            return "two devices", f"{names} answer at address {station.address}: each needs an address of its own"
        answers = station.link.stats.received + station.damaged
        if station.damaged > DAMAGED_LEAST and station.damaged > DAMAGED_SHARE * answers:
            return (
                "bad line",
                "most of its answers are damaged, if not those of others: is there another device with this address, "
                "is its ground wired, are A and B twisted, with 120 Ω at both ends?",
            )
        if not station.is_there and not self.link.up:
            return (
                "silence",
                f"nothing answers at address {station.address}: has the board power, is that its address, does A go "
                "to A and B to B, and is DE wired?",
            )
        return "", ""

    def describe(self) -> dict[str, Any]:
        """See GatewayLine."""
        station = self.station
        counters = ("asked", "answered", "missed", "late", "unasked", "overruns", "damaged")
        return super().describe() | {
            "bus": self.bus.path,
            "address": station.address,
            "answer_ms": round(station.slowest_ms, 1),
            "bus_share": self.bus.share_of(station),
            "turns": {name: getattr(station, name) for name in counters},
        }

    def _up(self, peer: Greeting) -> None:
        self._named_at[peer.device_id] = asyncio.get_running_loop().time()
        self.console.port(_OnTheLink())  # whatever was said at the end of the last session
        super()._up(peer)
        self.bus.heard(self)

    def _rivals(self) -> list[bytes]:
        """Those that called themselves differently within a short time."""
        now = asyncio.get_running_loop().time()
        self._named_at = {name: at for name, at in self._named_at.items() if now - at < ANOTHER_S}
        return sorted(self._named_at)


class _OnTheLink:
    """In the place of a port for the console of one of many devices: nothing is typed past the link."""

    async def read(self) -> bytes:
        """Never called: what comes past the link is nobody's."""
        raise NotImplementedError

    async def write(self, data: bytes | bytearray) -> None:
        """Nobody would be meant."""

    def close(self) -> None:
        """The bus does."""
